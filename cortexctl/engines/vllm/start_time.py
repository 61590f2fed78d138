"""How long a launch takes until the server answers, stage by stage, as ranges in seconds.

Measured inside the engine: 114 starts of 29 models with 0.26.0 on one H200, one GPU, random weights
(bench/memory/truth). Reading weights and the imports before the engine are not in them: these two are assumed. Beyond
what was measured (another release, kind of GPU, several GPUs) the ranges of the other stages are twice as wide. The
slow part of compiling is one core's work, so a slower processor than that machine's is a reason for the upper ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from cortexctl.engines.estimate import Estimate, weakest
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.launch_forecast import StartForecast
from cortexctl.engines.measurement import Measurement
from cortexctl.engines.vllm.memory.basis import MEASURED
from cortexctl.engines.vllm.memory.defaults import whole_number
from cortexctl.engines.vllm.memory.model_facts import Facts
from cortexctl.engines.vllm.memory.overhead import graph_count
from cortexctl.engines.vllm.memory.settings import Settings

NONE = Estimate.sure(0.0)
PROCESS = Estimate(20, 10, 45, "assumed")
"""The interpreter, torch's imports, once more in the process of the engine, and the HTTP server at the end."""
ENGINE = Estimate(5.5, 4, 10, "fitted")
"""Configuration, device, creating the layers, the profiling run, allocating the cache: eager starts, kernels in use."""
POOLING = Estimate(3.5, 2.5, 8, "fitted")
"""The same without profiling a cache: one start."""
RANK = Estimate(4, 0, 12, "assumed")
"""More with several GPUs: processes, and the connections between them."""
FIRST_KERNELS = Estimate(4, 0, 15, "fitted")
"""Kernels that are built at their first use: samplers of the first runner, block-wise FP8. A new container has none."""
OWN_KERNELS = Estimate(10, 0, 65, "fitted")
"""The same for experts, latent attention and states: 7 to 66 seconds at first, none later."""
RATE = Estimate(1.0, 0.2, 4.0, "assumed")
"""GiB/s at which weights are read: from a network's disk to a fast local one or the page cache."""


def measured_rate(known: Iterable[Measurement], host: str) -> Estimate:
    """The rate on this host in past starts, half as much to half as much again: the page cache may have been full or
    empty. The assumed one without a measurement.
    """
    rates = [
        m.log.weights_gib * whole_number(m.started.args, "tensor_parallel_size", 1) / m.log.load_seconds
        for m in known
        if host and m.host == host and m.log.weights_gib and m.log.load_seconds
    ]
    return Estimate(median(rates), 0.5 * min(rates), 1.5 * max(rates), "measured here") if rates else RATE


def start_time(facts: Facts, s: Settings, gpu: Gpu, read_gib: float, rate: Estimate = RATE) -> StartForecast:
    """`read_gib`: of all weights, as their files have them."""
    wide = 1.0 if MEASURED.covers(s, gpu) else 2.0
    return StartForecast(
        process=PROCESS,
        weights=Estimate(read_gib / rate.value, read_gib / rate.high, read_gib / rate.low, rate.source),
        engine=_widened(_engine(facts, s), wide),
        compiling=_widened(_compiling(facts, s), wide),
        compiled=_widened(_compiled(facts, s), wide),
        graphs=_widened(_capturing(facts, s), wide),
    )


def _engine(facts: Facts, s: Settings) -> Estimate:
    kernels = NONE
    if s.pooling:
        return POOLING
    if facts.experts or facts.latent or facts.hybrid:
        kernels = OWN_KERNELS
    elif not s.second_runner or s.quant.method or s.loras:
        kernels = FIRST_KERNELS
    return _plus(ENGINE, kernels, *([RANK] if s.tp * s.pp > 1 else []))


def _compiling(facts: Facts, s: Settings) -> Estimate:
    """One layer is compiled and stands for all; more layers are more pieces. 16 to 48 layers took 17 to 45 seconds:
    experts and FP8 the upper half of the range. The second runner then builds its own kernels: 7 to 9 seconds.
    """
    if s.eager or not s.engine_v1:
        return NONE
    value, kernels = 12 + 0.3 * len(facts.layers), 8 if s.second_runner else 1
    return Estimate(value + kernels, 0.7 * value + 0.7 * kernels, 2 * value + 1.3 * kernels, "fitted")


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
