"""The search for arguments: cheapest first, never worse, and its result is what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cortexctl.engines.gpu_models import parse_gpu
from cortexctl.engines.vllm.memory.autofit import Fitted, Target, at_length, fit
from cortexctl.engines.vllm.memory.budget import budget
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from tests.memory import facts_of


def search(name: str, gpu: str, length: int, concurrency: float, version: str = "0.32.0", **more: Any) -> Fitted:
    at, number = parse_gpu(gpu)
    return fit(facts_of(name), BudgetInputs({}, at, version), Target(length, concurrency), gpus=number, **more)


def test_nothing_is_changed_but_the_length_where_it_already_serves() -> None:
    found = search("qwen3-8b", "H100", 8192, 4, pin=False)
    assert found.reached
    assert found.changes == {"max_model_len": 8192}


@pytest.mark.parametrize(
    ("name", "gpu", "length", "concurrency"),
    [("qwen3-8b", "L4x4", 32768, 4), ("llama-3.1-70b", "L40Sx8", 8192, 20), ("gemma-2-9b", "A10G", 8192, 2)],
)
def test_what_it_ends_with_serves(name: str, gpu: str, length: int, concurrency: float) -> None:
    found = search(name, gpu, length, concurrency)
    again = budget(facts_of(name), BudgetInputs(found.changes, parse_gpu(gpu)[0], "0.32.0"))
    assert again.refusal == found.last.refusal
    assert (at_length(again, length) >= concurrency) is found.reached
    assert bool(found.advice) is not found.reached


def test_steps_go_from_what_costs_least() -> None:
    found = search("llama-3.1-70b", "L40Sx8", 8192, 20)
    kept = [name for step in found.steps if step.helped for name in step.changes]
    assert kept[0] == "max_model_len"
    assert kept[-1] == "kv_cache_memory_bytes"
    assert found.changes["tensor_parallel_size"] in {4, 8}


def test_an_old_release_cannot_pin_the_cache() -> None:
    found = search("qwen3-8b", "H100", 8192, 4, version="0.9.2")
    assert "kv_cache_memory_bytes" not in found.changes


def test_what_cannot_be_says_what_is_left_to_do() -> None:
    found = search("llama-3.1-70b", "L4", 8192, 1)
    assert not found.reached
    assert "quantised checkpoint" in found.advice


def test_a_length_that_the_model_does_not_have_is_not_searched_for() -> None:
    found = search("qwen3-8b", "H100", 1_000_000, 1)
    assert (found.reached, len(found.steps)) == (False, 1)
    assert found.advice == "no memory setting helps: max_model_len = 40960 is the maximum"


def test_a_pinned_cache_holds_the_target_whatever_the_utilization() -> None:
    found = search("qwen3-8b", "L40S", 16384, 3)
    pinned = replace(found.last.settings, utilization=0.3)
    assert found.reached
    assert pinned.kv_bytes == found.changes["kv_cache_memory_bytes"]


def test_requests_that_are_spread_over_ranks_are_counted_on_all_of_them() -> None:
    spread = {"tensor_parallel_size": 2, "decode_context_parallel_size": 2, "max_model_len": 32768}
    facts, at = facts_of("deepseek-v2-lite"), parse_gpu("L40S")[0]
    found = budget(facts, BudgetInputs(spread, at, "0.32.0"))
    assert at_length(found, 32768) == pytest.approx(found.concurrency.value)
    fitted = fit(facts, BudgetInputs(spread, at, "0.32.0"), Target(32768, int(found.concurrency.value)), gpus=2)
    assert fitted.reached
    assert fitted.changes["kv_cache_memory_bytes"] <= found.tightest.available.value * 2**30
