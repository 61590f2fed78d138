"""An engine's forecast for a launch, before it starts: its memory, in GiB on one GPU, and its time, in seconds."""

from __future__ import annotations

from cortexctl.dataclass import dataclass
from cortexctl.engines.estimate import Estimate, summed


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
class StartForecast:
    """Seconds from the container's start until the server answers, by stage. `process`: the interpreter and imports;
    `weights`: reading them from disk; `engine`: the device, profiling, first use of kernels; `compiling`: with an empty
    cache of compiled graphs, and `compiled`: with a full one; `graphs`: capturing CUDA graphs.
    """

    process: Estimate
    weights: Estimate
    engine: Estimate
    compiling: Estimate
    compiled: Estimate
    graphs: Estimate

    def total(self, weights: Estimate | None = None, *, is_first: bool = True) -> Estimate:
        """`weights`: in place of the assumed time. `is_first`: the cache of compiled graphs is empty."""
        compiling = self.compiling if is_first else self.compiled
        return summed(weights or self.weights, self.process, self.engine, compiling, self.graphs)

    def weights_like(self, other: StartForecast, seconds: float) -> Estimate:
        """The time for the weights on the disk from which a start with the forecast `other` took `seconds`: its rate is
        what the other stages leave of them, within the assumed rates. Whether that start compiled is not known.
        """
        compiling = Estimate(other.compiling.value, other.compiled.low, other.compiling.high, other.compiling.source)
        beside = summed(other.process, other.engine, compiling, other.graphs)
        times = self.weights.value / other.weights.value
        value, low, high = (
            times * min(max(seconds - spent, other.weights.low), other.weights.high)
            for spent in (beside.value, beside.high, beside.low)
        )
        return Estimate(value, low, high, "measured here")


STAGES = ("process", "weights", "engine", "compiling", "compiled", "graphs")
"""The fields of a StartForecast."""


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
    start: StartForecast | None = None
    """None: the engine has no forecast of it."""

    @property
    def decides(self) -> StageForecast:
        return self.stages[self.tightest]
