"""A config.json as facts: layers with their widths, vocabulary, towers, quantisation, lengths."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.memory.config import Config, UnknownModel, overridden
from cortexctl.engines.vllm.memory.families import ENCODERS, FAMILIES, PLAIN, Family
from cortexctl.engines.vllm.memory.layers import STATES, Attention, DeltaNet, Experts, Latent, Layer, Mixer, Tower
from cortexctl.engines.vllm.memory.lengths import Lengths, read_lengths
from cortexctl.engines.vllm.memory.mixers import mixers_of
from cortexctl.engines.vllm.memory.mlps import mlps_of
from cortexctl.engines.vllm.memory.quantisation import Quantisation, quantisation_of
from cortexctl.engines.vllm.memory.towers import towers_of

BYTES = {"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2}

_GENERATES = ("ForCausalLM", "ForConditionalGeneration", "ChatModel", "LMHeadModel")
_POOLING = ("Model", "ForSequenceClassification", "ForRewardModel", "ForTokenClassification", "ForEmbedding")
"""Ends of architectures, after those that generate. vLLM: `_SUFFIX_TO_DEFAULTS`, read in 0.6.6 to 0.33.0."""


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """One model. `unknown` names the properties that the config does not show; the common case was assumed."""

    architecture: str
    model_type: str
    hidden: int
    vocab: int
    layers: tuple[Layer, ...]
    tied: bool
    dtype: str
    lengths: Lengths
    quant: Quantisation
    towers: tuple[Tower, ...] = ()
    positions: int = 0
    """Rows of the rotary table, which counts as part of the weights."""
    rotary: int = 0
    """Width of the rotary table; 0 if positions are not rotary."""
    learned_positions: int = 0
    pooling: bool = False
    encoder_only: bool = False
    causal: bool = True
    """A token attends only to those before it."""
    mtp_layers: int = 0
    """Layers that predict further tokens; loaded only if speculative_config requests them."""
    per_layer_input: int = 0
    """Width of a token's own embedding in every layer (small Gemma models)."""
    per_layer_vocab: int = 0
    norms: int = 2
    ssm_bytes: int = 0
    """Bytes of a number in a state, if the config sets it; 0: as the weights."""
    whole_item: int = 0
    """Tokens of the largest image or video, if its tokens attend in both directions."""
    state_chunk: int = 0
    """Tokens that the kernels of its states work on at once."""
    soft_capped: bool = False
    """Logits are capped by a function, which copies them."""
    unknown: tuple[str, ...] = ()

    @property
    def hybrid(self) -> bool:
        return _any_mixer(self, STATES)

    @property
    def latent(self) -> bool:
        return _any_mixer(self, (Latent,))

    @property
    def experts(self) -> Experts | None:
        """From the first layer that has any."""
        return _first_experts(self)

    @property
    def heads(self) -> int:
        """Query heads of the first attention layer; 0 if there is none."""
        return _first_heads(self)


@lru_cache(maxsize=256)
def _any_mixer(facts: Facts, kinds: tuple[type, ...]) -> bool:
    return any(isinstance(m, kinds) for layer in facts.layers for m in layer.mixers)


@lru_cache(maxsize=64)
def _first_experts(facts: Facts) -> Experts | None:
    return next((m for layer in facts.layers for m in layer.mlps if isinstance(m, Experts)), None)


@lru_cache(maxsize=64)
def _first_heads(facts: Facts) -> int:
    head_counts = (m.heads for layer in facts.layers for m in layer.mixers if isinstance(m, Attention | Latent))
    return next(head_counts, 0)


