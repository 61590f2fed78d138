"""Finds the cheapest change of arguments with which a model serves N requests of L tokens.

Each step is one evaluation of the budget, in the order of the cost to the user. The search ends with the first setting
that serves; then the cache is pinned, so that no other use of the GPU can change it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.idle import free_when_idle
from cortexctl.engines.vllm.memory.model_facts import Facts
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from cortexctl.text.units import GIB

WORTH = 0.01
"""The minimum share by which a step must increase the room; a smaller gain is not worth its cost."""
_NO_MATTER_OF_MEMORY = {"heads", "length", "quantised split"}
"""Refusals that more memory does not fix."""
MARGIN_GIB = 0.3
"""The free memory that is left for the driver and for graphs when utilization is raised."""


@dataclass(frozen=True, slots=True)
class Target:
    """`length`: tokens of a request; `concurrency`: requests of that length at once."""

    length: int
    concurrency: float


@dataclass(frozen=True, slots=True)
class Tried:
    """One step: the arguments that it changes, what it costs, and the resulting budget. `helped`: whether it was an
    improvement.
    """

    name: str
    changes: Mapping[str, Any]
    cost: str
    budget: Budget
    helped: bool


@dataclass(frozen=True, slots=True)
class Fitted:
    """`reached`: the target is met when `changes` override the arguments."""

    target: Target
    reached: bool
    changes: Mapping[str, Any]
    steps: tuple[Tried, ...]
    last: Budget

    @property
    def advice(self) -> str:
        """What the user can do if no setting serves."""
        if self.reached:
            return ""
        if _is_in_vain(first := self.steps[0].budget) and first.refusal:
            return f"no memory setting helps: {first.refusal.advice}"
        smaller = "a quantised checkpoint" if not self.last.facts.quant.method else "a smaller model"
        return f"no setting serves that on these GPUs: use more GPUs, {smaller}, or a lower target"


def serves(computed: Budget, target: Target) -> bool:
    """Whether it starts and serves that many requests."""
    if computed.verdict == "refuses" or computed.refusal is not None:
        return False
    return at_length(computed, target.length) >= target.concurrency


def _is_in_vain(computed: Budget) -> bool:
    return computed.refusal is not None and computed.refusal.rule in _NO_MATTER_OF_MEMORY


def at_length(computed: Budget, length: int) -> float:
    """Requests of a length that fit at once, independent of max_model_len."""
    at = computed.tightest
    return at.pool.concurrency(int(at.blocks.value), max(length, 1)) * computed.settings.context_parallel


def fit(facts: Facts, inputs: BudgetInputs, target: Target, *, gpus: int = 1, pin: bool = True) -> Fitted:
    """Searches from the arguments of `inputs`. `gpus`: how many there are for one model."""
    args = {**inputs.args, "max_model_len": target.length}
    steps: list[Tried] = []
    best = budget(facts, replace(inputs, args=args))
    steps.append(Tried("the given arguments, this length", {"max_model_len": target.length}, "", best, helped=True))
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
    if reached:
        best, args = _without_needless(facts, inputs, best, args, target)
        steps = [replace(s, helped=all(args.get(k) == v for k, v in s.changes.items())) for s in steps]
    if reached and pin and best.settings.behaviour.since(0, 10, 2):
        best, args = _pinned(facts, inputs, best, args, target, steps)
    changes = {k: v for k, v in args.items() if inputs.args.get(k) != v}
    return Fitted(target, reached, changes, tuple(steps), best)


def _without_needless(
    facts: Facts, inputs: BudgetInputs, best: Budget, args: dict[str, Any], target: Target
) -> tuple[Budget, dict[str, Any]]:
    """A later step may have made an earlier one needless: each one is left out, if the rest serves."""
    for name in [name for name, value in args.items() if name != "max_model_len" and inputs.args.get(name) != value]:
        fewer = {key: value for key, value in args.items() if key != name}
        fewer |= {name: inputs.args[name]} if name in inputs.args else {}
        tried = budget(facts, replace(inputs, args=fewer))
        if serves(tried, target):
            best, args = tried, fewer
    return best, args


def _room(computed: Budget, target: Target) -> float:
    """The measure that is compared: requests at once; if none fit, the missing GiB (below 0)."""
    return at_length(computed, target.length) or min(computed.tightest.available.value, 0.0)


def _candidates(
    facts: Facts, inputs: BudgetInputs, start: Budget, target: Target, gpus: int
) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(step, arguments, cost), cheapest first."""
    yield from _sequences(start, target)
    yield from _batches(start)
    yield from _utilization(inputs, start, gpus)
    yield from _kv(inputs, start)
    yield from _parallel(facts, start, gpus)
    yield from _weights(inputs, start)
    if not start.settings.eager:
        yield "no CUDA graphs", {"enforce_eager": True}, "decoding is slower"


def _sequences(start: Budget, target: Target) -> list[tuple[str, dict[str, Any], str]]:
    """Only the requested number must be sampled at once; a smaller number limits the batch as well."""
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


def _utilization(inputs: BudgetInputs, start: Budget, gpus: int) -> list[tuple[str, dict[str, Any], str]]:
    """Up to the free memory; if that is unknown, up to 95 %, or what an idle GPU has free at least."""
    if inputs.gpu is None or not inputs.gpu.total_gib:
        return []
    idle = free_when_idle(inputs.gpu, gpus)
    free = min(0.95 * inputs.gpu.total_gib, idle.low if idle else inputs.gpu.total_gib)
    if inputs.free_gib is not None:
        free = inputs.free_gib - MARGIN_GIB
    most = int(free / inputs.gpu.total_gib * 100) / 100
    if most <= start.settings.utilization:
        return []
    return [
        (
            f"gpu_memory_utilization {most}",
            {"gpu_memory_utilization": most},
            ("less memory is left for graphs and other processes"),
        )
    ]


def _kv(inputs: BudgetInputs, start: Budget) -> list[tuple[str, dict[str, Any], str]]:
    """8-bit floats need compute capability 8.9."""
    if start.settings.kv_dtype != "auto" or inputs.gpu is None or inputs.gpu.capability < 8.9:
        return []
    return [("an FP8 KV cache", {"kv_cache_dtype": "fp8"}, "some quality with long contexts; test it")]


def _weights(inputs: BudgetInputs, start: Budget) -> list[tuple[str, dict[str, Any], str]]:
    """Weights are rounded when they are loaded; a carefully quantised checkpoint loses less."""
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
                    f"{size // tp} times the GPUs per replica",
                )
            )
        size *= 2
    return computed


def _pinned(
    facts: Facts, inputs: BudgetInputs, best: Budget, args: dict[str, Any], target: Target, steps: list[Tried]
) -> tuple[Budget, dict[str, Any]]:
    """The cache as a number of bytes: the low end of the range, but at least what the target needs."""
    at = best.tightest
    needed = at.pool.per_request(target.length) * at.pool.block_bytes * target.concurrency
    needed /= best.settings.context_parallel
    size = int(max(needed + at.pool.block_bytes, min(at.available.low, at.available.value) * GIB))
    changes = {"kv_cache_memory_bytes": size}
    pinned = budget(facts, replace(inputs, args={**args, **changes}))
    name = "pin the cache, so that other use of the GPU does not change it"
    steps.append(Tried(name, changes, "it gets the low end of the forecast", pinned, helped=True))
    return pinned, {**args, **changes}
