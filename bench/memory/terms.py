"""The rows of the table: units, goals, and the figures of many errors. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.memory.errors import Error


@dataclass(frozen=True, slots=True)
class Term:
    """`unit`: "%", "GiB" or "s"; empty for a term that is right or wrong. `goals`: the most of each figure that is
    allowed. `right`: the least share that is right.
    """

    name: str
    unit: str = ""
    goals: Mapping[str, float] = field(default_factory=dict)
    right: float | None = None


MEASURED = (
    Term("weights", "%", {"median": 0.3, "p90": 1.0}),
    Term("activation peak", "GiB"),
    Term("outside torch", "GiB"),
    Term("graph estimate", "GiB"),
    Term("memory for the cache", "GiB", {"median": 0.10, "p90": 0.4}),
    Term("range holds the memory", right=0.95),
    Term("width of the range", "GiB", {"max": 1.5}),
    Term("tokens from flags", "%"),
    Term("tokens given the memory", right=0.98),
    Term("settings", right=1.0),
    Term("false alarms", right=1.0),
    Term("missed refusals", right=1.0),
    Term("texts of refusals", right=1.0),
    Term("unsure"),
    Term("start-up time", "%"),
    Term("range holds the time", right=0.95),
    Term("width of the time's range", "s"),
)
REPORTED = (
    Term("reported weights", "%"),
    Term("reported memory for the cache", "GiB"),
    Term("reported range holds the memory"),
    Term("reported tokens from flags", "%", {"median": 4.0, "p90": 20.0}),
    Term("... text, at most two GPUs, release known", "%"),
    Term("reported tokens given the memory"),
    Term("reported false alarms"),
    Term("... everything stated", right=1.0),
    Term("reported missed refusals"),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the distances without their sign; `right`: the part of them that is 0."""

    n: int
    median: float
    p90: float
    max: float
    right: float

    def goals_met(self, term: Term) -> bool:
        figures = {"median": self.median, "p90": self.p90, "max": self.max}
        within = all(figures[name] <= most for name, most in term.goals.items())
        return within and (term.right is None or self.right >= term.right)


def figures(values: Iterable[float]) -> Figures | None:
    """None without a value."""
    ordered = sorted(abs(value) for value in values)
    if not ordered:
        return None
    n = len(ordered)
    p90 = ordered[min(n - 1, math.ceil(0.9 * n) - 1)]
    return Figures(n, statistics.median(ordered), p90, ordered[-1], sum(v == 0 for v in ordered) / n)


def by_term(errors: Iterable[Error], terms: Sequence[Term]) -> dict[str, Figures]:
    values: dict[str, list[float]] = {}
    for error in errors:
        values.setdefault(error.term, []).append(error.value)
    known = {term.name: figures(values.get(term.name, ())) for term in terms}
    return {name: of for name, of in known.items() if of is not None}


def by_family(errors: Iterable[Error], terms: Sequence[Term]) -> dict[str, dict[str, Figures]]:
    """The largest family first."""
    families: dict[str, list[Error]] = {}
    for error in errors:
        families.setdefault(error.family, []).append(error)
    ordered = sorted(families.items(), key=lambda item: -len({e.case for e in item[1]}))
    return {name: by_term(of, terms) for name, of in ordered}


def worst(errors: Iterable[Error], term: Term, most: int = 3) -> list[Error]:
    """The largest errors of a term; only wrong ones of a term that is right or wrong."""
    of = [e for e in errors if e.term == term.name and e.value]
    return sorted(of, key=lambda e: -abs(e.value))[:most]
