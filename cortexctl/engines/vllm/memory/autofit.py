"""The cheapest change of arguments that makes a model serve so many requests of so many tokens.

Each step is one evaluation of the budget, in the order of what it costs the user; the search ends with the first
setting that serves, and then the cache is pinned, so that nothing else on the GPU can move it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.model_facts import Facts
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from cortexctl.text.units import GIB

WORTH = 0.01
"""Share by which a step must make room for more; one that gives less is not worth its cost."""
_NO_MATTER_OF_MEMORY = {"heads", "length", "quantised split"}
"""Refusals that stay, however much room there is."""
MARGIN_GIB = 0.3
"""Of free memory that is left to the driver and to graphs when utilization is raised."""


@dataclass(frozen=True, slots=True)
class Target:
    """`length`: tokens of a request; `concurrency`: requests of that length at once."""

    length: int
    concurrency: float


@dataclass(frozen=True, slots=True)
class Tried:
    """One step: the arguments that it changes, what it costs, and the budget with it. `helped`: it helped."""

    name: str
    changes: Mapping[str, Any]
    cost: str
    budget: Budget
    helped: bool


@dataclass(frozen=True, slots=True)
class Fitted:
    """`reached`: the target is met with `changes` laid over the arguments."""

    target: Target
    reached: bool
    changes: Mapping[str, Any]
    steps: tuple[Tried, ...]
    last: Budget

    @property
    def advice(self) -> str:
        """What is left to do by hand where no setting serves."""
        if self.reached:
            return ""
        if _is_in_vain(first := self.steps[0].budget) and first.refusal:
            return f"no setting of memory helps: {first.refusal.advice}"
        smaller = "a quantised checkpoint" if not self.last.facts.quant.method else "a smaller model"
        return f"no setting serves that on these GPUs: more GPUs, {smaller}, or a lower target"


def serves(computed: Budget, target: Target) -> bool:
    """Whether it starts and holds that many."""
    if computed.verdict == "refuses" or computed.refusal is not None:
        return False
    return at_length(computed, target.length) >= target.concurrency


def _is_in_vain(computed: Budget) -> bool:
    return computed.refusal is not None and computed.refusal.rule in _NO_MATTER_OF_MEMORY


def at_length(computed: Budget, length: int) -> float:
    """Requests of a length that fit at once, whatever max_model_len is."""
    at = computed.tightest
    return at.pool.concurrency(int(at.blocks.value), max(length, 1)) * computed.settings.context_parallel


def fit(facts: Facts, inputs: BudgetInputs, target: Target, *, gpus: int = 1, pin: bool = True) -> Fitted:
    """Search from the arguments of `inputs`. `gpus`: how many there are for one model."""
    args = {**inputs.args, "max_model_len": target.length}
    steps: list[Tried] = []
    best = budget(facts, replace(inputs, args=args))
    steps.append(Tried("as asked, for this length", {"max_model_len": target.length}, "", best, helped=True))
    for name, changes, cost in _candidates(facts, inputs, best, target, gpus):
        if serves(best, target) or _is_in_vain(steps[0].budget):
            break
        tried = budget(facts, replace(inputs, args={**args, **changes}))
        gained, now = _room(tried, target) - _room(best, target), _room(best, target)
        better = gained > WORTH * now if best.refusal is None else gained > 0 or tried.refusal is None
        steps.append(Tried(name, changes, cost, tried, helped=better))
        if better:
            best, args = tried, {**args, **changes}
    reached = serves(best, target)
    if reached and pin and best.settings.behaviour.since(0, 10, 2):
        best, args = _pinned(facts, inputs, best, args, target, steps)
    changes = {k: v for k, v in args.items() if inputs.args.get(k) != v}
    return Fitted(target, reached, changes, tuple(steps), best)


def _room(computed: Budget, target: Target) -> float:
    """What is compared: requests at once; where there are none, by how many GiB that is missed (below 0)."""
    return at_length(computed, target.length) or min(computed.tightest.available.value, 0.0)


def _candidates(
    facts: Facts, inputs: BudgetInputs, start: Budget, target: Target, gpus: int
) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(step, arguments, cost), cheapest first."""
    yield from _sequences(start, target)
    yield from _batches(start)
    yield from _utilization(inputs, start)
    yield from _kv(inputs, start)
    yield from _parallel(facts, start, gpus)
    yield from _weights(inputs, start)
    if not start.settings.eager:
        yield "no CUDA graphs", {"enforce_eager": True}, "decoding is slower"


