"""Laws of memory, over public models and generated settings."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cortexctl.engines.gpu_models import parse_gpu
from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.config import UnknownModel
from cortexctl.engines.vllm.memory.lengths import longest_request
from cortexctl.engines.vllm.memory.model_facts import read_facts
from cortexctl.engines.vllm.memory.release_changes import behaviour
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from tests.memory import NAMES, budget_of, config_of, facts_of

GIB = 2**30
modest = settings(max_examples=80, deadline=None, derandomize=True)
names = st.sampled_from(NAMES)
generators = st.sampled_from([n for n in NAMES if not facts_of(n).pooling])
versions = st.sampled_from(
    ["0.6.6", "0.8.5", "0.9.2", "0.10.2", "0.12.0", "0.16.0", "0.20.0", "0.24.0", "0.29.0", "0.33.0"]
)
lengths = st.integers(16, 65536)
available = st.floats(0.05, 200.0)


def at(name: str, version: str, length: int, gib: float, **args: Any) -> Budget:
    """The budget of a model with `gib` of available memory, at most with the context that the model allows."""
    length = min(length, longest_request(facts_of(name).lengths, behaviour(version)).most)
    return budget_of(name, "H100", version, available=gib, max_model_len=length, **args)


@modest
@given(names, versions, st.sampled_from([1, 2, 4, 8]))
def test_twice_the_ranks_never_hold_more_weights_each(name: str, version: str, tp: int) -> None:
    once = budget_of(name, "H100", version, tensor_parallel_size=tp).tightest.weights.value
    twice = budget_of(name, "H100", version, tensor_parallel_size=2 * tp).tightest.weights.value
    slack = 0.02 * once if facts_of(name).quant.scheme.name == "mxfp4" else 0.01 * once  # whole tiles, whole segments
    assert twice <= once + slack


@modest
@given(generators, versions, lengths, available)
def test_the_computed_number_of_requests_fits_in_the_available_memory(
    name: str, version: str, length: int, gib: float
) -> None:
    result = at(name, version, length, gib)
    pool = result.tightest.pool
    if result.settings.engine_v1 and pool.behaviour.concurrency_by_blocks:
        needed = float(pool.per_request(result.length) * pool.block_bytes)
        assert result.concurrency.value * pool.needed(result.length) <= gib * GIB * (1 + 1e-9)
    else:  # older releases divide tokens, without rounding requests up to blocks
        needed = result.length / pool.block_size * pool.block_bytes
    assert result.concurrency.value * needed <= gib * GIB * (1 + 1e-9)


@modest
@given(generators, versions, available)
def test_the_estimated_length_is_the_largest_that_fits(name: str, version: str, gib: float) -> None:
    result = at(name, version, 10**9, gib)
    pool, bytes_left = result.tightest.pool, gib * GIB
    longest = pool.longest(bytes_left, result.length)
    room = pool.checked(bytes_left)
    if longest:
        assert pool.needed(longest) <= room
    if longest < result.length:
        assert pool.needed(longest + 1) > room


@modest
@given(generators, versions, lengths, available)
def test_a_smaller_cache_type_never_holds_fewer_tokens(name: str, version: str, length: int, gib: float) -> None:
    wide = at(name, version, length, gib, kv_cache_dtype="bfloat16")
    narrow = at(name, version, length, gib, kv_cache_dtype="fp8")
    assert narrow.concurrency.value >= wide.concurrency.value * 0.98 - 1  # blocks beside states are rounded up


@modest
@given(generators, lengths, st.floats(0.3, 0.95))
def test_more_utilization_never_leaves_less(name: str, length: int, use: float) -> None:
    less = budget_of(name, "H200", gpu_memory_utilization=use, max_model_len=length)
    more = budget_of(name, "H200", gpu_memory_utilization=use + 0.03, max_model_len=length)
    assert more.tightest.available.value > less.tightest.available.value
    assert more.tokens.value >= less.tokens.value


odd = st.sampled_from([None, 0, -1, 1, "x", [], {}, [1], {"a": 1}, 1.5, True, 10**9])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(names, st.data(), odd)
def test_any_value_in_a_config_gives_numbers_or_a_sentence(name: str, data: st.DataObject, value: Any) -> None:
    config = config_of(name)
    config[data.draw(st.sampled_from(sorted(config)))] = value
    try:
        facts = read_facts(config)
    except UnknownModel:
        return
    result = budget(facts, BudgetInputs({"pipeline_parallel_size": 3}, parse_gpu("H100")[0], "0.20.0"))
    assert len(result.stages) == 3


@modest
@given(generators, versions)
def test_a_range_holds_its_value(name: str, version: str) -> None:
    for stage in budget_of(name, "H100", version, tensor_parallel_size=2, pipeline_parallel_size=2).stages:
        for part in (stage.weights, stage.non_torch, stage.transient, stage.graphs, stage.available, stage.blocks):
            assert part.low <= part.value <= part.high
