"""The mixers of every layer of a config: attention of some kind, a state, both, or neither."""

from __future__ import annotations

from dataclasses import replace

from cortexctl.engines.vllm.memory.config import Config
from cortexctl.engines.vllm.memory.families import Family
from cortexctl.engines.vllm.memory.layers import Attention, DeltaNet, Kda, Latent, Mamba, Mixer, ShortConv, Window

ONLY_STATES = {"mamba": "mamba1", "falcon_mamba": "mamba1", "mamba2": "mamba"}
"""Families without attention or feed-forward blocks, by the kind of their layers."""


def mixers_of(config: Config, family: Family, hidden: int, count: int) -> list[tuple[Mixer, ...]]:
    """One entry per layer."""
    heads = config.number("num_attention_heads", "n_head", "n_heads", "num_heads")
    kinds = layer_kinds(config, family, count)
    by_kind: dict[str, tuple[Mixer, ...]] = {}
    for kind in set(kinds):
        by_kind[kind] = _mixers(kind, config, family, hidden, heads)
    mixers = [by_kind[kind] for kind in kinds]
    shared = config.number("num_kv_shared_layers")
    return [_without_cache(m) if i >= len(mixers) - shared else m for i, m in enumerate(mixers)]


def layer_kinds(config: Config, family: Family, count: int) -> list[str]:
    """A kind for every layer: full, sliding, chunked, delta, kda, mamba, mamba1, conv, parallel, none."""
    if pattern := config.get("hybrid_override_pattern"):
        return [{"M": "mamba", "*": "full"}.get(letter, "none") for letter in str(pattern)]
    if texts := config.texts("layer_types") or config.texts("layers_block_type"):
        return [_kind_of(text, config) for text in texts[:count]]
    if summary := config.table("layer_types_summary"):
        return [_kind_of(text, config) for text, n in summary.items() for _ in range(min(int(n), count))]
    if linear := config.table("linear_attn_config"):
        full = set(linear.get("full_attn_layers") or ())
        return ["full" if i + 1 in full else "kda" for i in range(count)]
    if config.model_type == "falcon_h1":
        return ["parallel"] * count
    if config.model_type in ONLY_STATES:
        return [ONLY_STATES[config.model_type]] * count
    if config.model_type == "jamba":
        period, offset = config.number("attn_layer_period", default=8), config.number("attn_layer_offset", default=4)
        return ["full" if i % period == offset else "mamba1" for i in range(count)]
    if indices := config.get("attn_layer_indices"):
        return ["full" if i in indices else "mamba" for i in range(count)]
    if config.get("linear_num_value_heads"):
        interval = config.number("full_attention_interval", default=4)
        return ["full" if (i + 1) % interval == 0 else "delta" for i in range(count)]
    return _windows(config, family, count)


def _windows(config: Config, family: Family, count: int) -> list[str]:
    if config.number("attention_chunk_size"):
        if config.get("no_rope_layers"):
            return ["chunked" if rope else "full" for rope in config.get("no_rope_layers")][:count]
        return ["full" if (i + 1) % 4 == 0 else "chunked" for i in range(count)]
    if not config.number("sliding_window") or config.get("use_sliding_window") is False:
        return ["full"] * count
    if family.every_full:
        pattern = config.number("sliding_window_pattern", "_sliding_window_pattern", default=family.every_full)
        return ["full" if (i + 1) % pattern == 0 else "sliding" for i in range(count)]
    return ["sliding" if family.windowed or config.get("use_sliding_window") else "full"] * count


def _kind_of(text: str, config: Config) -> str:
    if text == "linear_attention":
        return "delta" if config.get("linear_num_value_heads") else "kda"
    known = {
        "sliding_attention": "sliding",
        "chunked_attention": "chunked",
        "mamba": "mamba",
        "mamba2": "mamba",
        "conv": "conv",
    }
    return known.get(text, "full")