def _sequences(start: Budget, target: Target) -> list[tuple[str, dict[str, Any], str]]:
    """Only what is asked for need be sampled at once; a smaller number bounds the batch, too."""
    now, needed = start.settings.max_num_seqs, max(1, -(-int(target.concurrency) // 8) * 8)
    computed: list[tuple[str, dict[str, Any], str]] = []
    for number in (256, 128, 64, 32, 16, needed):
        if needed <= number < now and number not in [c[1]["max_num_seqs"] for c in computed]:
            computed.append((f"max_num_seqs {number}", {"max_num_seqs": number}, "no more requests than that at once"))
    return computed


def _batches(start: Budget) -> list[tuple[str, dict[str, Any], str]]:
    s = start.settings
    if not s.chunked:
        return []
    sizes = [n for n in (4096, 2048) if max(s.max_num_seqs, 1) <= n < s.batched_tokens]
    return [(f"max_num_batched_tokens {n}", {"max_num_batched_tokens": n}, "long prompts start slower") for n in sizes]


def _utilization(inputs: BudgetInputs, start: Budget) -> list[tuple[str, dict[str, Any], str]]:
    """Up to what is free; where that is not known, up to 95 %."""
    if inputs.gpu is None or not inputs.gpu.total_gib:
        return []
    free = inputs.free_gib - MARGIN_GIB if inputs.free_gib is not None else 0.95 * inputs.gpu.total_gib
    most = int(free / inputs.gpu.total_gib * 100) / 100
    if most <= start.settings.utilization:
        return []
    return [(f"gpu_memory_utilization {most}", {"gpu_memory_utilization": most}, "less is left for graphs and others")]


def _kv(inputs: BudgetInputs, start: Budget) -> list[tuple[str, dict[str, Any], str]]:
    """8-bit floats need compute capability 8.9."""
    if start.settings.kv_dtype != "auto" or inputs.gpu is None or inputs.gpu.capability < 8.9:
        return []
    return [("an FP8 KV cache", {"kv_cache_dtype": "fp8"}, "a little quality with long contexts; test it")]


def _weights(inputs: BudgetInputs, start: Budget) -> list[tuple[str, dict[str, Any], str]]:
    """Weights rounded when they are loaded; a checkpoint that was quantised with care loses less."""
    if start.settings.quant.method or inputs.gpu is None or inputs.gpu.capability < 8.9:
        return []
    return [("FP8 weights, rounded at load", {"quantization": "fp8"}, "quality, and a higher peak while loading")]


def _parallel(facts: Facts, start: Budget, gpus: int) -> list[tuple[str, dict[str, Any], str]]:
    tp = start.settings.tp
    computed = []
    size = 2 * tp
    while size * start.settings.pp <= gpus:
        if facts.heads % size == 0:
            computed.append(
                (
                    f"tensor_parallel_size {size}",
                    {"tensor_parallel_size": size},
                    f"{size // tp} times the GPUs a replica",
                )
            )
        size *= 2
    return computed


def _pinned(
    facts: Facts, inputs: BudgetInputs, best: Budget, args: dict[str, Any], target: Target, steps: list[Tried]
) -> tuple[Budget, dict[str, Any]]:
    """The cache as a number of bytes: what the low end of the range leaves, but no less than the target needs."""
    at = best.tightest
    needed = at.pool.per_request(target.length) * at.pool.block_bytes * target.concurrency
    needed /= best.settings.context_parallel
    size = int(max(needed + at.pool.block_bytes, min(at.available.low, at.available.value) * GIB))
    changes = {"kv_cache_memory_bytes": size}
    pinned = budget(facts, replace(inputs, args={**args, **changes}))
    steps.append(Tried("pin the cache", changes, "nothing else on the GPU moves it", pinned, helped=True))
    return pinned, {**args, **changes}
