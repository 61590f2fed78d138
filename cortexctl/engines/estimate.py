"""One number of a budget, with its source and its possible error."""

from __future__ import annotations

import math
from typing import Literal

from cortexctl.dataclass import dataclass

Source = Literal["exact", "headers", "config", "fitted", "given", "measured here", "assumed"]
_TRUST: tuple[Source, ...] = ("exact", "given", "measured here", "headers", "config", "fitted", "assumed")


@dataclass(frozen=True, slots=True)
class Estimate:
    """The true value is between `low` and `high` nine times out of ten."""

    value: float
    low: float
    high: float
    source: Source

    @classmethod
    def sure(cls, value: float, source: Source = "exact") -> Estimate:
        return cls(value, value, value, source)


def summed(*parts: Estimate) -> Estimate:
    """The errors of the parts are independent: their distances add up as squares."""
    value = sum(p.value for p in parts)
    below, above = math.hypot(*(p.value - p.low for p in parts)), math.hypot(*(p.high - p.value for p in parts))
    return Estimate(value, value - below, value + above, weakest(*parts))


def weakest(*parts: Estimate) -> Source:
    """The source of a value that is combined from several: that of the least certain one."""
    return max((p.source for p in parts), key=_TRUST.index)
