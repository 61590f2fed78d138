"""Forecasts whether vLLM refuses to start: its rules in its order, with its own messages and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cortexctl.dataclass import dataclass
from cortexctl.engines.estimate import Estimate
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.vllm.memory import refusal_texts as texts
from cortexctl.engines.vllm.memory.idle import free_when_idle
from cortexctl.engines.vllm.memory.layers import Attention, Experts, Latent
from cortexctl.engines.vllm.memory.lengths import most_of_all_releases, scaled_length
from cortexctl.engines.vllm.memory.model_facts import Facts
from cortexctl.engines.vllm.memory.settings import Settings
from cortexctl.engines.vllm.memory.speculation import WHOLE
from cortexctl.engines.vllm.memory.stage import StageBudget
from cortexctl.text.units import GIB

Verdict = Literal["starts", "refuses", "uncertain", "unknown"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """`rule`: a short, stable name. `text`: vLLM's own message. `advice`: the flag to change."""

    rule: str
    text: str
    advice: str = ""
    estimated_max_model_len: int | None = None


def refused_before(
    facts: Facts, s: Settings, gpu: Gpu | None, free_gib: float | None, draft: Facts | None = None
) -> Refusal | None:
    """Reasons to refuse a start before any weight is loaded. Exact, unless free memory has changed since. `draft`: the
    facts of its draft model, if they are known.
    """
    before_loading = _heads(facts, s) or _length(facts, s) or _split(facts, s) or _batch(s)
    before_loading = before_loading or _vocabulary(facts, s, draft)
    if before_loading or free_gib is not None:
        return before_loading or _free(s, gpu, free_gib)
    idle = _idle(s, gpu)
    return _free(s, gpu, idle.high, idle) if idle else None


def may_lack_free(s: Settings, gpu: Gpu | None, free_gib: float | None) -> Refusal | None:
    """The refusal of a start that requests about as much as an idle GPU has free; None if free memory is known."""
    idle = _idle(s, gpu) if free_gib is None else None
    return _free(s, gpu, idle.low, idle) if idle else None


def _idle(s: Settings, gpu: Gpu | None) -> Estimate | None:
    return free_when_idle(gpu, s.ranks_before_check) if gpu else None


def _vocabulary(facts: Facts, s: Settings, draft: Facts | None) -> Refusal | None:
    """A draft model that shares nothing with its target must have the same tokens."""
    if draft is None or s.speculation.method != WHOLE or s.speculation.any_vocabulary or draft.vocab == facts.vocab:
        return None
    if not s.behaviour.since(0, 15):  # the first releases of V1 have no drafts of that kind, and 0.14 does not check
        return None
    text = (
        f"Target and draft model should have the same vocabulary size. Target model vocab_size={facts.vocab}. Draft "
        f"model vocab_size={draft.vocab}. Using models with different tokenizers can cause out-of-bounds errors during "
        "speculative decoding."
    )
    return Refusal("draft vocabulary", text, "a draft of the same family has the same vocabulary")


def _heads(facts: Facts, s: Settings) -> Refusal | None:
    if not facts.heads or facts.heads % s.tp == 0:
        return None
    text = f"Total number of attention heads ({facts.heads}) must be divisible by tensor parallel size ({s.tp})."
    fits = [n for n in range(1, s.tp) if facts.heads % n == 0]
    return Refusal("heads", text, f"tensor_parallel_size = {fits[-1]} divides them")


def _length(facts: Facts, s: Settings) -> Refusal | None:
    """For an unknown release, only what every release refuses."""
    if not is_too_long(s) or s.longer_allowed:
        return None
    if not s.behaviour.known and s.max_model_len <= most_of_all_releases(facts.lengths):
        return None
    longest = s.longest
    text = texts.too_long(
        s.behaviour, s.max_model_len, longest.key, longest.derived, facts.lengths.model_max_length or None
    )
    advice = f"max_model_len = {longest.most} is the maximum"
    if (scaled := scaled_length(facts.lengths)) >= s.max_model_len and s.behaviour.since(0, 30):
        advice += f"; hf_overrides.max_position_embeddings = {scaled} permits what YaRN does, which 0.29 did by itself"
    return Refusal("length", text, advice)


def is_too_long(s: Settings) -> bool:
    """Whether requests may be longer than the config allows."""
    return 0 < s.longest.most < s.max_model_len


def _split(facts: Facts, s: Settings) -> Refusal | None:
    """Quantised modules whose slice is not a whole number of blocks or groups."""
    scheme = s.quant.scheme
    if not s.quant.method or s.tp == 1 or not (scheme.block or scheme.group):
        return None
    for width, name in _inputs(facts, s):
        if width % s.tp:
            continue
        if scheme.block and s.quant.of(name, 0).block and width // s.tp % scheme.block:
            text = (
                f"Weight input_size_per_partition = {width // s.tp} is not divisible by weight quantization "
                f"block_k = {scheme.block}."
            )
            return Refusal("quantised split", text, "a smaller tensor_parallel_size, or expert parallelism for experts")
        if scheme.name in {"awq", "gptq"} and 0 < scheme.group < width and width // s.tp % scheme.group:
            text = (
                "The input size is not aligned with the quantized weight shape. This can be caused by too large "
                "tensor parallel size."
            )
            return Refusal("quantised split", text, "a smaller tensor_parallel_size")
    return None


