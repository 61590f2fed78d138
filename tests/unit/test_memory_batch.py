"""Default batches: what must be in one batch makes it larger, and releases differ without chunked prefill."""

from __future__ import annotations

import pytest

from cortexctl.engines.gpu_models import parse_gpu
from cortexctl.engines.vllm.memory.model_facts import read_facts
from cortexctl.engines.vllm.memory.settings import read_settings
from tests.memory import budget_of, config_of


@pytest.mark.parametrize(
    ("gpu", "version", "attention", "batch"),
    [
        ("L40S", "0.21.0", "vision", 2048),
        ("L40S", "0.22.0", "vision", 2496),
        ("L40S", "0.33.0", "vision", 2496),
        ("L40S", "0.33.0", None, 2048),
        ("H200", "0.26.0", "vision", 8192),
    ],
)
def test_a_video_of_gemma_4_is_in_one_batch_since_0_22(
    gpu: str, version: str, attention: str | None, batch: int
) -> None:
    config = config_of("gemma-4-26b-a4b-nvfp4")
    text = {**config["text_config"], "use_bidirectional_attention": attention}
    facts = read_facts({**config, "text_config": text})
    assert read_settings(facts, {}, parse_gpu(gpu)[0], version).batched_tokens == batch
    assert read_settings(facts, {"max_num_batched_tokens": 1024}, parse_gpu(gpu)[0], version).batched_tokens == 1024


@pytest.mark.parametrize(("version", "batch"), [("0.9.2", 1000), ("0.11.0", 1000), ("0.11.1", 2048), ("0.26.0", 2048)])
def test_without_chunked_prefill_a_batch_was_a_request_up_to_0_11_0(version: str, batch: int) -> None:
    settings = budget_of("llama-3.1-8b", "L40S", version, enable_chunked_prefill=False, max_model_len=1000).settings
    assert settings.batched_tokens == batch


@pytest.mark.parametrize(("version", "batch"), [("0.11.0", 8192), ("0.11.1", 2000)])
def test_a_batch_is_no_larger_than_all_sequences_since_0_11_1(version: str, batch: int) -> None:
    settings = budget_of("llama-3.1-8b", "H100", version, max_num_seqs=2, max_model_len=1000).settings
    assert settings.batched_tokens == batch
