"""The rows of the table: which work, against which reference, its figure now and before, and the goal. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.figures import Figure, typical
from bench.measuring import Usage
from bench.recording import BEFORE, NOW, REFERENCE, Recording, Traffic


@dataclass(frozen=True, slots=True)
class Row:
    """`before` is the figure of the other checkout, if there is one. `reference` is the usage of the program that the
    work is compared with. `headline`: rows with the same one are one line of the short table.
    """

    work: str
    against: str
    figure: Figure | None
    goal: float | None = None
    before: Figure | None = None
    usage: Usage | None = None
    reference: Usage | None = None
    traffic: Traffic | None = None
    reference_traffic: Traffic | None = None
    headline: str = ""

    @property
    def verdict(self) -> str:
        """Empty without a goal."""
        if self.goal is None:
            return ""
        if self.figure is None:
            return "not measured"
        return "met" if float(self.figure.shown.replace(",", "")) <= self.goal else "missed"


def compared(
    recording: Recording,
    work: str,
    reference: str,
    figure: Callable[[Sequence[Usage], Sequence[Usage]], Figure | None],
    goal: float | None = None,
    headline: str = "",
) -> Row:
    """`reference`: a foreign program, or else another work of the same checkout; else only a text for the table.
    `figure`: from the usages of both.
    """

    def usages(name: str, who: str) -> Sequence[Usage]:
        return recording.usages(name, REFERENCE) or recording.usages(name, who)

    def traffic(name: str) -> Traffic | None:
        return recording.traffic(name, REFERENCE) or recording.traffic(name, NOW)

    before = recording.usages(work, BEFORE)
    return Row(
        work,
        reference,
        figure(recording.usages(work, NOW), usages(reference, NOW)),
        goal,
        figure(before, usages(reference, BEFORE)) if before else None,
        typical(recording.usages(work, NOW)),
        typical(usages(reference, NOW)),
        recording.traffic(work, NOW),
        traffic(reference),
        headline,
    )
