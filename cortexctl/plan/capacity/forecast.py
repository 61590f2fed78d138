"""The memory forecast of a plan, as values. Memory in GiB on one GPU; `plan.memory` has the computation."""

from __future__ import annotations

from cortexctl.dataclass import dataclass
from cortexctl.engines.launch_forecast import Forecast


@dataclass(frozen=True, slots=True)
class InstanceForecast:
    """An instance that gets a new container with GPUs. `before`: the forecast of the container that it replaces. If one
    is unknown, `why_unknown` (`why_unknown_before`) has the reason.
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
    """One container's share of a GPU while it serves, cache included. `low`: the minimum.

    `holder`: its address; for a container of another stack, "CONTAINER of STACK".
    """

    holder: str
    taken: float
    low: float


@dataclass(frozen=True, slots=True)
class GpuLine:
    """One GPU after the plan is carried out, with all containers of stacks that use it. The use of other programs is
    not known, and graphs that vLLM captures beyond its budget are not counted.
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
        """Whether the shares exceed the GPU's memory even at the minimum. Sizes are rounded: up to 10 MiB are
        ignored.
        """
        return sum(s.low for s in self.shares) > self.total + 0.01

    @property
    def close(self) -> bool:
        """Whether the shares may exceed the GPU's memory."""
        return self.taken > self.total + 0.01 and not self.over
