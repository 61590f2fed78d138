"""The longest request of a config: as vLLM's own code derives it, by release and by kind of RoPE scaling."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortexctl.engines.gpu_models import parse_gpu
from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.config import Config
from cortexctl.engines.vllm.memory.lengths import DEFAULT, LongestRequest, longest_request, read_lengths
from cortexctl.engines.vllm.memory.model_facts import read_facts
from cortexctl.engines.vllm.memory.release_changes import behaviour
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from tests.memory import CASES, config_of

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
RUN = [json.loads(line) for line in (CASES / "lengths.jsonl").read_text(encoding="utf-8").splitlines()]
"""`vllm`: what `_get_and_verify_max_len` of each release returned for the config: without max_model_len, the largest
that it accepts, and the key and number of its refusal. A release that could not read the config is left out.
"""


def longest(config: dict[str, Any], version: str, *, rotary: bool = True, windows_off: bool = False) -> LongestRequest:
    return longest_request(read_lengths(Config(config), rotary=rotary), behaviour(version), windows_off=windows_off)


def start(version: str | None, config: dict[str, Any], **args: Any) -> Budget:
    facts = read_facts({**config_of("qwen3-8b"), **config}, args)
    return budget(facts, BudgetInputs(args, parse_gpu("H100")[0], version))


@pytest.mark.parametrize(("row", "version"), [(row, version) for row in RUN for version in row["vllm"]])
def test_lengths_are_those_that_vllms_own_code_returned(row: dict[str, Any], version: str) -> None:
    result = longest(row["config"], version, rotary=row.get("rotary", True))
    assert [result.default, result.most, f"{result.key}={result.derived}"] == row["vllm"][version]


@pytest.mark.parametrize(("version", "length"), [("0.6.0", 131072), ("0.29.0", 131072), ("0.30.0", 40960)])
def test_yarn_starts_from_its_original_length_up_to_0_29(version: str, length: int) -> None:
    config = {"model_type": "qwen3", "max_position_embeddings": 40960, "rope_scaling": YARN}
    assert longest(config, version).default == longest(config, version).most == length


@pytest.mark.parametrize(("version", "length"), [("0.7.3", 8 * 131072), ("0.8.0", 131072), ("0.33.0", 131072)])
def test_the_length_of_gemma_3_includes_its_scaling_since_0_8(version: str, length: int) -> None:
    scaling = {"rope_type": "linear", "factor": 8.0}
    config = {"model_type": "gemma3_text", "max_position_embeddings": 131072, "rope_scaling": scaling}
    assert longest(config, version).default == length


@pytest.mark.parametrize(("version", "default"), [("0.11.0", 131072), ("0.11.1", 4096), ("0.33.0", 4096)])
def test_longrope_defaults_to_its_original_length_since_0_11_1(version: str, default: int) -> None:
    scaling = {"type": "longrope", "factor": 32.0}
    config = {"max_position_embeddings": 131072, "original_max_position_embeddings": 4096, "rope_scaling": scaling}
    assert (longest(config, version).default, longest(config, version).most) == (default, 131072)


@pytest.mark.parametrize(("version", "default"), [("0.8.2", 8192), ("0.8.3", 131072)])
def test_model_max_length_replaces_the_other_keys_since_0_8_3_and_was_accepted_before(
    version: str, default: int
) -> None:
    config = {"max_position_embeddings": 8192, "model_max_length": 131072}
    assert (longest(config, version).default, longest(config, version).most) == (default, 131072)


def test_without_a_key_any_length_is_accepted() -> None:
    assert longest({}, "0.33.0") == LongestRequest(DEFAULT, 0, DEFAULT, "")
    assert longest({"max_target_positions": 448}, "0.6.6").most == 0
    assert longest({"max_target_positions": 448}, "0.7.0", rotary=False) == LongestRequest(
        448, 448, 448, "max_target_positions"
    )


def test_disable_sliding_window_limits_requests_to_the_window() -> None:
    config = {"max_position_embeddings": 32768, "sliding_window": 4096}
    assert longest(config, "0.26.0", windows_off=True).key == "sliding_window"
    assert longest(config, "0.26.0", windows_off=True).most == 4096
    assert longest(config, "0.26.0").most == 32768


def test_each_kind_of_layer_may_have_its_own_scaling() -> None:
    parameters = {"full_attention": YARN, "sliding_attention": {"rope_type": "default", "rope_theta": 10000}}
    config = {"max_position_embeddings": 40960, "rope_parameters": parameters}
    assert longest(config, "0.26.0").most == 131072


def test_a_start_with_yarn_is_accepted_refused_or_unsure_by_release() -> None:
    yarn = {"rope_scaling": YARN}
    assert start("0.26.0", yarn, max_model_len=131072).verdict == "starts"
    assert start("0.26.0", yarn).length == 131072
    refused = start("0.33.0", yarn, max_model_len=131072)
    assert refused.refusal is not None
    assert "(max_position_embeddings=40960.0 or model_max_length=None in model's config.json)" in refused.refusal.text
    assert "hf_overrides.max_position_embeddings = 131072" in refused.refusal.advice
    longer = {"max_position_embeddings": 131072}
    assert start("0.33.0", yarn, max_model_len=131072, hf_overrides=longer).verdict == "starts"
    too_long = start("0.33.0", yarn, max_model_len=131073).refusal
    assert too_long is not None
    assert "hf_overrides" not in too_long.advice
    unsure = start(None, yarn, max_model_len=131072)
    assert unsure.verdict == "uncertain"
    assert any("more in other releases" in note for note in unsure.notes)
    assert start(None, yarn, max_model_len=131073).verdict == "refuses"


@pytest.mark.parametrize(
    ("version", "args"),
    [
        ("0.10.2", {"rope_scaling": YARN}),
        ("0.26.0", {"hf_overrides": {"rope_scaling": YARN}}),
        ("0.26.0", {"hf_overrides": {"rope_parameters": YARN}}),
    ],
)
def test_scaling_from_the_command_line_counts(version: str, args: dict[str, Any]) -> None:
    assert start(version, {}, max_model_len=131072, **args).verdict == "starts"


def test_overrides_of_a_nested_model_keep_its_other_keys() -> None:
    nested = {"model_type": "mistral3", "text_config": config_of("qwen3-8b")}
    args = {"hf_overrides": {"text_config": {"rope_parameters": YARN}}}
    facts = read_facts(nested, args)
    assert facts.hidden == 4096
    assert longest_request(facts.lengths, behaviour("0.26.0")).most == 131072
