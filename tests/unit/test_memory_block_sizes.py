"""Tokens in a block of the KV cache: by release, GPU, kernels for latent vectors and type of the cache."""

from __future__ import annotations

from typing import Any

import pytest

from cortexctl.engines.gpu_models import parse_gpu
from cortexctl.engines.vllm.memory.block_sizes import raised_block
from cortexctl.engines.vllm.memory.model_facts import read_facts
from cortexctl.engines.vllm.memory.release_changes import behaviour
from cortexctl.engines.vllm.memory.settings import read_settings
from cortexctl.engines.vllm.memory.states import States
from tests.memory import budget_of, config_of

SPARSE = {"index_n_heads": 64, "index_head_dim": 128, "index_topk": 2048}


def block_of(gpu: str, version: str, name: str = "deepseek-v2-lite", **args: Any) -> int:
    return budget_of(name, gpu, version, **args).settings.block


@pytest.mark.parametrize(
    ("gpu", "version", "args", "block"),
    [
        ("H200", "0.7.3", {}, 16),
        ("H200", "0.8.5", {}, 64),
        ("H200", "0.17.1", {}, 64),
        ("H200", "0.18.0", {}, 16),
        ("H200", "0.26.0", {}, 16),  # measured
        ("H200", "0.26.0", {"kv_cache_dtype": "fp8"}, 64),
        ("H200", "0.33.0", {"kv_cache_dtype": "fp8_e4m3"}, 64),
        ("B200", "0.10.0", {}, 16),
        ("B200", "0.10.2", {}, 128),
        ("B200", "0.14.0", {}, 128),
        ("B200", "0.15.0", {}, 64),
        ("B200", "0.17.1", {}, 64),
        ("B200", "0.18.0", {}, 32),
        ("B200", "0.33.0", {"kv_cache_dtype": "fp8"}, 32),
        ("RTXPRO6000", "0.26.0", {}, 16),
        ("A100", "0.26.0", {}, 16),
        ("L40S", "0.10.2", {}, 16),
    ],
)
def test_the_block_is_that_of_the_kernels_for_latent_vectors(
    gpu: str, version: str, args: dict[str, Any], block: int
) -> None:
    assert block_of(gpu, version, **args) == block


@pytest.mark.parametrize(
    ("gpu", "version", "tp", "block"),
    [("H200", "0.26.0", 1, 64), ("B200", "0.17.0", 8, 64), ("B200", "0.26.0", 4, 64), ("B200", "0.26.0", 8, 32)],
)
def test_sparse_attention_has_kernels_of_its_own(gpu: str, version: str, tp: int, block: int) -> None:
    settings = {"tensor_parallel_size": tp, "hf_overrides": SPARSE}
    assert sparse_block(gpu, version, settings) == block


def sparse_block(gpu: str, version: str, args: dict[str, Any]) -> int:
    return read_settings(read_facts(config_of("deepseek-v3"), args), args, parse_gpu(gpu)[0], version).block


@pytest.mark.parametrize(
    ("version", "args", "block"),
    [
        ("0.17.1", {"block_size": 32}, 64),
        ("0.17.1", {"block_size": 128}, 128),
        ("0.18.0", {"block_size": 128}, 128),
        ("0.26.0", {"attention_backend": "FLASHMLA"}, 64),
        ("0.26.0", {"attention_config": {"backend": "flashmla"}}, 64),
        ("0.11.2", {"environ": {"VLLM_ATTENTION_BACKEND": "TRITON_MLA"}}, 16),
        ("0.10.2", {"environ": {"VLLM_MLA_DISABLE": "1"}}, 16),
    ],
)
def test_a_set_block_or_backend_counts(version: str, args: dict[str, Any], block: int) -> None:
    assert block_of("H200", version, **args) == block


def test_models_without_latent_vectors_have_16() -> None:
    assert block_of("H200", "0.26.0", "llama-3.1-8b") == 16
    assert block_of("H200", "0.26.0", "llama-3.1-8b", block_size=32) == 32


@pytest.mark.parametrize(
    ("version", "block", "raised"),
    [("0.12.0", 64, 960), ("0.14.0", 128, 1024), ("0.26.0", 16, 912), ("0.26.0", 64, 960), ("0.27.0", 16, 1024)],
)
def test_latent_blocks_beside_states_are_multiples_of_the_kernels(version: str, block: int, raised: int) -> None:
    acts = behaviour(version)
    assert raised_block(block, 900 * 1152 + 1, 1152, States(), acts=acts, latent=True) == raised
