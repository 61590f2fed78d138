"""The feed-forward blocks of every layer of a config: dense, experts, both, or neither."""

from __future__ import annotations

from cortexctl.engines.vllm.memory.config import Config, UnknownModel
from cortexctl.engines.vllm.memory.families import Family
from cortexctl.engines.vllm.memory.layers import Dense, Experts
from cortexctl.engines.vllm.memory.mixers import ONLY_STATES

_COUNT = ("num_local_experts", "n_routed_experts", "num_experts", "moe_num_experts")


def mlps_of(config: Config, family: Family, hidden: int, count: int) -> list[tuple[Dense | Experts, ...]]:
    """One entry per layer."""
    if config.model_type in ONLY_STATES:
        return [()] * count
    experts = _experts(config, family)
    dense = _dense(config, family, hidden, moe=experts is not None)
    if pattern := config.get("hybrid_override_pattern"):
        by_letter: dict[str, tuple[Dense | Experts, ...]] = {"-": (dense,), "E": (experts,) if experts else (dense,)}
        return [by_letter.get(letter, ()) for letter in str(pattern)]
    layers: list[tuple[Dense | Experts, ...]] = []
    shared_from = count - config.number("num_kv_shared_layers")
    for i in range(count):
        mine = dense
        if config.flag("use_double_wide_mlp") and i >= shared_from:
            mine = Dense(2 * dense.width, dense.matrices, dense.bias)
        if experts is None or not _has_experts(i, config):
            layers.append((mine,))
        elif config.flag("enable_moe_block"):
            layers.append((mine, experts))
        else:
            layers.append((experts,))
    return layers


def _has_experts(i: int, config: Config) -> bool:
    """Whether layer `i`, counted from 0, has experts."""
    if i < config.number("first_k_dense_replace", "moe_layer_start_index"):
        return False
    if i in (config.get("mlp_only_layers") or ()):
        return False
    if (frequency := config.get("moe_layer_freq")) is not None:
        return bool(frequency[i]) if isinstance(frequency, list) else i % max(int(frequency), 1) == 0
    if config.number("expert_layer_period"):
        return i % config.number("expert_layer_period") == config.number("expert_layer_offset")
    step = config.number("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval", default=1)
    return (i + 1) % max(step, 1) == 0


def _experts(config: Config, family: Family) -> Experts | None:
    number = config.number(*_COUNT)
    if number <= 1:
        return None
    width = config.number("moe_intermediate_size", "expert_dim", "intermediate_size", "ffn_dim")
    if width <= 0:
        raise UnknownModel("config.json has no width for its experts")
    shared = config.number("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size")
    if not shared:
        shared = width * config.number("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
    if not shared and config.model_type.startswith("granitemoe"):
        shared = config.number("shared_intermediate_size")
    if config.model_type.startswith("llama4"):
        shared = width
    top_k = config.number(
        "num_experts_per_tok", "top_k_experts", "moe_topk", "moe_k", "num_experts_per_token", default=1
    )
    return Experts(number, width, top_k, shared, family.matrices, family.mlp_bias)


def _dense(config: Config, family: Family, hidden: int, *, moe: bool) -> Dense:
    names = ("intermediate_size_mlp", "intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner", "mlp_hidden_size")
    width = config.number(*names, default=4 * hidden)
    if config.model_type == "granitemoehybrid" and not moe:
        width = config.number("shared_intermediate_size", default=width)
    if config.flag("block_auto_adjust_ff_dim"):  # LFM2 gives the width before the reduction to two thirds
        step = config.number("block_multiple_of", default=256)
        width = -(-int(2 * width / 3 * float(config.get("block_ffn_dim_multiplier") or 1)) // step) * step
    return Dense(width, family.matrices, family.mlp_bias)
