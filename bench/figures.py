"""Statistics of usages: ratios of the same round, their medians, growth exponents. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.measuring import Usage

Measure = Callable[[Usage], float]


def cpu(usage: Usage) -> float:
    return usage.cpu


def wall(usage: Usage) -> float:
    return usage.wall


@dataclass(frozen=True, slots=True)
class Figure:
    """One value for each round. `unit`: "x" for a ratio, "ms", "s", or "" for a plain number."""

    values: tuple[float, ...]
    unit: str = "x"

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def shown(self) -> str:
        """As the table shows it; goals are compared with this number."""
        return number(self.median)

    @property
    def text(self) -> str:
        """The median and, of several rounds, the range."""
        unit = "" if self.unit == "x" else f" {self.unit}"
        if len(self.values) == 1:
            return f"{self.shown}{unit}"
        return f"{self.shown}{unit} ({number(min(self.values))}-{number(max(self.values))})"


def number(value: float) -> str:
    """With two decimals below 10, one below 100, none above."""
    size = abs(value)
    return f"{value:.2f}" if size < 9.995 else f"{value:.1f}" if size < 99.95 else f"{value:,.0f}"


def ratio(work: Sequence[Usage], reference: Sequence[Usage], of: Measure = cpu) -> Figure | None:
    """The ratio of each round. None without a common round."""
    values = tuple(of(a) / of(b) for a, b in zip(work, reference, strict=False) if of(b) > 0)
    return Figure(values) if values else None


def each(work: Sequence[Usage], units: int, of: Measure = cpu) -> Figure | None:
    """Milliseconds for each of `units` hosts or instances."""
    return Figure(tuple(1000 * of(a) / units for a in work), "ms") if work else None


def added(work: Sequence[Usage], without: Sequence[Usage], of: Measure = wall) -> Figure | None:
    """Seconds that `work` takes longer, in each round."""
    values = tuple(of(a) - of(b) for a, b in zip(work, without, strict=False))
    return Figure(values, "s") if values else None


def further(small: Sequence[Usage], large: Sequence[Usage], units: int, of: Measure = cpu) -> Figure | None:
    """Milliseconds for each of the `units` by which the large case is larger. Medians, since their rounds differ."""
    if not small or not large:
        return None
    difference = statistics.median(map(of, large)) - statistics.median(map(of, small))
    return Figure((1000 * difference / units,), "ms")


def typical(usages: Sequence[Usage]) -> Usage | None:
    """The median of each quantity."""
    if not usages:
        return None
    return Usage(
        statistics.median(u.cpu for u in usages),
        statistics.median(u.wall for u in usages),
        statistics.median(u.peak for u in usages),
    )


def exponent(small: tuple[int, float], large: tuple[int, float]) -> float:
    """The k of cost ~ size^k between two (size, cost): 1 is linear, 2 is quadratic."""
    return math.log(large[1] / small[1]) / math.log(large[0] / small[0])