def read_facts(raw: Mapping[str, Any], args: Mapping[str, Any] = MappingProxyType({})) -> Facts:
    """Facts from config.json with overrides from launch arguments. Raises UnknownModel if it is not a decoder's."""
    try:
        facts = _read(Config(overridden(raw, args)))
    except (TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as cause:
        if isinstance(cause, UnknownModel):
            raise
        raise UnknownModel(f"config.json has an impossible value: {cause}") from None
    widths = [w for layer in facts.layers for m in layer.mixers for w in _widths(m)]
    if any(width <= 0 for width in widths):
        raise UnknownModel("config.json has no width for its attention")
    return facts


MOST_LAYERS = 4096
"""The largest plausible number of layers."""


def _widths(mixer: Mixer) -> tuple[int, ...]:
    """The widths that must be greater than zero."""
    match mixer:
        case Attention():
            return mixer.heads, mixer.kv_heads, mixer.head_dim, mixer.v_dim
        case Latent():
            return mixer.heads, mixer.kv_lora
        case DeltaNet():
            return mixer.k_heads, mixer.v_heads, mixer.k_dim, mixer.v_dim
    return ()


def _read(config: Config) -> Facts:
    family = FAMILIES.get(config.model_type) or FAMILIES.get(config.outer_type)
    unknown: tuple[str, ...] = (
        ()
        if family
        else (f'the family "{config.model_type or config.architecture}" is not known: read as plain layers',)
    )
    family = family or PLAIN
    hidden = config.need("hidden_size", "n_embd", "d_model", "dim")
    count = config.need("num_hidden_layers", "n_layer", "n_layers", "num_layers")
    if count > MOST_LAYERS:
        raise UnknownModel(f"config.json sets {count} layers")
    mixers = mixers_of(config, family, hidden, count)
    mlps = mlps_of(config, family, hidden, len(mixers))
    if len(mixers) != count:
        unknown += (f"config.json sets {count} layers but describes {len(mixers)}",)
    quant = quantisation_of(config)
    if quant.scheme.guessed:
        unknown += (f'the quantisation "{quant.method}" is not known: the bits of its weights are a guess',)
    layers = tuple(Layer(m, f) for m, f in zip(mixers, mlps, strict=True))
    encoder = config.model_type in ENCODERS
    positions, rotary = _rotary(config, family, layers)
    return Facts(
        architecture=config.architecture,
        model_type=config.model_type,
        hidden=hidden,
        vocab=config.need("vocab_size", "padded_vocab_size"),
        layers=layers,
        tied=config.flag("tie_word_embeddings", default=family.tied),
        dtype=_dtype(config),
        lengths=read_lengths(config, rotary=rotary > 0),
        quant=quant,
        towers=towers_of(config, hidden),
        positions=positions,
        rotary=rotary,
        learned_positions=config.number("max_position_embeddings", "n_positions") if family.learned_positions else 0,
        pooling=encoder or (config.architecture.endswith(_POOLING) and not config.architecture.endswith(_GENERATES)),
        encoder_only=encoder,
        causal=not encoder and config.flag("is_causal", default=True),
        mtp_layers=config.number("num_nextn_predict_layers", "mtp_num_hidden_layers"),
        per_layer_input=config.number("hidden_size_per_layer_input"),
        per_layer_vocab=config.number("vocab_size_per_layer_input"),
        norms=4 if family.sandwich else 2,
        ssm_bytes=_state_bytes(config),
        whole_item=_whole_item(config),
        state_chunk=_state_chunk(config),
        soft_capped=bool(config.get("final_logit_softcapping")),
        unknown=unknown,
    )


def _state_bytes(config: Config) -> int:
    """vLLM keeps Nemotron's states in 32 bits if its config does not set the type."""
    dtype = config.get("mamba_ssm_dtype", "mamba_ssm_cache_dtype")
    return BYTES.get(str(dtype or ("float32" if config.model_type == "nemotron_h" else "")), 0)


GEMMA_4_VIDEO = 32 * (70 + 2 + 6)
"""Frames, by tokens of a frame with its marks. vLLM: `Gemma4ProcessingInfo`, read in 0.22.0 to 0.33.0."""


def _whole_item(config: Config) -> int:
    """Those of other families, Gemma 3 for one, are smaller than any default batch."""
    if config.get("use_bidirectional_attention") != "vision" or not config.get("vision_config"):
        return 0
    return GEMMA_4_VIDEO if config.outer_type.startswith("gemma4") else 0


_CHUNKS = {"nemotron_h": 128, "granitemoehybrid": 256, "bamba": 256, "falcon_h1": 256, "mamba2": 256}
"""Where the config does not set it; vLLM takes 2048 for others. vLLM: `get_mamba_chunk_size`."""


def _state_chunk(config: Config) -> int:
    return config.number("mamba_chunk_size", "chunk_size", default=_CHUNKS.get(config.model_type, 2048))


def _dtype(config: Config) -> str:
    """The type that the release uses with dtype "auto": a model trained in 32 bits is loaded in 16."""
    named = str(config.get("dtype", "torch_dtype") or "bfloat16").removeprefix("torch.")
    return named if BYTES.get(named) == 2 else "bfloat16"


def _rotary(config: Config, family: Family, layers: tuple[Layer, ...]) -> tuple[int, int]:
    """(rows, width) of cosines and sines. Each kind of layer has its own table: widths are added."""
    if family.learned_positions or config.model_type in {"bloom", "mpt", "nemotron_h", "jamba", "bamba"}:
        return 0, 0
    share = config.get("partial_rotary_factor", "rotary_pct") or config.table("rope_parameters").get(
        "partial_rotary_factor"
    )
    rotary_share = float(share) if isinstance(share, int | float) and share else (0.25 if family.gated else 1.0)
    widths = {
        (m.kind != "full", int(m.head_dim * rotary_share))
        for layer in layers
        for m in layer.mixers
        if isinstance(m, Attention)
    } | {(False, m.rope) for layer in layers for m in layer.mixers if isinstance(m, Latent)}
    rows = config.number("max_position_embeddings", "max_seq_len", "seq_length")
    longer = _rotary_rows(config, family, rows)
    return rows, sum(width * (longer if not local else rows) for local, width in widths) // max(rows, 1)


def _rotary_rows(config: Config, family: Family, rows: int) -> int:
    """Rows of the table for full-attention layers: more than positions, if they are scaled or have parts."""
    scaled = _scaling(config)
    original, factor = scaled.get("original_max_position_embeddings"), scaled.get("factor")
    kind = scaled.get("rope_type", scaled.get("type"))
    if kind in {"yarn", "deepseek_yarn"} and original and factor:
        return max(rows, int(original * factor))
    if kind in {"linear", "dynamic"} and factor:
        return int(rows * factor)
    large = config.number("hidden_size") >= 2560  # the smallest Gemma 3 models are not scaled
    if family.rotary_factor > 1 and not scaled and large:
        return rows * family.rotary_factor
    return rows * family.rotary_rows


def _scaling(config: Config) -> Mapping[str, Any]:
    return config.table("rope_scaling") or config.table("rope_parameters")
