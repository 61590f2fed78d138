"""How long a launch takes until the server answers, stage by stage, as ranges in seconds.

Measured inside the engine: 114 starts of 29 models with 0.26.0 on one H200, one GPU, random weights
(bench/memory/truth). Reading weights and the imports before the engine are not in them: these two are assumed. Beyond
what was measured (another release, kind of GPU, several GPUs) the ranges of the other stages are twice as wide, and
that of kernels of the model's own three times: published logs of 0.26 to 0.28 on other cards have 126, 203 and 251
seconds for the engine, of which 18 to 53 compiled. The slow part of compiling is one core's work, so a slower processor
than that machine's is a reason for the upper ends. The ends of the ranges are up to a quarter beyond the extremes that
were measured, because the models were few.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cortexctl.engines.disk_rate import ASSUMED, disk_rate
from cortexctl.engines.estimate import Estimate, weakest
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.launch_forecast import StartForecast
from cortexctl.engines.measurement import Measurement, StartLog
from cortexctl.engines.vllm.memory.basis import MEASURED
from cortexctl.engines.vllm.memory.defaults import whole_number
from cortexctl.engines.vllm.memory.model_facts import Facts
from cortexctl.engines.vllm.memory.overhead import graph_count
from cortexctl.engines.vllm.memory.settings import Settings

NONE = Estimate.sure(0.0)
PROCESS = Estimate(20, 10, 45, "assumed")
"""The interpreter, torch's imports, once more in the process of the engine, and the HTTP server at the end: about 20
seconds in two logs of whole starts.
"""
ENGINE = Estimate(5.5, 3.5, 13, "fitted")
"""Configuration, device, creating the layers, the profiling run, allocating the cache: eager starts, kernels in use."""
POOLING = Estimate(3.5, 2, 10, "fitted")
"""The same without profiling a cache: one start."""
RANK = Estimate(4, 0, 12, "assumed")
"""More with several GPUs: processes, and the connections between them."""
FIRST_KERNELS = Estimate(4, 0, 20, "fitted")
"""Kernels that are built at their first use: samplers of the first runner, block-wise FP8. A new container has none."""
OWN_KERNELS = Estimate(10, 0, 83, "fitted")
"""The same for experts, latent attention and states: 7 to 66 seconds at first, none later."""
OWN_KERNELS_ELSEWHERE = 3.0
"""Times the upper end of OWN_KERNELS on what was not measured."""

SHORTEST = 0.1
"""Seconds; the log has hundredths, and weights that are read faster show nothing about a disk."""


def read_rate(log: StartLog, args: Mapping[str, Any]) -> float | None:
    """GiB/s at which a start read its weights, without a download; None if the log has no such line, as with random
    weights. `args`: those of the start; each of its GPUs has a part of the weights.
    """
    if not log.weights_gib or not log.read_seconds or log.read_seconds < SHORTEST:
        return None
    gpus = whole_number(args, "tensor_parallel_size", 1) * whole_number(args, "pipeline_parallel_size", 1)
    return log.weights_gib * gpus / log.read_seconds


def measured_rate(known: Iterable[Measurement], host: str) -> Estimate:
    """The rate on this host in past starts; the assumed one if none is measured."""
    rates = (read_rate(m.log, m.started.args) for m in known if host and m.host == host)
    return disk_rate([rate for rate in rates if rate is not None])


def start_time(facts: Facts, s: Settings, gpu: Gpu, read_gib: float, rate: Estimate = ASSUMED) -> StartForecast:
    """`read_gib`: of all weights, as their files have them."""
    wide = 1.0 if MEASURED.covers(s, gpu) else 2.0
    return StartForecast(
        process=PROCESS,
        weights=Estimate(read_gib / rate.value, read_gib / rate.high, read_gib / rate.low, rate.source),
        engine=_engine(facts, s, wide),
        compiling=_widened(_compiling(facts, s), wide),
        compiled=_widened(_compiled(facts, s), wide),
        graphs=_widened(_capturing(facts, s), wide),
    )


def _engine(facts: Facts, s: Settings, wide: float) -> Estimate:
    if s.pooling:
        return _widened(POOLING, wide)
    kernels = NONE
    if facts.experts or facts.latent or facts.hybrid:
        kernels = _widened(OWN_KERNELS, OWN_KERNELS_ELSEWHERE if wide > 1 else 1)
    elif not s.second_runner or s.quant.method or s.loras:
        kernels = _widened(FIRST_KERNELS, wide)
    return _plus(_widened(ENGINE, wide), kernels, *([_widened(RANK, wide)] if s.tp * s.pp > 1 else []))


def _compiling(facts: Facts, s: Settings) -> Estimate:
    """One layer is compiled and stands for all; more layers are more pieces. 16 to 48 layers took 17 to 45 seconds:
    experts and FP8 the upper half of the range. The second runner then builds its own kernels: 7 to 9 seconds.
    """
    if s.eager or not s.engine_v1:
        return NONE
    value, kernels = 12 + 0.3 * len(facts.layers), 8 if s.second_runner else 1
    return Estimate(value + kernels, 0.6 * value + 0.6 * kernels, 2 * value + 1.3 * kernels, "fitted")


def _compiled(facts: Facts, s: Settings) -> Estimate:
    """Three starts: 3.5 to 10 seconds to load 32 and 48 compiled layers."""
    if s.eager or not s.engine_v1:
        return NONE
    value = 2 + 0.1 * len(facts.layers)
    return Estimate(value, 0.6 * value, 2 * value, "fitted")


def _capturing(facts: Facts, s: Settings) -> Estimate:
    """Milliseconds for a layer of a graph: 1.3 to 1.8 for dense models; experts and latent attention 4.5 to 29, the
    most where kernels are tuned while they are captured.
    """
    if s.eager:
        return NONE
    slow = facts.experts or facts.latent
    each = (6.5, 4.0, 30.0) if slow else (1.5, 1.1, 2.2)
    value, low, high = (ms * len(facts.layers) * graph_count(s) / 1000 for ms in each)
    return Estimate(value, low, high, "fitted")


def _widened(part: Estimate, times: float) -> Estimate:
    return Estimate(part.value, part.low / times, part.high * times, part.source)


def _plus(*parts: Estimate) -> Estimate:
    """Stages of one kind: what slows one slows all, so that their ends add up."""
    value, low, high = (sum(ends) for ends in zip(*((p.value, p.low, p.high) for p in parts), strict=True))
    return Estimate(value, low, high, weakest(*parts))
