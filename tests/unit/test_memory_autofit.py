"""The search for arguments: cheapest first, never worse, and its result holds."""

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


def test_only_the_length_is_changed_if_the_settings_already_serve() -> None:
    result = search("qwen3-8b", "H100", 8192, 4, pin=False)
    assert result.reached
    assert result.changes == {"max_model_len": 8192}


@pytest.mark.parametrize(
    ("name", "gpu", "length", "concurrency"),
    [("qwen3-8b", "L4x4", 32768, 4), ("llama-3.1-70b", "L40Sx8", 8192, 20), ("gemma-2-9b", "A10G", 8192, 2)],
)
def test_the_result_of_a_search_serves_its_target(name: str, gpu: str, length: int, concurrency: float) -> None:
    result = search(name, gpu, length, concurrency)
    again = budget(facts_of(name), BudgetInputs(result.changes, parse_gpu(gpu)[0], "0.32.0"))
    assert again.refusal == result.last.refusal
    assert (at_length(again, length) >= concurrency) is result.reached
    assert bool(result.advice) is not result.reached


@pytest.mark.parametrize(
    ("name", "gpu", "length", "concurrency"),
    [("qwen3-8b", "L4x4", 32768, 4), ("llama-3.1-70b", "L40Sx8", 8192, 20), ("llama-3.1-70b", "L40Sx4", 8192, 8)],
)
def test_no_change_of_the_result_is_needless(name: str, gpu: str, length: int, concurrency: float) -> None:
    result = search(name, gpu, length, concurrency, pin=False)
    assert result.reached
    for change in result.changes.keys() - {"max_model_len"}:
        fewer = {key: value for key, value in result.changes.items() if key != change}
        without = budget(facts_of(name), BudgetInputs(fewer, parse_gpu(gpu)[0], "0.32.0"))
        assert without.refusal or at_length(without, length) < concurrency, change
    assert {k for step in result.steps if step.helped for k in step.changes} == result.changes.keys()


def test_the_cheapest_steps_are_tried_first() -> None:
    result = search("llama-3.1-70b", "L40Sx8", 8192, 20)
    helpful = [name for step in result.steps if step.helped for name in step.changes]
    assert helpful[0] == "max_model_len"
    assert helpful[-1] == "kv_cache_memory_bytes"
    assert result.changes["tensor_parallel_size"] in {4, 8}


def test_an_old_release_cannot_pin_the_cache() -> None:
    result = search("qwen3-8b", "H100", 8192, 4, version="0.9.2")
    assert "kv_cache_memory_bytes" not in result.changes


def test_a_search_without_a_result_gives_advice() -> None:
    result = search("llama-3.1-70b", "L4", 8192, 1)
    assert not result.reached
    assert "quantised checkpoint" in result.advice


def test_a_length_that_the_model_does_not_have_is_not_searched_for() -> None:
    result = search("qwen3-8b", "H100", 1_000_000, 1)
    assert (result.reached, len(result.steps)) == (False, 1)
    assert result.advice == "no memory setting helps: max_model_len = 40960 is the maximum"


def test_a_pinned_cache_holds_the_target_whatever_the_utilization() -> None:
    result = search("qwen3-8b", "L40S", 16384, 3)
    pinned = replace(result.last.settings, utilization=0.3)
    assert result.reached
    assert pinned.kv_bytes == result.changes["kv_cache_memory_bytes"]


def test_requests_that_are_spread_over_ranks_are_counted_on_all_of_them() -> None:
    spread = {"tensor_parallel_size": 2, "decode_context_parallel_size": 2, "max_model_len": 32768}
    facts, at = facts_of("deepseek-v2-lite"), parse_gpu("L40S")[0]
    result = budget(facts, BudgetInputs(spread, at, "0.32.0"))
    assert at_length(result, 32768) == pytest.approx(result.concurrency.value)
    fitted = fit(facts, BudgetInputs(spread, at, "0.32.0"), Target(32768, int(result.concurrency.value)), gpus=2)
    assert fitted.reached
    assert fitted.changes["kv_cache_memory_bytes"] <= result.tightest.available.value * 2**30
