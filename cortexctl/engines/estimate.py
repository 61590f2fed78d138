"""One number of a budget, with its source and its possible error."""

from __future__ import annotations

from typing import Literal

from cortexctl.dataclass import dataclass

Source = Literal["exact", "headers", "config", "fitted", "given", "measured here"]
_TRUST: tuple[Source, ...] = ("exact", "given", "measured here", "headers", "config", "fitted")


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


def weakest(*parts: Estimate) -> Source:
    """The source of a value that is combined from several: that of the least certain one."""
    return max((p.source for p in parts), key=_TRUST.index)
