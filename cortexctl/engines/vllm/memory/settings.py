"""Launch arguments as numbers: the set ones, and the release's defaults for the others."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.command.effective import canonical_args, release_of
from cortexctl.engines.vllm.memory.block_sizes import block_size
from cortexctl.engines.vllm.memory.defaults import (
    batch,
    caches_prefixes,
    prefills_in_parts,
    uses_v1,
    whole_number,
)
from cortexctl.engines.vllm.memory.lengths import NO_LIMIT, LongestRequest, longest_request
from cortexctl.engines.vllm.memory.model_facts import BYTES, Facts
from cortexctl.engines.vllm.memory.quantisation import NOT_QUANTISED, Quantisation, online
from cortexctl.engines.vllm.memory.release_changes import Behaviour, behaviour
from cortexctl.engines.vllm.memory.runners import uses_second_runner
from cortexctl.engines.vllm.memory.speculation import NO_SPECULATION, Speculation, read_speculation
from cortexctl.engines.vllm.memory.states import ONE_STATE, States, states_of
from cortexctl.engines.vllm.version import NEWEST_KNOWN


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides memory, apart from the model and the GPU."""

    behaviour: Behaviour
    engine_v1: bool
    tp: int = 1
    pp: int = 1
    dp: int = 1
    expert_parallel: bool = False
    utilization: float = 0.9
    max_model_len: int = 2048
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
    speculation: Speculation = NO_SPECULATION
    context_parallel: int = 1
    auto_length: bool = False
    """max_model_len -1: the longest that fits."""
    offline: bool = False
    state_bytes: int = 0
    """Bytes of a number in a state, from mamba_ssm_cache_dtype; 0: as the model defines."""
    pooling: bool = False
    """No token is sampled."""
    second_runner: bool = False
    """The second model runner, which took over model by model from 0.22 to 0.29."""
    longer_allowed: bool = False
    """VLLM_ALLOW_LONG_MAX_MODEL_LEN is set: max_model_len may be more than the config allows."""
    videos: bool = True
    """False: limit_mm_per_prompt excludes them."""
    longest: LongestRequest = NO_LIMIT
    """What the config allows in this release."""
    states: States = ONE_STATE

    @property
    def model_bytes(self) -> int:
        return BYTES.get(self.dtype, 2)

    @property
    def cache_bytes(self) -> float:
        """Bytes of a number in the KV cache."""
        return kv_size(self.kv_dtype) or float(self.model_bytes)

    @property
    def ranks(self) -> int:
        """GPUs of the server."""
        return self.tp * self.pp * self.dp

    @property
    def ranks_before_check(self) -> int:
        """Ranks that have set up NCCL when free memory is checked; 1 where the check is first."""
        return 1 if self.behaviour.counts_nccl else self.tp * self.pp

    @property
    def in_flight(self) -> int:
        """Tokens that are scheduled and not finished: a batch, or from 0.26 on one for every batch in progress. The
        second model runner holds one more than stages; asynchronous scheduling on one stage holds two.
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
    """The arguments of a stack or a command line as numbers. Names are vLLM's own; values may have any spelling that
    the release accepts. Arguments that are not set get the release's default.
    """
    acts = behaviour(version)
    release = _release(version)
    args = canonical_args({k: v for k, v in args.items() if v is not None}, release)
    environ = environ or {}
    dtype = _dtype(args, facts)
    kv = str(args.get("kv_cache_dtype") or "auto")
    if kv == "auto" and facts.quant.kv_scheme and acts.since(0, 10):
        kv = facts.quant.kv_scheme
    speculation = read_speculation(args)
    v1 = uses_v1(acts, args, gpu, facts, environ, speculation.method)
    longest = longest_request(facts.lengths, acts, windows_off=bool(args.get("disable_sliding_window")))
    length, auto = _length(args, longest)
    offline = str(args.get("entrypoint") or "") == "offline"
    pooling = facts.pooling or _pools(args)
    chunked = prefills_in_parts(acts, args, facts, length, v1=v1, pooling=pooling)
    whole = facts.whole_item
    seqs, batched = batch(acts, args, gpu, length, v1=v1, chunked=chunked, offline=offline, whole_item=whole)
    prefixes = caches_prefixes(acts, args, facts)
    states = states_of(acts, args, facts, caches_prefixes=prefixes, speculative_tokens=speculation.tokens)
    return Settings(
        acts,
        v1,
        whole_number(args, "tensor_parallel_size", 1),
        whole_number(args, "pipeline_parallel_size", 1),
        whole_number(args, "data_parallel_size", 1),
        bool(args.get("enable_expert_parallel")),
        float(args.get("gpu_memory_utilization") or _default_use(version)),
        length,
        seqs,
        batched,
        chunked,
        dtype,
        kv,
        bool(args.get("enforce_eager")),
        prefixes,
        block_size(acts, args, gpu, facts, kv, environ),
        _quant(args, facts),
        _text_only(args),
        whole_number(args, "num_gpu_blocks_override", 0),
        whole_number(args, "kv_cache_memory_bytes", 0) if acts.since(0, 10, 2) else 0,
        not args.get("disable_hybrid_kv_cache_manager"),
        whole_number(args, "max_loras", 1) if args.get("enable_lora") else 0,
        whole_number(args, "max_lora_rank", 16),
        speculation,
        whole_number(args, "decode_context_parallel_size", 1),
        auto,
        offline,
        BYTES.get(str(args.get("mamba_ssm_cache_dtype") or ""), 0),
        pooling,
        uses_second_runner(acts, args, facts, environ, speculation, states, pooling=pooling),
        environ.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "").strip().lower() in {"1", "true"},
        _table(args.get("limit_mm_per_prompt")).get("video") != 0,
        longest,
        states,
    )


@cache
def _release(version: str | None) -> catalogue.Release:
    acts = behaviour(version)
    return release_of(".".join(map(str, acts.version))) if acts.known else release_of(NEWEST_KNOWN)


@cache
def _default_use(version: str | None) -> float:
    """The default of gpu_memory_utilization."""
    option = _release(version).option("gpu_memory_utilization")
    return float((option.default if option else None) or 0.9)


def _dtype(args: Mapping[str, Any], facts: Facts) -> str:
    named = str(args.get("dtype") or "auto")
    return facts.dtype if named == "auto" else {"half": "float16", "float": "float32"}.get(named, named)


def _length(args: Mapping[str, Any], longest: LongestRequest) -> tuple[int, bool]:
    setting = args.get("max_model_len")
    if setting in {None, "auto", -1}:
        return longest.default, setting is not None
    return int(setting or longest.default), False


def _pools(args: Mapping[str, Any]) -> bool:
    """Whether a generating model is used for pooling; older releases call it a task."""
    task = str(args.get("task") or args.get("convert") or "auto")
    return args.get("runner") == "pooling" or task in {"embed", "embedding", "classify", "score", "reward"}


def _quant(args: Mapping[str, Any], facts: Facts) -> Quantisation:
    setting = str(args.get("quantization") or "")
    return online(setting) if setting and not facts.quant.method else facts.quant


def _text_only(args: Mapping[str, Any]) -> bool:
    if args.get("language_model_only"):
        return True
    limits = _table(args.get("limit_mm_per_prompt"))
    return bool(limits) and all(n == 0 for n in limits.values())


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