def _inputs(facts: Facts, s: Settings) -> list[tuple[int, str]]:
    """(input width, module) of the row-parallel modules that are split over the ranks."""
    widths = {}
    for layer in facts.layers:
        for mlp in layer.mlps:
            if isinstance(mlp, Experts):
                if not s.expert_parallel:
                    widths["mlp.experts.down_proj"] = mlp.width
                if mlp.shared:
                    widths["mlp.shared_expert.down_proj"] = mlp.shared
            else:
                widths["mlp.down_proj"] = mlp.width
        for mixer in layer.mixers:
            if isinstance(mixer, Attention | Latent):
                widths["self_attn.o_proj"] = mixer.heads * mixer.v_dim
    return [(width, name) for name, width in widths.items()]


def _batch(s: Settings) -> Refusal | None:
    if s.batched_tokens < s.max_model_len and not s.chunked:
        text = (
            f"max_num_batched_tokens ({s.batched_tokens}) is smaller than max_model_len ({s.max_model_len}). This "
            "effectively limits the maximum sequence length to max_num_batched_tokens and makes vLLM reject longer "
            "sequences. Please increase max_num_batched_tokens or decrease max_model_len."
        )
        return Refusal("batch", text, f"max_num_batched_tokens = {s.max_model_len}, or chunked prefill")
    if s.batched_tokens < s.max_num_seqs:
        text = (
            f"max_num_batched_tokens ({s.batched_tokens}) must be greater than or equal to max_num_seqs "
            f"({s.max_num_seqs})."
        )
        return Refusal("batch", text, f"max_num_seqs = {s.batched_tokens} or less")
    return None


def _free(s: Settings, gpu: Gpu | None, free_gib: float | None, idle: Estimate | None = None) -> Refusal | None:
    """V1 checks free memory from 0.9.1 on; V0 did not. `idle`: of an idle GPU, where free memory is not known."""
    checks = s.engine_v1 and (s.behaviour.since(0, 9, 1) or not s.behaviour.known)
    if free_gib is None or gpu is None or s.kv_bytes or not checks or free_gib >= gpu.total_gib * s.utilization:
        return None
    free_gib = idle.value if idle else free_gib
    when = "on an idle GPU" if idle else "with the memory that is free now"
    text = texts.not_free(s.behaviour, free_gib, gpu.total_gib, s.utilization)
    most = int(free_gib / gpu.total_gib * 100) / 100
    return Refusal("free memory", text, f"gpu_memory_utilization = {most:.2f} is the maximum {when}")


def judge_after_cache(s: Settings, gpu: Gpu, taken: Estimate, left_gib: float) -> tuple[Verdict, Refusal | None]:
    """From the memory that a start takes beside its budget, and what is free there."""
    if taken.high <= left_gib:
        return "starts", None
    most = int((s.utilization - (taken.high - left_gib) / gpu.total_gib) * 100) / 100
    advice = f"gpu_memory_utilization = {max(most, 0.01):.2f} leaves memory for what a start takes after its cache"
    refusal = Refusal("memory after the cache", texts.DOES_NOT_LOAD, advice)
    return ("refuses", refusal) if taken.low > left_gib else ("uncertain", refusal)


def judge(
    s: Settings, stages: Sequence[StageBudget], length: int, *, known_total: bool, free_gib: float | None = None
) -> tuple[Verdict, Refusal | None]:
    """From the memory left for the cache. "uncertain": the range of the estimate includes both answers. `free_gib`: of
    a GPU before weights are loaded, if it is known.
    """
    if not known_total:
        return "unknown", None
    worst = (_short(s, stage, length, stage.weights.value, stage.available.value, free_gib) for stage in stages)
    refusal = next((r for r in worst if r), None)
    if refusal is None:
        close = any(_short(s, p, length, p.weights.high, p.available.low, free_gib) for p in stages)
        return ("uncertain", None) if close else ("starts", None)
    sure = any(_short(s, p, length, p.weights.low, p.available.high, free_gib) for p in stages)
    return ("refuses", refusal) if sure else ("uncertain", refusal)


def _short(
    s: Settings, stage: StageBudget, length: int, weights_gib: float, available_gib: float, free_gib: float | None
) -> Refusal | None:
    if free_gib is not None and weights_gib > free_gib:
        return Refusal("weights", texts.DOES_NOT_LOAD, "a quantised checkpoint, or more GPUs")
    if not stage.pool.groups:
        return None
    available = available_gib * GIB
    if s.blocks_override:
        available = float(s.blocks_override * stage.pool.block_bytes)
    if available <= 0:
        is_in_vain = free_gib is not None and stage.spent > free_gib
        more = "a quantised checkpoint" if is_in_vain else "a larger gpu_memory_utilization"
        return Refusal("no memory", texts.no_memory(s.behaviour, v1=s.engine_v1), f"{more}, or more GPUs")
    if not s.engine_v1:
        return _short_v0(stage, length, available)
    longest = stage.pool.longest(available, max(length, 1))
    if s.auto_length:
        return None if longest else Refusal("auto length", texts.NO_LENGTH, "a larger gpu_memory_utilization")
    needed = stage.pool.needed(length)
    room = stage.pool.checked(available)
    if needed <= room:
        return None
    text = texts.one_request(s.behaviour, length, needed, room, longest)
    return Refusal("one request", text, f"max_model_len = {longest} fits" if longest else "", longest)


def _short_v0(stage: StageBudget, length: int, available: float) -> Refusal | None:
    room = stage.pool.blocks(available) * stage.pool.block_size
    if length <= room:
        return None
    return Refusal("one request", texts.more_than_blocks(length, room), f"max_model_len = {room} fits", room)
