"""The texts of refusals, release by release, as their sources and logs have them."""

from __future__ import annotations

import pytest

from cortexctl.engines.vllm.memory import refusal_texts as texts
from cortexctl.engines.vllm.memory.release_changes import behaviour
from cortexctl.text.units import GIB

LINK = " See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details."
TRY = "Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine."
TRY_ALSO = TRY.replace("` or", "` (which also controls CPU memory on the CPU backend) or")
ESTIMATE = "Based on the available memory, the estimated maximum model length is 97120. "


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("0.8.2", f"models's|16.00 GB|11.86 GB|{TRY}"),
        ("0.8.3", f"models's|16.00 GiB|11.86 GiB|{TRY}"),
        ("0.9.0", f"models's|16.00 GiB|11.86 GiB|Based on the available memory,  {TRY}"),
        ("0.12.0", f"models's|16.00 GiB|11.86 GiB|{ESTIMATE}{TRY}"),
        ("0.13.0", f"models's|16.00 GiB|11.86 GiB|{ESTIMATE}{TRY}{LINK}"),
        ("0.21.0", f"models's|16.0 GiB|11.86 GiB|{ESTIMATE}{TRY}{LINK}"),
        (
            "0.26.0",
            f"model's|16.0 GiB|11.86 GiB|{ESTIMATE}{TRY_ALSO}{LINK}",
        ),
    ],
)
def test_one_request(version: str, text: str) -> None:
    models, need, have, rest = text.split("|")
    assert texts.one_request(behaviour(version), 131072, 16 * GIB, 11.86 * GIB, 97120) == (
        f"To serve at least one request with the {models} max seq len (131072), ({need} KV cache is needed, which is "
        f"larger than the available KV cache memory ({have}). {rest}"
    )


@pytest.mark.parametrize(("version", "gap"), [("0.8.3", ""), ("0.8.4", " "), ("0.13.0", " "), ("0.14.0", "")])
def test_without_an_estimate_some_releases_leave_two_spaces(version: str, gap: str) -> None:
    assert f"). {gap}Try increasing" in texts.one_request(behaviour(version), 131072, 16 * GIB, GIB / 1024, 0)


@pytest.mark.parametrize(
    ("version", "end"),
    [
        ("0.12.0", "the engine."),
        ("0.13.0", f"the engine.{LINK}"),
        (
            "0.22.0",
            f"the engine (this flag also controls CPU memory reservation on the CPU backend, despite its name).{LINK}",
        ),
    ],
)
def test_no_memory(version: str, end: str) -> None:
    start = "No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing "
    assert texts.no_memory(behaviour(version), v1=True) == start + end


@pytest.mark.parametrize(("version", "device"), [("0.9.2", ""), ("0.13.0", ""), ("0.14.0", " cuda:0")])
def test_free_memory(version: str, device: str) -> None:
    assert texts.not_free(behaviour(version), 23.05, 23.56, 0.9907) == (
        f"Free memory on device{device} (23.05/23.56 GiB) on startup is less than desired GPU memory utilization "
        "(0.9907, 23.34 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."
    )


@pytest.mark.parametrize(
    ("version", "middle", "end"),
    [
        ("0.10.1", " This may lead to incorrect model outputs or CUDA errors.", "=1"),
        ("0.10.2", "", "=1. VLLM_ALLOW_LONG_MAX_MODEL_LEN must be used with extreme caution."),
    ],
)
def test_a_length_above_that_of_the_config(version: str, middle: str, end: str) -> None:
    text = texts.too_long(behaviour(version), 50000, "max_position_embeddings", 40960, None)
    assert text.startswith(
        "User-specified max_model_len (50000) is greater than the derived max_model_len (max_position_embeddings=40960 "
        f"or model_max_length=None in model's config.json).{middle} To allow overriding this maximum, set the env var "
        f"VLLM_ALLOW_LONG_MAX_MODEL_LEN{end}"
    )


def test_the_first_engine() -> None:
    assert texts.more_than_blocks(32768, 21536) == (
        "The model's max seq len (32768) is larger than the maximum number of tokens that can be stored in KV cache "
        f"(21536). {TRY}"
    )
