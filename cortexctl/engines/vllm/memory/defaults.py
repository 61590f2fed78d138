"""A release's defaults for arguments that are not set: engine, batch, prefix caching."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.vllm.memory.model_facts import Facts
from cortexctl.engines.vllm.memory.release_changes import Behaviour
from cortexctl.engines.vllm.memory.states import can_cache_prefixes


def uses_v1(
    acts: Behaviour, args: Mapping[str, Any], gpu: Gpu, facts: Facts, environ: Mapping[str, str], draft: str
) -> bool:
    """The default from 0.8.0 on, unless a feature is requested that it lacked; the only engine from 0.11 on."""
    if acts.since(0, 11):
        return True
    if (setting := environ.get("VLLM_USE_V1")) in {"0", "1"}:
        return setting == "1"
    if not acts.since(0, 8):
        return False
    if 0 < gpu.capability < 8.0 or (facts.pooling and not acts.since(0, 9, 2)):
        return False
    if str(args.get("kv_cache_dtype") or "auto") != "auto" and not acts.since(0, 8, 5):
        return False
    return not (draft and draft not in {"ngram", "eagle", "eagle3", "medusa", "deepseek_mtp"})


def batch(
    acts: Behaviour,
    args: Mapping[str, Any],
    gpu: Gpu,
    length: int,
    *,
    v1: bool,
    chunked: bool,
    offline: bool,
    whole_item: int = 0,
) -> tuple[int, int]:
    """(max_num_seqs, max_num_batched_tokens): the set values, or the release's defaults for this class of GPU.
    `whole_item`: tokens of an image or video that must be in one batch, from 0.22 on. vLLM:
    `EngineArgs._set_default_max_num_seqs_and_batched_tokens_args`, read in 0.11.1 to 0.33.0.
    """
    seqs, batched = _defaults(acts, gpu, length, v1=v1, chunked=chunked, offline=offline)
    if v1 and args.get("performance_mode") == "throughput":
        seqs, batched = 2 * seqs, 2 * batched
    if not chunked:
        as_long = v1 and acts.since(0, 9, 2) and not acts.since(0, 11, 1)
        batched = length if as_long else max(batched, length)
    if acts.since(0, 22):
        batched = max(batched, whole_item)
    seqs = whole_number(args, "max_num_seqs", 0) or seqs
    setting = whole_number(args, "max_num_batched_tokens", 0)
    if not setting and acts.since(0, 11, 1):
        batched = min(batched, seqs * length)
    batched = setting or batched
    if not args.get("max_num_seqs"):
        seqs = min(seqs, batched)
    return seqs, batched


def _defaults(acts: Behaviour, gpu: Gpu, length: int, *, v1: bool, chunked: bool, offline: bool) -> tuple[int, int]:
    """(sequences, batched tokens) by the class of the GPU: by its name up to 0.8.4, by its memory since."""
    if not v1:
        prefill = 512 if not acts.since(0, 6, 4) else 2048
        return 256, prefill if chunked else max(length, 2048)
    if acts.since(0, 8, 5):
        large = gpu.total_gib >= 70 and not (gpu.is_a100 and acts.since(0, 9))
    else:
        large = acts.since(0, 7, 3) and gpu.name.upper().startswith(("H100", "H200"))
    if acts.since(0, 28) and gpu.total_gib >= 160:
        return 1024, 16384
    if large:
        return 1024, 16384 if offline else 8192
    return 256 if acts.since(0, 8, 4) else 1024, 8192 if offline else 2048


def prefills_in_parts(
    acts: Behaviour, args: Mapping[str, Any], facts: Facts, length: int, *, v1: bool, pooling: bool
) -> bool:
    """Whether a prompt may be longer than a batch. V0 did so above 32768 tokens. For pooling V1 does from its first
    release with it on, 0.9.2, if the last token's state is the result; from 0.13 on also if those of all tokens are.
    vLLM: `ModelConfig.is_chunked_prefill_supported`.
    """
    if (setting := args.get("enable_chunked_prefill")) is not None:
        return bool(setting)
    if not v1 or not pooling:
        return v1 or (length > 32768 and not pooling)
    return facts.causal and acts.since(0, 9, 2) and _pooled_by(args, facts) in _IN_PARTS[acts.since(0, 13)]


_IN_PARTS = {False: {"last"}, True: {"last", "all"}}
"""The results of pooling that can be computed in parts: before 0.13, and from it on."""


def _pooled_by(args: Mapping[str, Any], facts: Facts) -> str:
    """What the result is made of: the argument, or the default of models with a causal attention."""
    config = args.get("pooler_config") or args.get("override_pooler_config")
    table = config if isinstance(config, Mapping) else {}
    named = table.get("seq_pooling_type") or table.get("tok_pooling_type") or table.get("pooling_type")
    if named:
        return str(named).lower()
    if facts.architecture.endswith("ForProcessRewardModel"):
        return "step"
    if facts.architecture.endswith(("ForRewardModel", "ForTokenClassification")) or args.get("task") == "reward":
        return "all"
    return "mean" if facts.architecture.startswith("GritLM") else "last"


def caches_prefixes(acts: Behaviour, args: Mapping[str, Any], facts: Facts) -> bool:
    """On by default. Models with states: from 0.28 on if they have attention, the Qwen3.5 line from 0.16 on; requested,
    where the release can.
    """
    setting = args.get("enable_prefix_caching")
    if not facts.hybrid:
        return True if setting is None else bool(setting)
    if setting is not None:
        return bool(setting) and can_cache_prefixes(facts, acts)
    if not facts.heads:
        return False
    return acts.since(0, 28) or (acts.since(0, 16) and facts.model_type.startswith("qwen3_5"))


def whole_number(args: Mapping[str, Any], name: str, default: int) -> int:
    """An argument as a whole number."""
    value = args.get(name)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
