"""Every refusal that can be foreseen, with vLLM's own text and numbers; and when no verdict is certain."""

from __future__ import annotations

from typing import Any

import pytest

from cortexctl.engines.gpu_models import parse_gpu
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
        ("llama-3.1-70b", "H100", {}, "no memory", "No available memory for the cache blocks."),
        ("llama-3.1-70b", "H100", {"max_model_len": -1}, "no memory", "No available memory for the cache blocks."),
        (
            "qwen3-8b",
            "L40S",
            {"available": 1.0, "max_model_len": 40960},
            "one request",
            "(5.62 GiB KV cache is needed, which is larger than the available KV cache memory (1.00 GiB)",
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


def test_texts_are_those_of_the_release() -> None:
    old = budget_of("qwen3-8b", "L40S", "0.10.0", available=1.0, max_model_len=40960)
    assert old.refusal is not None
    assert "models's max seq len" in old.refusal.text
    oldest = budget_of("qwen2.5-7b", "L40S", "0.7.2", available=1.0)
    assert oldest.refusal is not None
    assert "larger than the maximum number of tokens that can be stored in KV cache (18720)" in oldest.refusal.text


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
