"""Launch arguments as numbers: what is set, and what a release decides for what is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from cortexctl.vllm import catalogue
from cortexctl.vllm.effective import canonical_args, release_of
from cortexctl.vllm.memory.facts import BYTES, Facts
from cortexctl.vllm.memory.gpus import Gpu
from cortexctl.vllm.memory.history import Behaviour, behaviour
from cortexctl.vllm.memory.layers import Latent
from cortexctl.vllm.memory.quantisation import NOT_QUANTISED, Quantisation, online
from cortexctl.vllm.version import NEWEST_KNOWN

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Settings:
    """All that decides memory, apart from the model and the GPU."""

    behaviour: Behaviour
    engine_v1: bool
    tp: int = 1
    pp: int = 1
    dp: int = 1
    expert_parallel: bool = False
    utilization: float = 0.9
    max_model_len: int = 2048
    longest: int = 2048
    """What the config allows; `max_model_len` is one of them."""
    max_num_seqs: int = 256
    batched_tokens: int = 2048
    chunked: bool = True
    dtype: str = "bfloat16"
    kv_dtype: str = "auto"
    eager: bool = False
    prefix_caching: bool = True
    block: int = 16
    quant: Quantisation = NOT_QUANTISED
    text_only: bool = False
    blocks_override: int = 0
    kv_bytes: int = 0
    """kv_cache_memory_bytes."""
    hybrid_manager: bool = True
    loras: int = 0
    lora_rank: int = 16
    draft: str = ""
    """The method of speculative_config."""
    draft_tokens: int = 0
    context_parallel: int = 1
    auto_length: bool = False
    """max_model_len -1: as long as fits."""
    offline: bool = False
    state_bytes: int = 0
    """Of a number in a state, by mamba_ssm_cache_dtype; 0: as the model says."""
    pooling: bool = False
    """No token is sampled."""
    second_runner: bool = False
    """The second model runner, which took over model by model from 0.22 to 0.30."""

    @property
    def model_bytes(self) -> int:
        return BYTES.get(self.dtype, 2)

    @property
    def cache_bytes(self) -> float:
        """Bytes of a number in the KV cache."""
        return kv_size(self.kv_dtype) or float(self.model_bytes)

    @property
    def draft_layers(self) -> int:
        """Layers with a cache that the draft adds."""
        if not self.draft or self.draft == "ngram" or "suffix" in self.draft:
            return 0
        return 5 if self.draft == "dflash" else 1  # all drafters of that kind that were published so far

    @property
    def in_flight(self) -> int:
        """Tokens that are scheduled and not settled: a batch, or from 0.26 on one for every batch under way. The second
        model runner holds one more than stages; asynchronous scheduling on one stage holds two.
        """
        if not self.behaviour.counts_in_flight:
            return self.batched_tokens
        stages = self.pp + 1 if self.second_runner else self.pp
        return self.batched_tokens * (2 if self.pp <= 1 else stages)


def kv_size(kind: str) -> float:
    """Bytes of a number of a kv_cache_dtype; 0 for auto."""
    if kind.startswith(("fp8", "int8")):
        return 1.0
    if kind.startswith("nvfp4"):
        return 0.5 + 1 / 16
    if kind.startswith("int4"):
        return 0.5
    return float(BYTES.get(kind, 0))


def read_settings(
    facts: Facts, args: Mapping[str, Any], gpu: Gpu, version: str | None, *, environ: Mapping[str, str] | None = None
) -> Settings:
    """The arguments of a stack or a command line -> numbers. Names are vLLM's own; values may be spelled in any way
    that the release takes. What is not set is as the release decides it.
    """
    acts = behaviour(version)
    release = _release(version)
    given = canonical_args({k: v for k, v in args.items() if v is not None}, release)
    environ = environ or {}
    dtype = _dtype(given, facts)
    kv = str(given.get("kv_cache_dtype") or "auto")
    if kv == "auto" and facts.quant.kv_scheme and acts.since(0, 10):
        kv = facts.quant.kv_scheme
    speculative = _table(given.get("speculative_config"))
    draft = str(speculative.get("method") or ("draft_model" if speculative.get("model") else ""))
    v1 = _is_v1(acts, given, gpu, facts, environ, draft)
    length, auto = _length(given, facts)
    offline = str(given.get("entrypoint") or "") == "offline"
    pooling = facts.pooling or _pools(given)
    chunked = given.get("enable_chunked_prefill")
    chunked = bool(chunked) if chunked is not None else (v1 and not pooling) or length > 32768
    seqs, batched = _batch(acts, given, gpu, length, v1=v1, chunked=chunked, offline=offline)
    return Settings(
        acts,
        v1,
        _int(given, "tensor_parallel_size", 1),
        _int(given, "pipeline_parallel_size", 1),
        _int(given, "data_parallel_size", 1),
        bool(given.get("enable_expert_parallel")),
        float(given.get("gpu_memory_utilization") or _default_use(version)),
        length,
        max(length, facts.derived_len),
        seqs,
        batched,
        chunked,
        dtype,
        kv,
        bool(given.get("enforce_eager")),
        _prefix_caching(acts, given, facts),
        _int(given, "block_size", 0) or _block(acts, gpu, facts),
        _quant(given, facts),
        _text_only(given),
        _int(given, "num_gpu_blocks_override", 0),
        _int(given, "kv_cache_memory_bytes", 0) if acts.since(0, 10, 2) else 0,
        not given.get("disable_hybrid_kv_cache_manager"),
        _int(given, "max_loras", 1) if given.get("enable_lora") else 0,
        _int(given, "max_lora_rank", 16),
        draft,
        int(speculative.get("num_speculative_tokens") or (1 if draft else 0)),
        _int(given, "decode_context_parallel_size", 1),
        auto,
        offline,
        BYTES.get(str(given.get("mamba_ssm_cache_dtype") or ""), 0),
        pooling,
        _second_runner(acts, facts, environ),
    )


@cache
def _release(version: str | None) -> catalogue.Release:
    found = behaviour(version)
    return release_of(".".join(map(str, found.version))) if found.known else release_of(NEWEST_KNOWN)


@cache
def _default_use(version: str | None) -> float:
    """gpu_memory_utilization where it is not set."""
    option = _release(version).option("gpu_memory_utilization")
    return float((option.default if option else None) or 0.9)


def _dtype(given: Mapping[str, Any], facts: Facts) -> str:
    named = str(given.get("dtype") or "auto")
    return facts.dtype if named == "auto" else {"half": "float16", "float": "float32"}.get(named, named)


def _length(given: Mapping[str, Any], facts: Facts) -> tuple[int, bool]:
    asked = given.get("max_model_len")
    if asked in {None, "auto", -1}:
        return facts.derived_len, asked is not None
    return int(asked or facts.derived_len), False


def _is_v1(
    acts: Behaviour, given: Mapping[str, Any], gpu: Gpu, facts: Facts, environ: Mapping[str, str], draft: str
) -> bool:
    """The default from 0.8.0 on, unless something is asked of it that it lacked; the only engine from 0.11 on."""
    if acts.since(0, 11):
        return True
    if (asked := environ.get("VLLM_USE_V1")) in {"0", "1"}:
        return asked == "1"
    if not acts.since(0, 8):
        return False
    if 0 < gpu.capability < 8.0 or (facts.pooling and not acts.since(0, 9, 2)):
        return False
    if str(given.get("kv_cache_dtype") or "auto") != "auto" and not acts.since(0, 8, 5):
        return False
    return not (draft and draft not in {"ngram", "eagle", "eagle3", "medusa", "deepseek_mtp"})


def _batch(
    acts: Behaviour,
    given: Mapping[str, Any],
    gpu: Gpu,
    length: int,
    *,
    v1: bool,
    chunked: bool,
    offline: bool,
) -> tuple[int, int]:
    """(max_num_seqs, max_num_batched_tokens): set, or the release's own for this class of GPU."""
    seqs, batched = _defaults(acts, gpu, length, v1=v1, chunked=chunked, offline=offline)
    if v1 and given.get("performance_mode") == "throughput":
        seqs, batched = 2 * seqs, 2 * batched
    if not chunked:
        batched = max(batched, length)
    seqs = _int(given, "max_num_seqs", 0) or seqs
    asked = _int(given, "max_num_batched_tokens", 0)
    if not asked and acts.since(0, 11, 2):
        batched = min(batched, seqs * length)
    batched = asked or batched
    if not given.get("max_num_seqs"):
        seqs = min(seqs, batched)
    return seqs, batched


