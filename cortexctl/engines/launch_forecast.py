"""An engine's memory forecast for a launch, before it starts. Memory in GiB on one GPU."""

from __future__ import annotations

from cortexctl.dataclass import dataclass
from cortexctl.engines.estimate import Estimate


class Unknown(ValueError):
    """Why an instance's memory is not computed, as part of a sentence without the instance's name."""


@dataclass(frozen=True, slots=True)
class StageForecast:
    """One pipeline stage, per GPU. `available`: for the KV cache."""

    weights: Estimate
    non_torch: Estimate
    transient: Estimate
    graphs: Estimate
    requested: Estimate
    available: Estimate

    @property
    def other(self) -> float:
        """Memory that is neither weights nor cache."""
        return self.non_torch.value + self.transient.value + self.graphs.value


@dataclass(frozen=True, slots=True)
class ForecastRefusal:
    """Why the engine would refuse to start. `rule`: a short name that stays; `text`: as the engine writes it; `advice`:
    which flag to move. `fits`: the longest max_model_len that would do, where one would.
    """

    rule: str
    text: str
    advice: str = ""
    fits: int | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """One launch. `verdict`: starts, refuses, or uncertain: the error of the estimates may exceed the margin.
    `max_model_len`: tokens of the requests that `concurrency` counts.
    """

    verdict: str
    gpu: str
    gpu_total: float
    max_model_len: int
    tokens: Estimate
    concurrency: Estimate
    needed: Estimate
    """The minimum cache for one request."""
    stages: tuple[StageForecast, ...]
    tightest: int
    """The index of the stage with the least room."""
    refusal: ForecastRefusal | None = None
    notes: tuple[str, ...] = ()
    uncounted: str = ""
    """What the numbers leave out, such as a draft whose files are not known; also one of the notes."""

    @property
    def decides(self) -> StageForecast:
        return self.stages[self.tightest]
