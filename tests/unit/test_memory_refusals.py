"""Every refusal that can be foreseen, with vLLM's own text and numbers; and when no verdict is certain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cortexctl.engines.gpu_models import parse_gpu
from cortexctl.engines.gpu_table import MeasuredConstants
from cortexctl.engines.vllm.memory.budget import budget
from cortexctl.engines.vllm.memory.model_facts import read_facts
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from tests.memory import budget_of, config_of


@pytest.mark.parametrize(
    ("name", "gpu", "args", "rule", "text"),
    [
        (
            "qwen2.5-7b",
            "L40Sx8",
            {"tensor_parallel_size": 8},
            "heads",
            "Total number of attention heads (28) must be divisible by tensor parallel size (8).",
        ),
        (
            "qwen3-8b",
            "L40S",
            {"max_model_len": 50000},
            "length",
            "max_model_len (50000) is greater than the derived max_model_len (max_position_embeddings=40960",
        ),
        (
            "qwen3-8b",
            "L40S",
            {"enable_chunked_prefill": False, "max_num_batched_tokens": 2048, "max_model_len": 4096},
            "batch",
            "max_num_batched_tokens (2048) is smaller than max_model_len (4096)",
        ),
        (
            "qwen3-8b",
            "L40S",
            {"max_num_batched_tokens": 128, "max_num_seqs": 256},
            "batch",
            "max_num_batched_tokens (128) must be greater than or equal to max_num_seqs (256)",
        ),
        (
            "qwen3-8b",
            "H100:79.14",
            {"free": 4.22, "gpu_memory_utilization": 0.9},
            "free memory",
            "(4.22/79.14 GiB) on startup is less than desired GPU memory utilization (0.9, 71.23 GiB)",
        ),
        ("llama-3.1-70b", "H100", {}, "weights", "torch.OutOfMemoryError: CUDA out of memory."),
        ("llama-3.1-70b", "H200", {}, "no memory", "No available memory for the cache blocks."),
        ("llama-3.1-70b", "H200", {"max_model_len": -1}, "no memory", "No available memory for the cache blocks."),
        (
            "qwen3-8b",
            "H200:139.8",
            {"gpu_memory_utilization": 0.999},
            "free memory",
            "Free memory on device cuda:0 (139.29/139.8 GiB) on startup is less than desired GPU memory utilization",
        ),
        (
            "qwen3-8b",
            "L40S",
            {"available": 1.0, "max_model_len": 40960},
            "one request",
            "(5.62 GiB KV cache is needed, which is larger than the available KV cache memory (1.0 GiB)",
        ),
        (
            "qwen3-8b",
            "L40S",
            {"num_gpu_blocks_override": 10},
            "one request",
            "To serve at least one request with the model's max seq len (40960)",
        ),
    ],
)
def test_a_refusal_is_foreseen(name: str, gpu: str, args: dict[str, Any], rule: str, text: str) -> None:
    result = budget_of(name, gpu, **args)
    assert result.verdict == "refuses"
    assert result.refusal is not None
    assert result.refusal.rule == rule
    assert text in result.refusal.text


@pytest.mark.parametrize(
    ("gpu", "version", "utilization", "verdict"),
    [
        ("H200:139.8", "0.26.0", 0.98, "starts"),
        ("H200:139.8", "0.26.0", 0.997, "refuses"),
        ("H200:139.8", "0.26.0", 0.999, "refuses"),
        ("H200:139.8", "0.9.0", 0.999, "starts"),
        ("RTX4090", "0.26.0", 0.97, "starts"),
        ("RTX4090", "0.26.0", 0.98, "uncertain"),
        ("RTX4090", "0.26.0", 0.995, "refuses"),
        ("H200:139.8x4", "0.26.0", 0.99, "uncertain"),
        ("H200:139.8x4", "0.10.2", 0.99, "starts"),
    ],
)
def test_an_idle_gpu_has_less_free_than_its_total(gpu: str, version: str, utilization: float, verdict: str) -> None:
    ranks = 4 if gpu.endswith("x4") else 1
    args = {"gpu_memory_utilization": utilization, "max_model_len": 2048, "tensor_parallel_size": ranks}
    assert budget_of("qwen3-8b", gpu, version, **args).verdict == verdict


def test_the_measured_free_memory_of_a_card_decides_instead_of_a_guess() -> None:
    card = parse_gpu("H200:139.8")[0]
    inputs = BudgetInputs({"gpu_memory_utilization": 0.99}, card, "0.26.0")
    facts = read_facts(config_of("qwen3-8b"))
    after_cache = budget(facts, inputs)
    assert after_cache.refusal is not None
    assert after_cache.refusal.rule == "memory after the cache"
    with_display = replace(card, measured=MeasuredConstants(free_gib=137.2))
    refusal = budget(facts, replace(inputs, gpu=with_display)).refusal
    assert refusal is not None
    assert (refusal.rule, refusal.advice) == (
        "free memory",
        "gpu_memory_utilization = 0.98 is the maximum on an idle GPU",
    )
    assert "(137.2/139.8 GiB) on startup is less than" in refusal.text


@pytest.mark.parametrize(
    ("model", "utilization", "eager", "verdict"),
    [
        ("llama-3.1-8b", 0.98, False, "starts"),  # it had 0.97 GiB left
        ("llama-3.1-8b", 0.99, False, "refuses"),  # it ran out while it captured graphs
        ("llama-3.1-8b", 0.99, True, "uncertain"),  # it started
        ("llama-3.1-8b", 0.995, True, "uncertain"),  # it ran out at its first pass
    ],
)
def test_a_start_needs_memory_after_its_cache(model: str, utilization: float, eager: bool, verdict: str) -> None:
    """As measured on an H200 with 139.29 GiB free."""
    args = {"gpu_memory_utilization": utilization, "enforce_eager": eager}
    inputs = BudgetInputs(args, parse_gpu("H200:139.8")[0], "0.26.0", free_gib=139.29)
    result = budget(read_facts(config_of(model)), inputs)
    assert result.verdict == verdict
    if verdict == "starts":
        assert result.refusal is None
    else:
        assert result.refusal is not None
        assert result.refusal.advice.startswith("gpu_memory_utilization = 0.98 leaves memory")


def test_weights_that_were_loaded_are_not_refused() -> None:
    """The memory for the cache is given: they were loaded."""
    assert budget_of("llama-3.1-70b", "H100", available=40.0, max_model_len=2048).verdict == "starts"


@pytest.mark.parametrize(("tp", "refused"), [(1, False), (2, False), (4, False), (16, True)])
def test_a_quantised_split_must_be_whole(tp: int, *, refused: bool) -> None:
    config = {
        **config_of("qwen3-235b-a22b"),
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    }
    inputs = BudgetInputs(
        {"tensor_parallel_size": tp, "max_model_len": 4096}, parse_gpu("H200")[0], "0.32.0", available_gib=50
    )
    result = budget(read_facts(config), inputs)
    assert (result.refusal is not None and result.refusal.rule == "quantised split") is refused


def test_the_longest_context_shrinks_if_it_is_left_open() -> None:
    result = budget_of("qwen3-8b", "L40S", available=1.0, max_model_len=-1)
    assert result.verdict == "starts"
    assert result.length == 7264
    assert result.concurrency.value == pytest.approx(1.0, abs=0.01)


def test_a_need_within_the_range_is_too_close_to_call() -> None:
    length = 3200
    seen = {
        budget_of("qwen3-8b", "L4:22.03", gpu_memory_utilization=u / 1000, max_model_len=length).verdict
        for u in range(700, 960, 5)
    }
    assert seen == {"refuses", "uncertain", "starts"}


def test_without_a_gpu_the_verdict_is_unknown() -> None:
    result = budget_of("qwen3-8b")
    assert result.verdict == "unknown"


def test_an_encoder_has_no_cache_and_starts() -> None:
    result = budget_of("bge-m3", "L4")
    assert result.verdict == "starts"
    assert result.tokens.value == 0
