"""The budget of one model on its GPUs: a pure function from facts, flags and GPU to one complete value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.estimate import Estimate, weakest
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.launch_forecast import StartForecast
from cortexctl.engines.vllm.memory.basis import MEASURED
from cortexctl.engines.vllm.memory.block_sizes import raised_block
from cortexctl.engines.vllm.memory.blocks import Pool, PoolOptions, pool_of
from cortexctl.engines.vllm.memory.caches import (
    CacheOptions,
    draft_caches,
    largest_state,
    layer_caches,
    smallest_token,
)
from cortexctl.engines.vllm.memory.drafts import draft_weights, has_unknown_cache, largest_missing, uncounted_draft
from cortexctl.engines.vllm.memory.headers import loaded_weights
from cortexctl.engines.vllm.memory.idle import free_when_idle
from cortexctl.engines.vllm.memory.model_facts import Facts
from cortexctl.engines.vllm.memory.overhead import (
    after_cache,
    graphs,
    left_beside,
    non_torch,
    numbers_of_8_bits,
    overhead_notes,
    transient,
)
from cortexctl.engines.vllm.memory.refusals import (
    Refusal,
    Verdict,
    is_too_long,
    judge,
    judge_after_cache,
    may_lack_free,
    refused_before,
)
from cortexctl.engines.vllm.memory.reuse import Measured
from cortexctl.engines.vllm.memory.settings import Settings, read_settings
from cortexctl.engines.vllm.memory.stage import BudgetInputs, StageBudget
from cortexctl.engines.vllm.memory.states import may_hold_more
from cortexctl.engines.vllm.memory.tensors import Split
from cortexctl.engines.vllm.memory.weights import Kernels, Stage, WeightOptions, stages
from cortexctl.engines.vllm.start_time import start_time
from cortexctl.engines.vllm.version import NEWEST_KNOWN
from cortexctl.text.units import GIB


@dataclass(frozen=True, slots=True)
class Budget:
    """`stages` in order; the printed totals are those of the tightest stage."""

    facts: Facts
    settings: Settings
    gpu: Gpu | None
    stages: tuple[StageBudget, ...]
    blocks: Estimate
    tokens: Estimate
    concurrency: Estimate
    length: int
    """max_model_len, reduced to fit if it is -1."""
    verdict: Verdict
    refusal: Refusal | None
    start: StartForecast
    notes: tuple[str, ...] = ()
    uncounted: str = ""
    """What the numbers leave out; also one of the notes."""

    @property
    def tightest(self) -> StageBudget:
        return min(self.stages, key=lambda s: s.blocks.value)


NO_GPU = Gpu("", 0.0)


def budget(facts: Facts, inputs: BudgetInputs) -> Budget:
    """The whole calculation; it reads nothing and contacts nothing."""
    settings = read_settings(facts, inputs.args, inputs.gpu or NO_GPU, inputs.version, environ=inputs.environ)
    partition = _partition(inputs.environ.get("VLLM_PP_LAYER_PARTITION", ""))
    pipeline = stages(len(facts.layers), settings.pp, partition)
    stage_budgets = tuple(_stage(facts, settings, stage, inputs) for stage in pipeline)
    tightest = min(stage_budgets, key=lambda s: s.blocks.value)
    length = settings.max_model_len
    if settings.auto_length:
        fits = (s.pool.longest(s.available.value * GIB, length) for s in stage_budgets if s.pool.groups)
        length = min(fits, default=length)
    blocks = tightest.blocks
    pool, spread = tightest.pool, settings.context_parallel
    concurrency = _through(blocks, lambda b: pool.concurrency(int(b), max(length, 1)) * spread)
    tokens = _through(blocks, lambda b: float(pool.tokens(int(b), max(length, 1)) * spread))
    if not settings.behaviour.known:
        tokens = _including(tokens, float(pool.tokens_by_groups(int(blocks.value), max(length, 1))))
    verdict, refusal = _verdict(facts, settings, inputs, stage_budgets, length)
    uncounted = uncounted_draft(settings.speculation, inputs.draft) if inputs.measured.weights_gib is None else ""
    notes = (*facts.unknown, *([uncounted] if uncounted else []), *_notes(facts, settings, inputs))
    return Budget(
        facts,
        settings,
        inputs.gpu,
        stage_budgets,
        blocks,
        tokens,
        concurrency,
        length,
        verdict,
        refusal,
        start_time(facts, settings, inputs.gpu or NO_GPU, _read(settings, stage_budgets, inputs), inputs.disk_rate),
        notes,
        uncounted,
    )


def _read(s: Settings, stages: tuple[StageBudget, ...], inputs: BudgetInputs) -> float:
    """GiB of the weights in their files; of quantisation while loading, only an index of the files has them."""
    loaded = sum(stage.weights.value for stage in stages) * s.tp
    return inputs.headers.total / GIB if inputs.headers and inputs.headers.total else loaded


def _stage(facts: Facts, s: Settings, stage: Stage, inputs: BudgetInputs) -> StageBudget:
    pool = stage_pool(facts, s, stage, inputs)
    weights = _weights(facts, s, stage, inputs)
    other, peak = _overhead(facts, s, stage, inputs)
    captured = _measured(inputs.measured.graphs_gib) or graphs(facts, s, inputs.gpu or NO_GPU)
    requested = Estimate.sure(math.ceil((inputs.gpu or NO_GPU).total * s.utilization) / GIB)
    available = _available(s, inputs, requested, (weights, other, peak, captured))
    counted = None if inputs.available_gib is not None else _counted(inputs.measured, pool, s)
    if counted is not None and inputs.measured.available_gib is None:  # older releases print nothing more than this
        available = Estimate.sure(counted * pool.block_bytes / GIB, "measured here")
    if counted is None and stage.last and has_unknown_cache(s.speculation, inputs.draft):
        available = replace(available, low=min(available.low, available.low / 2))
    if s.blocks_override:
        blocks = Estimate.sure(s.blocks_override)
    elif counted is not None:
        blocks = Estimate.sure(counted, "measured here")
    else:
        blocks = _through(available, lambda gib: float(pool.blocks(gib * GIB)))
    needed = Estimate.sure(pool.needed(s.max_model_len) / GIB)
    return StageBudget(stage, weights, other, peak, captured, requested, available, pool, blocks, needed)


def _overhead(facts: Facts, s: Settings, stage: Stage, inputs: BudgetInputs) -> tuple[Estimate, Estimate]:
    """(outside torch, activation peak). For some starts only their sum is known."""
    known = inputs.measured
    other = _measured(known.non_torch_gib) or non_torch(s, inputs.gpu or NO_GPU, inputs.free_gib)
    if known.transient_gib is None and known.together_gib is not None:
        apart = min(other.value, max(known.together_gib, 0.0))
        return Estimate.sure(apart, "measured here"), Estimate.sure(known.together_gib - apart, "measured here")
    return other, _measured(known.transient_gib) or transient(facts, s, inputs.gpu or NO_GPU, last=stage.last)


def _counted(known: Measured, pool: Pool, s: Settings) -> int | None:
    """Blocks of an equal start: as its log reports, or from its tokens if all layers share one table."""
    if known.blocks is not None or known.tokens is None or pool.tables != 1:
        return known.blocks
    length = max(s.max_model_len, 1)
    per_block = length / pool.per_request(length) if pool.behaviour.tokens_by_concurrency else pool.block_size
    return round(known.tokens / s.context_parallel / per_block)


def _available(s: Settings, inputs: BudgetInputs, requested: Estimate, spent: tuple[Estimate, ...]) -> Estimate:
    if inputs.available_gib is not None:
        return Estimate.sure(inputs.available_gib, "given")
    if s.kv_bytes:
        return Estimate.sure(s.kv_bytes / GIB, "given")
    if inputs.measured.available_gib is not None:
        return Estimate.sure(inputs.measured.available_gib, "measured here")
    left = requested.value - sum(p.value for p in spent)
    # The errors of the parts are independent: their distances add up as squares.
    below = math.hypot(*(p.high - p.value for p in spent))
    above = math.hypot(*(p.value - p.low for p in spent))
    return Estimate(left, left - below, left + above, weakest(*spent))


def stage_pool(facts: Facts, s: Settings, stage: Stage, inputs: BudgetInputs) -> Pool:
    """The block pool of a stage. The draft is on the last one."""
    acts, speculation, draft = s.behaviour, s.speculation, inputs.draft
    drafts = draft.facts if draft and stage.last and speculation.has_own_layers else None
    keeping = CacheOptions(
        s.tp,
        s.cache_bytes,
        s.model_bytes,
        acts,
        speculation.tokens if facts.hybrid else 0,
        speculation.layers if stage.last and drafts is None else 0,
        s.kv_dtype,
        s.state_bytes,
        inputs.environ.get("VLLM_MLA_DISABLE") != "1",
        speculation.method == "dflash",
    )
    pooling = PoolOptions(acts, s.block, s.in_flight, s.states, s.engine_v1, s.hybrid_manager)
    return _pool(facts, stage, keeping, pooling, drafts, speculation.tp)


@lru_cache(maxsize=1024)
def _pool(
    facts: Facts, stage: Stage, keeping: CacheOptions, pooling: PoolOptions, draft: Facts | None, draft_tp: int
) -> Pool:
    caches = layer_caches(facts, stage.layers, keeping)
    if draft is not None:
        caches += draft_caches(draft, replace(keeping, tp=draft_tp or keeping.tp))
    state, token, acts = largest_state(caches), smallest_token(caches), pooling.behaviour
    block = raised_block(pooling.block, state, token, pooling.states, acts=acts, latent=facts.latent)
    return pool_of(caches, replace(pooling, block=block))


def _weights(facts: Facts, s: Settings, stage: Stage, inputs: BudgetInputs) -> Estimate:
    if (known := _measured(inputs.measured.weights_gib)) is not None:
        return known
    weights, beside = _loaded(facts, s, stage, inputs), numbers_of_8_bits(s, inputs.gpu or NO_GPU)
    return Estimate(weights.value + beside, weights.low, weights.high + beside, weights.source) if beside else weights


def _loaded(facts: Facts, s: Settings, stage: Stage, inputs: BudgetInputs) -> Estimate:
    options = weight_options(s, inputs.gpu or NO_GPU)
    if not stage.last or not s.speculation.model:
        return loaded_weights(facts, stage, s.quant, options, inputs.headers)
    if inputs.draft is not None and not inputs.draft.problem:
        weights = loaded_weights(facts, stage, s.quant, replace(options, draft=""), inputs.headers)
        return _sum(weights, draft_weights(inputs.draft, s, options))
    weights = loaded_weights(facts, stage, s.quant, options, inputs.headers)
    missing = 0.0 if s.speculation.is_estimated else largest_missing(facts, s, weights)
    return replace(weights, high=weights.high + missing)


def _sum(one: Estimate, other: Estimate) -> Estimate:
    return Estimate(one.value + other.value, one.low + other.low, one.high + other.high, weakest(one, other))


def weight_options(s: Settings, gpu: Gpu) -> WeightOptions:
    """How this setting splits and stores weights."""
    shared = s.tp * s.dp if s.expert_parallel else s.tp
    split = Split(s.tp, shared, s.expert_parallel, s.behaviour.absorbed)
    towers = not (s.text_only and s.behaviour.since(0, 12))
    rank = s.lora_rank if s.loras else 0
    return WeightOptions(
        split,
        s.model_bytes,
        towers,
        s.speculation.method,
        _kernels(s, gpu),
        s.behaviour.limits_splits and gpu.capability > 0,
        MEASURED.covers(s, gpu),
        rank,
        s.loras,
        not s.pooling,
    )


def _kernels(s: Settings, gpu: Gpu) -> Kernels:
    """Those for Hopper served AWQ from 0.19 on, and MXFP4 since their Triton kernels are part of vLLM."""
    if gpu.capability == 9 and s.engine_v1 and s.behaviour.since(0, 19 if s.quant.scheme.name == "awq" else 14):
        return "hopper"
    return "blackwell" if gpu.capability >= 10 else ""


def _verdict(
    facts: Facts, s: Settings, inputs: BudgetInputs, stage_budgets: tuple[StageBudget, ...], length: int
) -> tuple[Verdict, Refusal | None]:
    draft = inputs.draft.facts if inputs.draft else None
    before = refused_before(facts, s, inputs.gpu, inputs.free_gib, draft)
    if before:
        return "refuses", before
    verdict, refusal = judge(
        s,
        stage_budgets,
        length,
        known_total=inputs.gpu is not None or inputs.available_gib is not None,
        free_gib=_free_for_weights(s, inputs),
    )
    if verdict == "starts" and is_too_long(s):  # permitted by an environment variable, or by another release
        return "uncertain", None
    if verdict == "starts" and (doubt := may_lack_free(s, inputs.gpu, inputs.free_gib)):
        return "uncertain", doubt
    gpu = inputs.gpu or NO_GPU
    taken = after_cache(facts, s, gpu) if verdict == "starts" and inputs.available_gib is None else None
    if taken is not None:
        return judge_after_cache(s, gpu, taken, left_beside(s, gpu, inputs.free_gib))
    return verdict, refusal


def _free_for_weights(s: Settings, inputs: BudgetInputs) -> float | None:
    """GiB of a GPU that weights can take; None where the memory for the cache is given, because they were loaded."""
    if inputs.gpu is None or inputs.available_gib is not None:
        return None
    if inputs.free_gib is not None:
        return inputs.free_gib
    idle = free_when_idle(inputs.gpu, s.ranks_before_check)
    return idle.high if idle else inputs.gpu.total_gib


def _measured(value: float | None) -> Estimate | None:
    return None if value is None else Estimate.sure(value, "measured here")


def _through(estimate: Estimate, rule: Any) -> Estimate:
    """A rule that grows with its argument, applied to a value and its range."""
    return Estimate(rule(estimate.value), rule(estimate.low), rule(estimate.high), estimate.source)


def _notes(facts: Facts, s: Settings, inputs: BudgetInputs) -> Iterator[str]:
    """What the numbers are based on."""
    yield from inputs.measured.notes
    if inputs.gpu is not None and inputs.gpu.shared and inputs.free_gib is None:
        yield "the GPU shares the machine's memory: the memory that is free at start decides; pass it with --free"
    if is_too_long(s) and (s.longer_allowed or not s.behaviour.known):
        which = "" if s.behaviour.known else ", and more in other releases"
        yield f"config.json allows {s.longest.most} tokens a request{which}; the effect of longer requests is not known"
    if inputs.available_gib is None and inputs.measured.transient_gib is None:
        yield from overhead_notes(facts, s, inputs.gpu or NO_GPU, inputs.free_gib)
    if may_hold_more(s.states, s.behaviour, facts):
        yield "a request holds one state more if the kernels of Gated DeltaNet are those of FlashInfer"
    if not s.behaviour.known:
        yield "the release is not known: numbers are those of the newest, and ranges include older ones"
    if s.behaviour.is_newer:
        yield (
            f"the release is newer than {NEWEST_KNOWN}, the newest that cortexctl knows: numbers are those of "
            f"{NEWEST_KNOWN}"
        )


def _including(estimate: Estimate, other: float) -> Estimate:
    """The range is extended to include an older release's value."""
    return Estimate(estimate.value, min(estimate.low, other), max(estimate.high, other), estimate.source)


def _partition(text: str) -> tuple[int, ...]:
    parts = text.split(",") if text else []
    return tuple(int(p) for p in parts) if all(p.strip().isdigit() for p in parts) else ()
