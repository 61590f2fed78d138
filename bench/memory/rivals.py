"""Other methods for the same numbers, each as published, on the same facts: `python -m bench.memory --rivals`.

They get the values that they would have to fetch: exact parameters, and our count of the cache if they have none.
kvfit is compared if it is installed (`pip install kvfit`); nothing else of the project needs it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.memory.errors import Error
from bench.memory.reports import REPORTS, answer, gpu, printed_tokens, read_reports
from bench.memory.starts import read_config
from cortexctl.engines.vllm.memory.budget import Budget, weight_options
from cortexctl.engines.vllm.memory.layers import Attention, Latent
from cortexctl.engines.vllm.memory.quantisation import NOT_QUANTISED
from cortexctl.engines.vllm.memory.tensors import Split
from cortexctl.engines.vllm.memory.weights import Stage, WeightOptions, weight_bytes

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Answer:
    """Tokens that fit on the GPUs of one replica, and whether it starts; None: the method gives no answer."""

    tokens: float | None
    starts: bool | None


def methods() -> dict[str, Callable[[Budget, Mapping[str, Any]], Answer]]:
    known: dict[str, Callable[[Budget, Mapping[str, Any]], Answer]] = {
        "cortexctl": lambda computed, _: ours(computed),
        "parameters x bytes x 1.2": lambda computed, _: by_parameters(computed),
        "GPUStack's rule": lambda computed, _: gpustack(computed),
        "2 x hidden x layers a token": lambda computed, _: by_hidden(computed),
    }
    return known | ({"kvfit 0.3": kvfit} if importlib.util.find_spec("kvfit") else {})


def errors() -> Iterator[Error]:
    """Of the tokens from flags alone, in percent, by method. A method without an answer for a report has no error."""
    for case in read_reports():
        printed = printed_tokens(case)
        if gpu(case) is None or not printed:
            continue
        computed, raw = answer(case), read_config(REPORTS / case["config"])
        for name, method in methods().items():
            tokens = method(computed, raw).tokens
            if tokens is not None:
                yield Error(case["id"], "", name, 100 * (tokens / printed - 1), "")


def ours(computed: Budget) -> Answer:
    return Answer(computed.tokens.value, computed.verdict != "refuses")


def by_parameters(computed: Budget) -> Answer:
    """Parameters x bytes x 1.2 on each GPU, and two vectors of the KV heads a token and layer."""
    left = _requested(computed) - 1.2 * parameters(computed) * _per_parameter(computed) / GIB / computed.settings.tp
    return _from(computed, left * GIB, _grouped(computed) / computed.settings.tp)


def gpustack(computed: Budget) -> Answer:
    """GPUStack's rule for a placement: weights x 1.2 + 2 GiB (x 3 for the smallest); our count of the cache."""
    weights = sum(s.weights.value for s in computed.stages)
    factor = 3.0 if weights * computed.settings.tp < 1 else 1.2
    left = _requested(computed) - factor * weights - 2 / computed.settings.tp
    at = computed.tightest
    blocks = at.pool.blocks(left * GIB)
    return Answer(float(at.pool.tokens(blocks, computed.length)), at.pool.needed(computed.length) <= left * GIB)


def by_hidden(computed: Budget) -> Answer:
    """Of simple calculators: 2 x hidden x layers per token for any heads, 15 % on top, and no more tokens in the cache
    than in a batch.
    """
    size = {"awq": 0.5, "gptq": 0.5, "fp8": 1.0, "compressed-tensors": 1.0}.get(computed.settings.quant.method, 2.0)
    facts, s = computed.facts, computed.settings
    token = 2 * facts.hidden * len(facts.layers) * s.cache_bytes
    total = computed.gpu.total if computed.gpu else 0
    left = total * s.tp / 1.15 - parameters(computed) * size
    tokens = left / token
    wanted = min(4096 * s.max_num_seqs, s.batched_tokens)
    return Answer(max(0.0, tokens), tokens >= wanted)


def kvfit(computed: Budget, raw: Mapping[str, Any]) -> Answer:
    """kvfit 0.3 with our weights instead of the headers that it would fetch; it leaves a reserve to the user."""
    from kvfit.architectures import estimate_cache  # type: ignore[import-not-computed]
    from kvfit.hardware import Hardware  # type: ignore[import-not-computed]
    from kvfit.models import UnsupportedArchitecture  # type: ignore[import-not-computed]
    from kvfit.planner import plan_topologies  # type: ignore[import-not-computed]

    s = computed.settings
    try:
        cache = estimate_cache(raw, context_tokens=computed.length, kv_bytes=s.cache_bytes)
        plans = plan_topologies(
            cache,
            weight_bytes=int(_stored(computed)),
            hardware=Hardware("card", "card", computed.gpu.total_gib if computed.gpu else 0.0, ()),
            gpus=s.tp,
            utilization=s.utilization,
            tensor_parallel=s.tp,
        )
    except (UnsupportedArchitecture, ValueError, KeyError, TypeError):
        return Answer(None, None)
    if not plans:
        return Answer(None, None)
    at = plans[0]
    left = at.budget_per_rank_bytes - at.weights_per_rank_bytes - at.fixed_cache_per_rank_bytes
    most = left / at.kv_per_sequence_per_rank_bytes
    return Answer(max(0.0, most) * computed.length, most >= 1)


def parameters(computed: Budget) -> float:
    """The parameters of the whole model, without towers."""
    whole = Stage(range(len(computed.facts.layers)))
    plain = WeightOptions(Split(absorbed=""), 2, towers=False)
    return weight_bytes(computed.facts, whole, NOT_QUANTISED, plain) / 2


def _stored(computed: Budget) -> float:
    whole = Stage(range(len(computed.facts.layers)))
    options = weight_options(computed.settings, computed.gpu) if computed.gpu else None
    return (
        weight_bytes(computed.facts, whole, computed.settings.quant, options) * computed.settings.tp if options else 0.0
    )


def _per_parameter(computed: Budget) -> float:
    quant = computed.settings.quant
    return quant.scheme.packed if quant.method else float(computed.settings.model_bytes)


def _requested(computed: Budget) -> float:
    return computed.tightest.requested.value


def _grouped(computed: Budget) -> float:
    """Bytes per token by the textbook: latent attention counts as the heads that its config names."""
    total = 0.0
    for layer in computed.facts.layers:
        for m in layer.mixers:
            if isinstance(m, Attention):
                total += 2 * m.kv_heads * m.head_dim
            elif isinstance(m, Latent):
                total += 2 * m.heads * m.v_dim
    return total * computed.settings.cache_bytes


def _from(computed: Budget, left: float, token: float) -> Answer:
    tokens = max(0.0, left / token) if token else None
    return Answer(tokens, tokens is not None and tokens >= computed.length)
