"""Who holds how much of each GPU of a host, and whether all of it fits together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cortexctl.engines.vllm.memory.budget import Budget


@dataclass(frozen=True, slots=True)
class Share:
    """One model's part of a GPU, in GiB: what it takes while it serves, the cache included."""

    who: str
    taken: float


@dataclass(frozen=True, slots=True)
class Line:
    """One GPU. Graphs outside of the budget, and other processes, are not in it."""

    host: str
    gpu: int
    total: float
    shares: tuple[Share, ...]

    @property
    def taken(self) -> float:
        return sum(s.taken for s in self.shares)

    @property
    def over(self) -> bool:
        return self.taken > self.total


def taken_gib(found: Budget, stage: int) -> float:
    """What a GPU of a stage holds: requested, or with kv_cache_memory_bytes the sum of the parts."""
    at = found.stages[min(stage, len(found.stages) - 1)]
    return at.spent + at.available.value if found.settings.kv_bytes else at.requested.value


def ledger(host: str, held: Iterable[tuple[str, tuple[int, ...], Budget]]) -> tuple[Line, ...]:
    """`held`: who, on which GPUs, with which budget. Stages take the GPUs in order, as vLLM's ranks do."""
    totals: dict[int, float] = {}
    shares: dict[int, list[Share]] = {}
    for who, gpus, found in held:
        per_stage = max(1, len(gpus) // max(1, len(found.stages)))
        for i, gpu in enumerate(gpus):
            totals[gpu] = found.gpu.total_gib if found.gpu else 0.0
            shares.setdefault(gpu, []).append(Share(who, taken_gib(found, i // per_stage)))
    return tuple(Line(host, gpu, totals[gpu], tuple(shares[gpu])) for gpu in sorted(shares))
