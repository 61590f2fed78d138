"""Which model runner serves a start, release by release, as `use_v2_model_runner` of each decides."""

from __future__ import annotations

from typing import Any

import pytest

from cortexctl.engines.vllm.memory.model_facts import read_facts
from cortexctl.engines.vllm.memory.settings import read_settings
from tests.memory import budget_of, config_of

GPU = budget_of("llama-3.1-8b", "H200").gpu


def runs_on_second(name: str, version: str, *, architecture: str = "", environ: Any = None, **args: Any) -> bool:
    config = config_of(name)
    facts = read_facts({**config, **({"architectures": [architecture]} if architecture else {})}, args)
    assert GPU is not None
    return read_settings(facts, args, GPU, version, environ=environ).second_runner


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("qwen3-8b", "0.22.0"),
        ("llama-3.1-8b", "0.23.0"),
        ("llama-3-70b-awq", "0.24.0"),  # quantised: from the release on that has no such condition
        ("deepseek-v2-lite", "0.24.0"),
        ("gemma-2-9b", "0.25.0"),
        ("gpt-oss-20b", "0.29.0"),
        ("qwen3-235b-a22b", "0.29.0"),
        ("qwen3-next-80b-a3b", "0.29.0"),
        ("granite-4.0-h-small", "0.29.0"),
        ("bge-m3", "0.29.0"),
    ],
)
def test_a_model_is_on_the_second_runner_from_a_release_on(name: str, first: str) -> None:
    releases = ["0.21.0", "0.22.0", "0.23.0", "0.24.0", "0.25.0", "0.26.0", "0.27.1", "0.28.0", "0.29.0", "0.33.0"]
    served = [version for version in releases if runs_on_second(name, version)]
    assert served == releases[releases.index(first) :]


def test_listed_hybrids_are_on_it_from_0_27_on() -> None:
    kimi = {"name": "qwen3-next-80b-a3b", "architecture": "KimiK3ForConditionalGeneration"}
    assert not runs_on_second(version="0.26.0", **kimi)
    assert runs_on_second(version="0.27.0", **kimi)


def test_a_model_that_pools_is_on_it_from_0_29_on() -> None:
    assert not runs_on_second("llama-3.1-8b", "0.28.0", runner="pooling")
    assert runs_on_second("llama-3.1-8b", "0.29.0", runner="pooling")


@pytest.mark.parametrize(
    ("name", "args", "before", "since"),
    [
        ("llama-3.1-8b", {"enable_prompt_embeds": True}, "0.28.0", "0.29.0"),
        ("llama-3.1-8b", {"kv_sharing_fast_prefill": True}, "0.29.0", "0.30.0"),
        ("llama-3.1-8b", {"enable_dbo": True}, "0.29.0", "0.30.0"),
        ("llama-3.1-8b", {"enable_elastic_ep": True}, "0.31.0", "0.32.0"),
        ("llama-3.1-8b", {"logits_processors": ["module:Class"]}, "0.30.0", "0.31.0"),
        ("llama-3.1-8b", {"logprobs_mode": "raw_logits"}, "0.25.1", "0.26.0"),
        ("granite-4.0-h-small", {"mamba_cache_mode": "all"}, "0.31.0", "0.32.0"),
    ],
)
def test_a_feature_that_it_lacks_needs_the_first_runner(
    name: str, args: dict[str, Any], before: str, since: str
) -> None:
    assert not runs_on_second(name, before, **args)
    assert runs_on_second(name, since, **args)


def test_an_environment_variable_decides() -> None:
    assert not runs_on_second("llama-3.1-8b", "0.33.0", environ={"VLLM_USE_V2_MODEL_RUNNER": "0"})
    assert runs_on_second("gpt-oss-20b", "0.26.0", environ={"VLLM_USE_V2_MODEL_RUNNER": "1"})
