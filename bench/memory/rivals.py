"""Other ways to answer the same questions, each as its authors have it, on the same facts.

They are given what they would have to fetch: exact parameters, and our count of the cache where they have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cortexctl.engines.vllm.memory.budget import Budget, weight_options
from cortexctl.engines.vllm.memory.layers import Attention, Latent
from cortexctl.engines.vllm.memory.quantisation import NOT_QUANTISED
from cortexctl.engines.vllm.memory.tensors import Split
from cortexctl.engines.vllm.memory.weights import Stage, WeightOptions, weight_bytes

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Said:
    """Tokens that fit on the GPUs of one replica, and whether it starts; None: the method does not say."""

    tokens: float | None
    starts: bool | None


def ours(found: Budget) -> Said:
    return Said(found.tokens.value, found.verdict != "refuses")


def by_parameters(found: Budget) -> Said:
    """Parameters x bytes x 1.2 on each GPU, and two vectors of the KV heads a token and layer."""
    left = _requested(found) - 1.2 * parameters(found) * _per_parameter(found) / GIB / found.settings.tp
    return _from(found, left * GIB, _grouped(found) / found.settings.tp)


def gpustack(found: Budget) -> Said:
    """GPUStack's rule for a placement: weights x 1.2 + 2 GiB (x 3 for the smallest); our count of the cache."""
    weights = sum(s.weights.value for s in found.stages)
    factor = 3.0 if weights * found.settings.tp < 1 else 1.2
    left = _requested(found) - factor * weights - 2 / found.settings.tp
    at = found.tightest
    blocks = at.pool.blocks(left * GIB)
    return Said(float(at.pool.tokens(blocks, found.length)), at.pool.needed(found.length) <= left * GIB)


def seed(found: Budget) -> Said:
    """The calculator that this project's specification began with: 2 x hidden x layers a token whatever the heads, 15 %
    on top, and no more tokens in the cache than in a batch.
    """
    size = {"awq": 0.5, "gptq": 0.5, "fp8": 1.0, "compressed-tensors": 1.0}.get(found.settings.quant.method, 2.0)
    facts, s = found.facts, found.settings
    token = 2 * facts.hidden * len(facts.layers) * s.cache_bytes
    total = found.gpu.total if found.gpu else 0
    left = total * s.tp / 1.15 - parameters(found) * size
    tokens = left / token
    wanted = min(4096 * s.max_num_seqs, s.batched_tokens)
    return Said(max(0.0, tokens), tokens >= wanted)


def kvfit(found: Budget, raw: Mapping[str, Any]) -> Said:
    """kvfit 0.3 with our weights in place of the headers it would fetch; it leaves a reserve to the user."""
    from kvfit.architectures import estimate_cache  # type: ignore[import-not-found]
    from kvfit.hardware import Hardware  # type: ignore[import-not-found]
    from kvfit.models import UnsupportedArchitecture  # type: ignore[import-not-found]
    from kvfit.planner import plan_topologies  # type: ignore[import-not-found]

    s = found.settings
    try:
        cache = estimate_cache(raw, context_tokens=found.length, kv_bytes=s.cache_bytes)
        plans = plan_topologies(
            cache,
            weight_bytes=int(_stored(found)),
            hardware=Hardware("card", "card", found.gpu.total_gib if found.gpu else 0.0, ()),
            gpus=s.tp,
            utilization=s.utilization,
            tensor_parallel=s.tp,
        )
    except (UnsupportedArchitecture, ValueError, KeyError, TypeError):
        return Said(None, None)
    if not plans:
        return Said(None, None)
    at = plans[0]
    left = at.budget_per_rank_bytes - at.weights_per_rank_bytes - at.fixed_cache_per_rank_bytes
    most = left / at.kv_per_sequence_per_rank_bytes
    return Said(max(0.0, most) * found.length, most >= 1)


def parameters(found: Budget) -> float:
    """Of the whole model, without towers."""
    whole = Stage(range(len(found.facts.layers)))
    plain = WeightOptions(Split(absorbed=""), 2, towers=False)
    return weight_bytes(found.facts, whole, NOT_QUANTISED, plain) / 2


def _stored(found: Budget) -> float:
    whole = Stage(range(len(found.facts.layers)))
    how = weight_options(found.settings, found.gpu) if found.gpu else None
    return weight_bytes(found.facts, whole, found.settings.quant, how) * found.settings.tp if how else 0.0


def _per_parameter(found: Budget) -> float:
    quant = found.settings.quant
    return quant.scheme.packed if quant.method else float(found.settings.model_bytes)


def _requested(found: Budget) -> float:
    return found.tightest.requested.value


def _grouped(found: Budget) -> float:
    """Bytes a token by the textbook: latent attention counts as the heads that its config names."""
    total = 0.0
    for layer in found.facts.layers:
        for m in layer.mixers:
            if isinstance(m, Attention):
                total += 2 * m.kv_heads * m.head_dim
            elif isinstance(m, Latent):
                total += 2 * m.heads * m.v_dim
    return total * found.settings.cache_bytes


def _from(found: Budget, left: float, token: float) -> Said:
    tokens = max(0.0, left / token) if token else None
    return Said(tokens, tokens is not None and tokens >= found.length)
