"""The cache of each layer for a request: pages of N tokens, or a state of fixed size."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.memory.layers import Attention, DeltaNet, Kda, Latent, Mamba, Mixer, ShortConv, Window
from cortexctl.engines.vllm.memory.model_facts import Facts
from cortexctl.engines.vllm.memory.release_changes import Behaviour

Kind = Literal[Window, "state"]


@dataclass(frozen=True, slots=True)
class Cache:
    """One layer's cache on one GPU. `token`: bytes per token (0 for a state); `state`: bytes of the state."""

    kind: Kind
    token: int
    state: int = 0
    window: int = 0
    apart: bool = False
    """A draft's cache that is in no group with the target's layers."""


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """The inputs for the size of caches, apart from the model."""

    tp: int
    kv_bytes: float
    model_bytes: int
    behaviour: Behaviour
    speculative_tokens: int = 0
    draft_layers: int = 0
    """Full-attention layers that a draft head adds; each like the target's own."""
    kv_dtype: str = "auto"
    state_bytes: int = 0
    """Bytes of a number in a state; 0: as the model defines."""
    latent: bool = True
    """False: VLLM_MLA_DISABLE is set."""
    draft_apart: bool = False
    """The draft's layers are not grouped with those of the target: they attend in both directions."""


def layer_caches(facts: Facts, layers: range, options: CacheOptions) -> list[Cache]:
    """The caches of a stage's layers, in order; those of a draft whose config is not known at the end."""
    caches = [c for i in layers for m in facts.layers[i].mixers if (c := _cache(m, facts, options))]
    if options.draft_layers:
        like = next((c for c in reversed(caches) if c.kind != "state"), None)
        caches += [Cache("full", like.token, apart=options.draft_apart)] * options.draft_layers if like else []
    return caches


def draft_caches(draft: Facts, options: CacheOptions) -> list[Cache]:
    """The caches of all layers of a draft. `options`: those of its target, with its own split."""
    caches = layer_caches(draft, range(len(draft.layers)), replace(options, draft_layers=0))
    return [replace(cache, apart=options.draft_apart) for cache in caches]


def _cache(mixer: Mixer, facts: Facts, options: CacheOptions) -> Cache | None:
    if isinstance(mixer, Attention):
        if not mixer.owns_cache or facts.encoder_only:
            return None
        heads = max(1, mixer.kv_heads // options.tp)
        token = heads * _vector(mixer.head_dim, mixer.v_dim, options)
        return Cache(mixer.kind, token, window=mixer.window)
    if isinstance(mixer, Latent):
        return Cache("full", _latent(mixer, options))
    return Cache("state", 0, state_bytes(mixer, facts, options))


def _vector(key: int, value: int, options: CacheOptions) -> int:
    """Bytes of one head's key and value."""
    if options.kv_dtype.endswith("_per_token_head"):
        return int((key + value) * options.kv_bytes) + 8
    return int((key + value) * options.kv_bytes)


def _latent(mixer: Latent, options: CacheOptions) -> int:
    """The packed formats of sparse attention have special sizes. The indexer stores 8-bit keys and a scale."""
    if not options.behaviour.since(0, 7) or not options.latent:
        return (
            2 * mixer.heads // options.tp * 256 * int(options.kv_bytes)
        )  # whole heads, padded for the kernels of these releases
    width = mixer.kv_lora + mixer.rope
    step = options.behaviour.latent_padding
    index = mixer.index_dim + 4 if mixer.index_dim else 0
    if mixer.index_dim and options.kv_dtype in {"fp8", "fp8_e4m3", "fp8_ds_mla"}:
        return 656 + index
    return int(-(-width // step) * step * options.kv_bytes) + index


def state_bytes(mixer: Mixer, facts: Facts, options: CacheOptions) -> int:
    """One request's state in one layer, including its convolution. vLLM: `MambaStateShapeCalculator`."""
    ssm = options.state_bytes or facts.ssm_bytes or options.model_bytes
    match mixer:
        case DeltaNet():
            rows = (2 * mixer.k_heads * mixer.k_dim + mixer.v_heads * mixer.v_dim) // options.tp
            conv = rows * (mixer.conv - 1 + options.speculative_tokens)
            return conv * options.model_bytes + mixer.v_heads // options.tp * mixer.k_dim * mixer.v_dim * ssm
        case Kda():
            width = mixer.heads * mixer.head_dim // options.tp
            conv = 3 * width * (mixer.conv - 1 + options.speculative_tokens)
            return conv * options.model_bytes + mixer.heads // options.tp * mixer.head_dim**2 * 4
        case Mamba():
            groups = max(mixer.groups, options.tp) if mixer.groups else 0
            rows = (mixer.inner + 2 * groups * mixer.state) // options.tp
            conv = rows * (mixer.conv - 1 + (0 if mixer.dt_rank else options.speculative_tokens))
            return conv * options.model_bytes + mixer.inner // options.tp * mixer.state * ssm
        case ShortConv():
            return mixer.width // options.tp * (mixer.conv - 1 + options.speculative_tokens) * options.model_bytes
    return 0


def largest_state(caches: list[Cache]) -> int:
    """Bytes; 0 without a state."""
    return max((c.state for c in caches if c.kind == "state"), default=0)


def smallest_token(caches: list[Cache]) -> int:
    """Bytes of a token in the smallest cache that grows; 0 without one."""
    return min((c.token for c in caches if c.kind != "state"), default=0)
