"""One number of a budget, with where it comes from and how far off it may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["exact", "headers", "config", "fitted", "given", "measured here"]
_TRUST: tuple[Source, ...] = ("exact", "given", "measured here", "headers", "config", "fitted")


@dataclass(frozen=True, slots=True)
class Estimate:
    """`low` and `high` hold the truth nine times of ten."""

    value: float
    low: float
    high: float
    source: Source

    @classmethod
    def sure(cls, value: float, source: Source = "exact") -> Estimate:
        return cls(value, value, value, source)


def weakest(*parts: Estimate) -> Source:
    """The source of what is made of several: that of the least certain."""
    return max((p.source for p in parts), key=_TRUST.index)
