"""How much of each GPU of a host each container holds, after a plan is carried out. Pure, as the plan is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired, Host
from cortexctl.engines.launch_forecast import Forecast, StageForecast, Unknown
from cortexctl.engines.registry import engine_of
from cortexctl.instance.spec import Spec
from cortexctl.observed.observation import Observed
from cortexctl.plan.capacity.forecast import GpuLine, GpuShare, InstanceForecast
from cortexctl.plan.capacity.plan_memory import Forecaster, gpu_of_host
from cortexctl.plan.conflicts import is_pinned, utilization
from cortexctl.plan.placement import gpu_holders
from cortexctl.text.units import GIB

_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Holding:
    """A container that will have GPUs of a host, by name and spec."""

    name: str
    spec: Spec


@dataclass(frozen=True, slots=True)
class Taken:
    """The memory that a container takes of one GPU while it serves, in GiB, cache included. `low`: the minimum."""

    value: float
    low: float


@dataclass(frozen=True, slots=True)
class Holder:
    """A container with GPUs of a host. `taken`: by pipeline stage. Stages use the GPUs in order, as vLLM's ranks do."""

    name: str
    gpus: tuple[int, ...]
    taken: tuple[Taken, ...]

    def on_each_gpu(self) -> Iterator[tuple[int, Taken]]:
        per_stage = max(1, len(self.gpus) // len(self.taken))
        for rank, gpu in enumerate(self.gpus):
            yield gpu, self.taken[min(rank // per_stage, len(self.taken) - 1)]


def ledger(
    host: Host, holdings: Sequence[Holding], foreseen: Sequence[InstanceForecast], forecaster: Forecaster
) -> list[GpuLine]:
    """Each GPU of a host that a container uses. Empty if the stack does not declare the size of the GPUs."""
    try:
        total = gpu_of_host(host, None).total_gib
    except Unknown:
        return []
    known = {f.address: f.after for f in foreseen if f.after}
    return gpu_lines(
        host.name,
        total,
        [_holder(h, host, total, known.get(h.name), forecaster) for h in holdings if h.spec.container.gpus],
    )


def gpu_lines(host: str, total: float, holders: Iterable[Holder]) -> list[GpuLine]:
    """`total`: GiB of each GPU."""
    shares: dict[int, list[GpuShare]] = {}
    for holder in holders:
        for gpu, taken in holder.on_each_gpu():
            shares.setdefault(gpu, []).append(GpuShare(holder.name, _round(taken.value), _round(taken.low)))
    return [GpuLine(host, gpu, _round(total), tuple(shares[gpu])) for gpu in sorted(shares)]


def taken_by_stage(stages: Iterable[StageForecast], *, is_pinned: bool, has_cache: bool) -> tuple[Taken, ...]:
    """The memory that vLLM requests; with a cache of fixed size, or without any, the sum of the parts."""
    return tuple(_sum(at) if is_pinned or not has_cache else _sure(at.requested.value) for at in stages)


def _holder(holding: Holding, host: Host, total: float, known: Forecast | None, forecaster: Forecaster) -> Holder:
    """What a server requests follows from the arguments; with a cache of fixed size the model must be known."""
    spec = holding.spec
    pinned = is_pinned(spec)
    if pinned and known is None:
        with suppress(Unknown):
            known = forecaster.of(spec, host)
    if known and known.stages:
        taken = taken_by_stage(known.stages, is_pinned=pinned, has_cache=bool(known.needed.value))
    elif pinned:  # only the size of the cache is known
        taken = (_sure((engine_of(spec.server).gpu_use(spec.server).cache_bytes or 0) / GIB),)
    else:
        taken = (_sure(utilization(spec) * total),)
    return Holder(holding.name, spec.container.gpus, taken)


def _sum(at: StageForecast) -> Taken:
    """For a server that does not use all remaining memory for its cache."""
    spent = (at.weights, at.non_torch, at.transient, at.graphs)
    cache = at.available.value if at.available.source == "given" else 0.0
    taken = sum(p.value for p in spent) + cache
    return Taken(taken, taken - math.hypot(*(p.value - p.low for p in spent)))


def _sure(gib: float) -> Taken:
    return Taken(gib, gib)


def others_on(desired: Desired, observed: Observed, host: str) -> list[Holding]:
    """Running containers of other stacks that have GPUs of the host."""
    seen = observed.by_name().get(host)
    return [Holding(f"{h.container} of {h.owner}", h.spec) for h in gpu_holders(seen, desired.owner)] if seen else []


def _round(gib: float) -> float:
    return round(gib, _DIGITS)
