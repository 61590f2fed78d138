"""What a plan says of memory: values. Memory in GiB on one GPU; how they are computed is in `plan.memory`."""

from __future__ import annotations

from dataclasses import dataclass

from cortexctl.engines.launch_forecast import Forecast


@dataclass(frozen=True, slots=True)
class InstanceForecast:
    """An instance that gets a new container with GPUs. `before`: of the container that it takes the place of. Where one
    is unknown, `why_unknown` (`why_unknown_before`) says why.
    """

    address: str
    host: str
    gpus: tuple[int, ...]
    before: Forecast | None = None
    after: Forecast | None = None
    why_unknown: str = ""
    why_unknown_before: str = ""


@dataclass(frozen=True, slots=True)
class GpuShare:
    """What one container holds of a GPU while it serves, its cache included. `low`: at the least."""

    who: str
    taken: float
    low: float


@dataclass(frozen=True, slots=True)
class GpuLine:
    """One GPU once the plan is carried out, with all that hold it and are of a stack. What else runs there is not
    known, nor are graphs counted that vLLM captures beyond its budget.
    """

    host: str
    gpu: int
    total: float
    shares: tuple[GpuShare, ...]

    @property
    def taken(self) -> float:
        return sum(s.taken for s in self.shares)

    @property
    def over(self) -> bool:
        """Whether it is promised more than it has, whatever was estimated. Sizes are rounded: 10 MiB are none."""
        return sum(s.low for s in self.shares) > self.total + 0.01

    @property
    def close(self) -> bool:
        """Whether it may be promised more."""
        return self.taken > self.total + 0.01 and not self.over
