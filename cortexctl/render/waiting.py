"""The line that shows what a command waits for."""

from __future__ import annotations

from collections.abc import Sequence

from cortexctl.dataclass import dataclass
from cortexctl.render.columns import columns_of, cut_to
from cortexctl.render.sanitise import visible
from cortexctl.text.units import show_seconds

AFTER = 1.0
"""Seconds before anything is shown: what is fast needs no progress."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The present wait. `missing`: the names without an answer, in the order of the questions; `left`: the number of
    answers that they owe, of `total`. `what`: their kind, in the plural. By the clock: when the command began to wait
    (`began`), and when for this kind (`since`).
    """

    what: str
    total: int
    left: int
    missing: Sequence[str]
    began: float
    since: float


def waiting_line(waiting: Waiting, now: float, columns: int) -> str:
    """At most this wide. Empty if nothing is missing, or the wait is short so far."""
    if not waiting.left or now - waiting.began < AFTER:
        return ""
    clock = f" ({show_seconds(now - waiting.since)})"
    names = [visible(name) for name in waiting.missing]
    if waiting.total == 1:
        return cut_to(f"Waiting for {names[0]}", columns - len(clock)) + clock
    count = f"Waiting for {waiting.left} of {waiting.total} {waiting.what}"
    listed = _listed(names, columns - columns_of(count) - len(": ") - len(clock))
    return cut_to(count + (f": {listed}" if listed else "") + clock, columns)


def _listed(names: Sequence[str], columns: int) -> str:
    """As many names as fit, and the number of the others; empty if none fits."""
    fits = ""
    for shown in range(1, len(names) + 1):
        others = len(names) - shown
        listed = ", ".join(names[:shown])
        text = f"{listed} and {others} more" if others else listed
        if columns_of(text) <= columns:
            fits = text
        elif columns_of(listed) > columns:
            break
    return fits
