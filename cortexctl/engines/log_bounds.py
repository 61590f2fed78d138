"""Limits for searching a log: its writer controls its length, but not how long we read it."""

from __future__ import annotations

from collections.abc import Sequence

from cortexctl.text.shorten import shortened

LONGEST_LINE = 4_000
"""The most characters of a line that a pattern sees, counted from both ends."""
MOST_LINES = 20_000
MOST_TEXT = 4_000_000
"""The most characters of all lines together."""


def searched(log: Sequence[str], *, longest: int = LONGEST_LINE, most_text: int = MOST_TEXT) -> list[str]:
    """The end of a log, each line cut to a length at which even the slowest pattern is fast."""
    retained: list[str] = []
    size = 0
    for line in reversed(log[-MOST_LINES:]):
        short = shortened(line, longest)
        size += len(short)
        if size > most_text:
            break
        retained.append(short)
    retained.reverse()
    return retained
