"""The parts of a decoder that affect memory. Widths in elements, all of the whole model: nothing is split."""

from __future__ import annotations

from typing import Literal

from cortexctl.dataclass import dataclass

Window = Literal["full", "sliding", "chunked"]


@dataclass(frozen=True, slots=True)
class Attention:
    """Grouped-query attention. `window`: the tokens that a sliding or chunked layer attends to."""

    heads: int
    kv_heads: int
    head_dim: int
    v_dim: int
    kind: Window = "full"
    window: int = 0
    gated: bool = False
    bias: bool = False
    owns_cache: bool = True
    """False: it uses the cache of an earlier layer, and has no key and value projection."""
    key_is_value: bool = False
    """One projection computes both; both are cached all the same."""


@dataclass(frozen=True, slots=True)
class Latent:
    """Multi-head latent attention (MLA): one compressed vector per token is cached, the same on every rank."""

    heads: int
    q_lora: int
    kv_lora: int
    nope: int
    rope: int
    v_dim: int
    index_heads: int = 0
    index_dim: int = 0
    """For the sparse indexer; 0 if there is none."""


@dataclass(frozen=True, slots=True)
class DeltaNet:
    """Gated DeltaNet: a state of fixed size per request instead of a cache."""

    k_heads: int
    v_heads: int
    k_dim: int
    v_dim: int
    conv: int


@dataclass(frozen=True, slots=True)
class Kda:
    """Kimi delta attention: three short convolutions and one state."""

    heads: int
    head_dim: int
    conv: int


@dataclass(frozen=True, slots=True)
class Mamba:
    """Mamba 2, or Mamba 1 if `dt_rank` is set (it has one head per channel and no groups)."""

    inner: int
    heads: int
    groups: int
    state: int
    conv: int
    dt_rank: int = 0


@dataclass(frozen=True, slots=True)
class ShortConv:
    """A gated short convolution (LFM2)."""

    width: int
    conv: int


Mixer = Attention | Latent | DeltaNet | Kda | Mamba | ShortConv
STATES = (DeltaNet, Kda, Mamba, ShortConv)


@dataclass(frozen=True, slots=True)
class Dense:
    """A feed-forward block with `matrices` matrices: three with a gate, two without."""

    width: int
    matrices: int = 3
    bias: bool = False


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture of experts, and the shared expert beside it (width 0: none)."""

    count: int
    width: int
    top_k: int
    shared: int = 0
    matrices: int = 3
    bias: bool = False


@dataclass(frozen=True, slots=True)
class Layer:
    """One decoder layer; some families have several mixers or feed-forward blocks side by side, or none of a kind."""

    mixers: tuple[Mixer, ...]
    mlps: tuple[Dense | Experts, ...]


@dataclass(frozen=True, slots=True)
class Tower:
    """A vision or audio encoder: parameters that are split over the ranks, and those of its projector."""

    parameters: int
    modality: Literal["vision", "audio"]
    hidden: int = 0
    width: int = 0
    """Of its own feed-forward block."""
    patches: int = 0
    """For the largest item."""
    tokens: int = 1
    """Text tokens that the largest item becomes."""
    numbers: int = 0
    """Of one patch's input."""
    matrices: int = 2
    """Of a feed-forward block: three with a gate."""
    frames: int = 1
    """The largest video is as large as this many of the largest images."""