def _mixers(kind: str, config: Config, family: Family, hidden: int, heads: int) -> tuple[Mixer, ...]:
    match kind:
        case "none":
            return ()
        case "delta":
            return (_delta(config),)
        case "kda":
            return (_kda(config),)
        case "mamba":
            return (_mamba(config, hidden),)
        case "mamba1":
            return (_mamba1(config, hidden),)
        case "conv":
            return (ShortConv(hidden, config.number("conv_L_cache", default=3)),)
        case "parallel":
            return (_attention("full", config, family, hidden, heads), _mamba(config, hidden))
        case "full" | "sliding" | "chunked":
            if config.number("kv_lora_rank"):
                return (_latent(config, heads),)
            return (_attention(kind, config, family, hidden, heads),)
    raise AssertionError(kind)


def _attention(kind: Window, config: Config, family: Family, hidden: int, heads: int) -> Attention:
    kv_heads = config.number("num_key_value_heads", "multi_query_group_num", "num_kv_heads", "n_head_kv")
    if not kv_heads:
        kv_heads = 1 if config.flag("multi_query") else heads
    width = config.number("head_dim", "kv_channels", default=hidden // max(heads, 1))
    if kind == "full" and config.number("global_head_dim"):
        width = config.number("global_head_dim")
        kv_heads = config.number("num_global_key_value_heads", default=kv_heads)
    window = {"sliding": "sliding_window", "chunked": "attention_chunk_size"}.get(kind, "")
    return Attention(
        heads,
        kv_heads,
        width,
        config.number("v_head_dim", default=width),
        kind,
        config.number(window) if window else 0,
        gated=config.flag("attn_output_gate", default=family.gated),
        bias=config.flag("attention_bias", "qkv_bias", default=family.qkv_bias),
        key_is_value=kind == "full" and config.flag("attention_k_eq_v") and bool(config.number("global_head_dim")),
    )


def _latent(config: Config, heads: int) -> Latent:
    return Latent(
        heads,
        config.number("q_lora_rank"),
        config.number("kv_lora_rank"),
        config.number("qk_nope_head_dim"),
        config.number("qk_rope_head_dim"),
        config.number("v_head_dim"),
        config.number("index_n_heads"),
        config.number("index_head_dim"),
    )


def _delta(config: Config) -> DeltaNet:
    return DeltaNet(
        config.number("linear_num_key_heads"),
        config.number("linear_num_value_heads"),
        config.number("linear_key_head_dim", default=128),
        config.number("linear_value_head_dim", default=128),
        config.number("linear_conv_kernel_dim", default=4),
    )


def _kda(config: Config) -> Kda:
    linear = config.table("linear_attn_config")
    return Kda(
        int(linear.get("num_heads") or config.number("linear_num_heads", "num_attention_heads")),
        int(linear.get("head_dim") or config.number("linear_head_dim", "head_dim", default=128)),
        int(linear.get("short_conv_kernel_size") or config.number("linear_conv_kernel_dim", default=4)),
    )


def _mamba(config: Config, hidden: int) -> Mamba:
    own = config.model_type == "mamba2"  # whose keys have no prefix, since there is no attention
    heads = config.number("mamba_num_heads", "mamba_n_heads", *(("num_heads",) if own else ()))
    head = config.number("mamba_head_dim", "mamba_d_head", *(("head_dim",) if own else ()), default=64)
    inner = (
        config.number("mamba_d_ssm") or (heads * head) or hidden * config.number("mamba_expand", "expand", default=2)
    )
    return Mamba(
        inner,
        heads or inner // head,
        config.number("n_groups", "mamba_n_groups", default=1),
        config.number("ssm_state_size", "mamba_d_state", default=128),
        config.number("conv_kernel", "mamba_d_conv", default=4),
    )


def _mamba1(config: Config, hidden: int) -> Mamba:
    own = config.model_type in ONLY_STATES
    inner = (config.number("intermediate_size") if own else 0) or hidden * config.number(
        "mamba_expand", "expand", default=2
    )
    rank = config.number("mamba_dt_rank", "time_step_rank", default=-(-hidden // 16))
    state = config.number("mamba_d_state", "state_size", default=16)
    return Mamba(inner, inner, 0, state, config.number("mamba_d_conv", "conv_kernel", default=4), rank)


def _without_cache(mixers: tuple[Mixer, ...]) -> tuple[Mixer, ...]:
    return tuple(replace(m, owns_cache=False) if isinstance(m, Attention) else m for m in mixers)