def _defaults(acts: Behaviour, gpu: Gpu, length: int, *, v1: bool, chunked: bool, offline: bool) -> tuple[int, int]:
    """(sequences, batched tokens) by the class of the GPU: its name to 0.8.4, its memory since."""
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


_FIRST_ON_SECOND = {
    "DeepseekV2ForCausalLM",
    "GraniteMoeForCausalLM",
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2MoeForCausalLM",
    "Qwen3ForCausalLM",
}


def _second_runner(acts: Behaviour, facts: Facts, environ: Mapping[str, str]) -> bool:
    """Whether the release runs the model by its second runner: Qwen3 from 0.22, a short list from 0.24, dense models
    from 0.25, all from 0.30. vLLM: `VllmConfig.use_v2_model_runner`.
    """
    if (asked := environ.get("VLLM_USE_V2_MODEL_RUNNER")) in {"0", "1"}:
        return asked == "1"
    if not acts.known or not acts.since(0, 22):
        return False  # where the release is unknown: the one that needs more
    if acts.since(0, 30):
        return True
    listed = facts.architecture in _FIRST_ON_SECOND
    dense = facts.experts is None and not facts.pooling
    if acts.since(0, 25):
        return not facts.hybrid and (dense or (listed and not facts.pooling))
    if acts.since(0, 24):
        return listed
    return facts.architecture == "Qwen3ForCausalLM" and dense and not facts.quant.method


