"""Public start-up reports: the numbers that vLLM printed against the computed ones. They show if a number changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortexctl.engines.vllm.memory.budget import Budget
from tests.memory import CASES, budget_of

STARTS = [json.loads(line) for line in (CASES / "starts.jsonl").read_text().splitlines()]
IDS = [f"{c['config']}-{c['version']}-{c['args'].get('tensor_parallel_size', 1)}" for c in STARTS]


def computed(case: dict[str, Any], available: float | None = None) -> Budget:
    return budget_of(
        case["config"], case["gpu"], case["version"], environ=case["environ"], available=available, **case["args"]
    )


@pytest.mark.parametrize("case", STARTS, ids=IDS)
def test_the_numbers_that_follow_from_the_available_memory_are_exact(case: dict[str, Any]) -> None:
    """The reports round that memory to 0.01 GiB, which is up to 0.25 % of the smallest."""
    printed = case["printed"]
    result = computed(case, printed["available_kv_gib"])
    if "kv_cache_tokens" in printed:
        assert result.tokens.value == pytest.approx(printed["kv_cache_tokens"], rel=0.0025)
    if "max_concurrency" in printed:
        assert result.concurrency.value == pytest.approx(printed["max_concurrency"], rel=0.0025)
    if "needed_gib" in printed:
        assert result.tightest.needed.value == pytest.approx(printed["needed_gib"], abs=0.005)
        assert result.verdict == "refuses"
    if "estimated_max_model_len" in printed:
        assert result.refusal is not None
        assert result.refusal.estimated_max_model_len == printed["estimated_max_model_len"]


@pytest.mark.parametrize(
    "case", [c for c in STARTS if c["gpu"]], ids=[i for i, c in zip(IDS, STARTS, strict=True) if c["gpu"]]
)
def test_the_sum_is_the_printed_one(case: dict[str, Any]) -> None:
    """The weights are within 1.5 %, and the available memory is within its range."""
    result = computed(case)
    printed = case["printed"]
    assert result.tightest.weights.value == pytest.approx(printed["weights_gib"], rel=0.015)
    left = result.tightest.available
    assert left.low <= printed["available_kv_gib"] <= left.high
    assert result.verdict != "refuses"
