"""Who holds how much of each GPU of a host, once a plan is carried out. Pure, as the plan is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cortexctl.desired.stack import Desired, Host
from cortexctl.engines.vllm.command.effective import effective
from cortexctl.instance.spec import ContainerSpec
from cortexctl.observed.observation import Observed
from cortexctl.plan.capacity.forecast import Forecast, GpuLine, GpuShare, InstanceForecast, StageForecast
from cortexctl.plan.capacity.plan_memory import Forecaster, Unknown, gpu_of_host
from cortexctl.plan.conflicts import is_pinned, utilization
from cortexctl.plan.placement import gpu_holders

GIB = 2**30
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Holding:
    """A container that will have GPUs of a host, by name and spec."""

    who: str
    spec: ContainerSpec


def ledger(
    host: Host, holdings: Sequence[Holding], foreseen: Sequence[InstanceForecast], forecaster: Forecaster
) -> list[GpuLine]:
    """Each GPU of a host that somebody has. Empty where the stack does not say how large they are."""
    try:
        total = gpu_of_host(host).total_gib
    except Unknown:
        return []
    known = {f.address: f.after for f in foreseen if f.after}
    shares: dict[int, list[GpuShare]] = {}
    for holding in holdings:
        for gpu, share in _shares(holding, host, total, known.get(holding.who), forecaster):
            shares.setdefault(gpu, []).append(share)
    return [GpuLine(host.name, gpu, _round(total), tuple(shares[gpu])) for gpu in sorted(shares)]


def _shares(
    holding: Holding, host: Host, total: float, known: Forecast | None, forecaster: Forecaster
) -> Iterator[tuple[int, GpuShare]]:
    """By GPU. What vLLM requests follows from the arguments; with a cache of fixed size, or without any, the model must
    be known.
    """
    pinned = is_pinned(holding.spec)
    if pinned and known is None:
        try:
            known = forecaster.of(holding.spec, host)
        except Unknown:
            known = None
    stages = known.stages if known else ()
    per_stage = max(1, len(holding.spec.gpus) // max(1, len(stages)))
    for i, gpu in enumerate(holding.spec.gpus):
        at = stages[min(i // per_stage, len(stages) - 1)] if stages else None
        if at and (pinned or (known and not known.needed.value)):
            taken, low = _sum(at)
        elif not pinned:
            taken = low = at.requested.value if at else utilization(holding.spec) * total
        else:  # the cache is all that is known of it
            taken = low = float(effective(holding.spec).args["kv_cache_memory_bytes"]) / GIB
        yield gpu, GpuShare(holding.who, _round(taken), _round(low))


def _sum(at: StageForecast) -> tuple[float, float]:
    """(taken, at the least) of one that does not take all that is left for its cache."""
    spent = (at.weights, at.non_torch, at.transient, at.graphs)
    cache = at.available.value if at.available.source == "given" else 0.0
    taken = sum(p.value for p in spent) + cache
    return taken, taken - math.hypot(*(p.value - p.low for p in spent))


def others_on(desired: Desired, observed: Observed, host: str) -> list[Holding]:
    """Running containers of other stacks that have GPUs of the host."""
    seen = observed.by_name().get(host)
    return [Holding(f"{h.container} of {h.owner}", h.spec) for h in gpu_holders(seen, desired.owner)] if seen else []


def _round(gib: float) -> float:
    return round(gib, _DIGITS)