def _prefix_caching(acts: Behaviour, given: Mapping[str, Any], facts: Facts) -> bool:
    """On by default; beside states only from 0.28 on, and before that for the Qwen3.5 line from 0.16 on."""
    if (asked := given.get("enable_prefix_caching")) is not None:
        return bool(asked)
    if not facts.hybrid:
        return True
    return acts.since(0, 28) or (acts.since(0, 16) and facts.model_type.startswith("qwen3_5"))


def _block(acts: Behaviour, gpu: Gpu, facts: Facts) -> int:
    """16 tokens; the kernels that are chosen for latent vectors of 576 on Hopper and later take 64."""
    return 64 if _latent_widths(facts) == {576} and acts.since(0, 8) and gpu.capability >= 9 else 16


@lru_cache(maxsize=64)
def _latent_widths(facts: Facts) -> set[int]:
    return {m.kv_lora + m.rope for layer in facts.layers for m in layer.mixers if isinstance(m, Latent)}


def _pools(given: Mapping[str, Any]) -> bool:
    """Whether a generating model is asked to pool; older releases call it a task."""
    task = str(given.get("task") or given.get("convert") or "auto")
    return given.get("runner") == "pooling" or task in {"embed", "embedding", "classify", "score", "reward"}


def _quant(given: Mapping[str, Any], facts: Facts) -> Quantisation:
    asked = str(given.get("quantization") or "")
    return online(asked) if asked and not facts.quant.method else facts.quant


def _text_only(given: Mapping[str, Any]) -> bool:
    if given.get("language_model_only"):
        return True
    limits = _table(given.get("limit_mm_per_prompt"))
    return bool(limits) and all(n == 0 for n in limits.values())


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _int(given: Mapping[str, Any], name: str, default: int) -> int:
    found = given.get(name)
    return int(found) if isinstance(found, int | float) and not isinstance(found, bool) else default
