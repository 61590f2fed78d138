"""`fit` from outside: the JSON that scripts rely on, the text that people read, a stack, and a patch of it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortexctl.cli.main import run
from cortexctl.engines.vllm.version import NEWEST_KNOWN
from cortexctl.errors import UsageError
from cortexctl.operations.fit_arguments import read_args
from tests.memory import CONFIGS

PARTS = [
    "weights_gib",
    "non_torch_gib",
    "transient_gib",
    "graphs_gib",
    "requested_gib",
    "available_kv_gib",
    "kv_cache_tokens",
    "max_concurrency",
    "num_gpu_blocks",
    "needed_gib",
]
Fit = Callable[..., str]


@pytest.fixture
def fit(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Fit:
    """Runs `fit`, checks its exit code, and returns its output."""
    monkeypatch.setenv("NO_COLOR", "1")

    def go(*argv: str, code: int = 0) -> str:
        assert run(["fit", *argv]) == code
        captured = capsys.readouterr()
        return captured.out if code in {0, 1} and captured.out else captured.err

    return go


def config(name: str) -> str:
    return str(CONFIGS / f"{name}.json")


def test_the_json_has_every_number_with_range_and_source(fit: Fit) -> None:
    report = json.loads(
        fit(
            "--config",
            config("qwen3-8b"),
            "--gpu",
            "L40S:44.4",
            "--vllm-version",
            "0.32.0",
            "--arg",
            "max_model_len=8192",
            "--format",
            "json",
        )
    )
    for part in PARTS:
        assert set(report[part]) == {"value", "low", "high", "source"}, part
        assert report[part]["low"] <= report[part]["value"] <= report[part]["high"]
    assert (report["verdict"], report["refusal"]) == ("starts", None)


def test_given_memory_leaves_the_exact_part_and_needs_no_gpu(fit: Fit) -> None:
    report = json.loads(
        fit(
            "--config",
            config("qwen3-8b"),
            "--available-kv",
            "25.94",
            "--vllm-version",
            "0.12",
            "--arg",
            "max_model_len=16384",
            "--format",
            "json",
        )
    )
    assert report["kv_cache_tokens"] == {"value": 188880, "low": 188880, "high": 188880, "source": "exact"}
    assert report["requested_gib"] is None


def test_a_refusal_has_its_rule_text_and_the_length_that_fits(fit: Fit) -> None:
    report = json.loads(
        fit("--config", config("qwen3-8b"), "--gpu", "L40S", "--available-kv", "1", "--format", "json", code=1)
    )
    assert report["verdict"] == "refuses"
    assert report["refusal"]["rule"] == "one request"
    assert report["refusal"]["estimated_max_model_len"] == 7264
    assert "estimated maximum model length is 7264" in report["refusal"]["text"]


def test_arguments_that_override_the_config_count(fit: Fit) -> None:
    argv = (
        "--config",
        config("qwen3-8b"),
        "--gpu",
        "L40S",
        "--vllm-version",
        "0.32.0",
        "--arg",
        "max_model_len=65536",
    )
    assert json.loads(fit(*argv, "--format", "json", code=1))["refusal"]["rule"] == "length"
    longer = 'hf_overrides={"max_position_embeddings": 131072}'
    assert json.loads(fit(*argv, "--arg", longer, "--format", "json"))["refusal"] is None


@pytest.mark.parametrize(("value", "verdict"), [("1", "uncertain"), ("0", "refuses"), ("false", "refuses")])
def test_more_than_the_config_allows_is_in_doubt_where_it_is_allowed(fit: Fit, value: str, verdict: str) -> None:
    argv = (
        "--config",
        config("qwen3-8b"),
        "--gpu",
        "H100",
        "--vllm-version",
        "0.32.0",
        "--arg",
        "max_model_len=65536",
    )
    environ = ("--environ", f"VLLM_ALLOW_LONG_MAX_MODEL_LEN={value}")
    report = json.loads(fit(*argv, *environ, "--format", "json", code=int(verdict == "refuses")))
    assert report["verdict"] == verdict


def test_the_text_is_a_sum_with_the_flag_that_moves_each_part(fit: Fit) -> None:
    text = fit(
        "--config",
        config("llama-3-70b-awq"),
        "--gpu",
        "L40Sx2",
        "--vllm-version",
        "0.16.0",
        "--arg",
        "tensor_parallel_size=2",
    )
    for word in (
        "requested",
        "- weights",
        "- activation peak",
        "= KV cache",
        "gpu_memory_utilization 0.9 of 44.40",
        "It starts.",
    ):
        assert word in text
    assert "[#" in text


def test_each_stage_of_a_pipeline_is_shown(fit: Fit) -> None:
    text = fit("--config", config("llama-3.1-70b"), "--gpu", "H100x2", "--arg", "pipeline_parallel_size=2", code=1)
    assert "stage 0: layers 0 to 39" in text
    assert "stage 1: layers 40 to 79" in text


def test_the_picture_is_an_svg_with_a_bar_a_stage(fit: Fit, tmp_path: Path) -> None:
    fit(
        "--config",
        config("llama-3.1-70b"),
        "--gpu",
        "H100x2",
        "--arg",
        "pipeline_parallel_size=2",
        "--svg",
        str(tmp_path / "a.svg"),
        code=1,
    )
    root = ET.fromstring((tmp_path / "a.svg").read_text())
    assert len(root.findall("{*}rect")) == 2 * 4 + 4


@pytest.mark.parametrize(
    ("word", "name", "value"),
    [
        ("max_model_len=8k", "max_model_len", 8000),
        ("--max-model-len=8192", "max_model_len", 8192),
        ("enforce_eager", "enforce_eager", True),
        ("enforce-eager=false", "enforce_eager", False),
        ("no_enable_prefix_caching", "enable_prefix_caching", False),
        ("gpu_memory_utilization=0.5", "gpu_memory_utilization", 0.5),
        (
            'speculative_config={"method": "mtp", "num_speculative_tokens": 2}',
            "speculative_config",
            {"method": "mtp", "num_speculative_tokens": 2},
        ),
        ('limit_mm_per_prompt={"image": 0}', "limit_mm_per_prompt", {"image": 0}),
        ("dtype=half", "dtype", "half"),
        ("something_new=[1]", "something_new", [1]),
    ],
)
def test_arguments_are_read_as_the_release_reads_them(word: str, name: str, value: Any) -> None:
    assert read_args([word], "0.32.0") == {name: value}


@pytest.mark.parametrize("word", ["max_model_len=much", "enforce_eager=maybe", "tensor_parallel_size=1.5"])
def test_a_value_of_the_wrong_kind_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match=word.split("=", 1)[0]):
        read_args([word], "0.32.0")


QWEN = ["--config", config("qwen3-8b"), "--gpu", "L40S:44.4x4", "--vllm-version", "0.32.0"]


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["--gpu", "H100"], "one --config FILE"),
        (["--config", "x.json", "--arg", "dtype=half"], "--gpu NAME:GIB"),
        (["--config", "nowhere.json", "--gpu", "H100"], "cannot be read"),
        (["--config", config("qwen3-8b"), "--gpu", "unheard of"], "is not known"),
        (["--auto", "--config", config("qwen3-8b"), "--gpu", "H100"], "--target-len"),
        (["--config", config("qwen3-8b")], "--gpu NAME:GIB"),
        ([*QWEN, "--arg", "tensor_paralel_size=2"], "did you mean tensor_parallel_size?"),
        ([*QWEN, "--arg", "kv_cache_dtype=fp9"], 'does not accept kv_cache_dtype = "fp9"'),
        ([*QWEN, "--arg", "swap_space=4", "--arg", "nothing=1"], "swap_space is gone"),
        ([*QWEN, "--arg", "gpu_memory_utilization=90"], "out of range"),
        ([*QWEN, "--arg", "tensor_parallel_size=8"], "8 GPUs are needed for one copy of the model, but --gpu has x4"),
        ([*QWEN, "--vllm-version", "9"], 'expected a release as in "0.32.0"'),
        ([*QWEN, "--gpu", "L40Sx0"], "no GPU"),
        ([*QWEN, "--free", "-1"], "is not in the range"),
    ],
)
def test_an_invalid_request_is_an_error_in_one_sentence(fit: Fit, argv: list[str], error: str) -> None:
    assert error in fit(*argv, code=1)


STACK = """stack = "demo"

[hosts.gpu-1]
docker = "unix:///run/none.sock"
models_dir = "models"
gpus = { count = 4, name = "L40S", memory = "46068 MiB" }

[models.small]
image = "vllm/vllm-openai:v0.32.0"
source = { path = "qwen" }
hosts = ["gpu-1"]
gpus = [0]

[models.small.args]
max_model_len = 32768  # for documents
gpu_memory_utilization = 0.5

[models.other]
image = "vllm/vllm-openai:v0.32.0"
source = { repo = "some/where" }
hosts = ["gpu-1"]
gpus = [1]
"""


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "qwen"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text((CONFIGS / "qwen3-8b.json").read_text())
    path = tmp_path / "stack.toml"
    path.write_text(STACK)
    return path


def test_a_stack_is_computed_as_far_as_its_models_are_here(fit: Fit, stack: Path) -> None:
    report = json.loads(fit(str(stack), "--format", "json"))
    assert report["instances"]["gpu-1/small"]["verdict"] == "starts"
    assert "--config other=FILE" in report["unknown"]["gpu-1/other"]
    assert [(line["gpu"], line["shares"][0]["holder"]) for line in report["ledger"]] == [(0, "gpu-1/small")]
    text = fit(str(stack), "--config", f"other={config('gemma-2-9b')}")
    assert "gpu-1 GPU 1: 40.8 of 44.4 GiB (gpu-1/other 40.8)" in text
    misspelt = fit(str(stack), "--config", f"othr={config('gemma-2-9b')}", code=1)
    assert "has no model othr; known: other, small" in misspelt


def test_if_a_stack_cannot_be_patched_the_arguments_are_reported(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = STACK.replace("[models.small", "[env.lab.models.small")
    stack.write_text(text)
    target = ["--auto", "--model", "small", "--target-len", "16384", "--write"]
    assert run(["fit", str(stack), "--env", "lab", *target]) == 1
    shown = capsys.readouterr().err
    assert "has no separate [models.small]; set the arguments where the model is written: max_model_len = " in shown
    assert "16384, kv_cache_memory_bytes = " in shown
    assert stack.read_text() == text


def test_a_release_newer_than_all_known_ones_has_a_note(fit: Fit) -> None:
    argv = ("--config", config("qwen3-8b"), "--gpu", "L40S", "--format", "json", "--vllm-version")
    assert "newer than" in json.loads(fit(*argv, "0.99.0"))["notes"][0]
    assert json.loads(fit(*argv, NEWEST_KNOWN))["notes"] == []


def test_given_memory_is_for_a_stack_too(fit: Fit, stack: Path) -> None:
    report = json.loads(fit(str(stack), "--available-kv", "10", "--format", "json"))
    assert report["instances"]["gpu-1/small"]["available_kv_gib"]["value"] == 10.0


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (("--available-kv", "nan"), "--available-kv must be a finite number"),
        (("--free", "inf"), "--free must be a finite number"),
        (
            ("--auto", "--target-len", "8192", "--target-concurrency", "nan"),
            "--target-concurrency must be a finite number",
        ),
        (("--auto", "--target-len", "8192", "--target-concurrency", "0"), "--target-concurrency"),
        (("--auto", "--target-len", "8192", "--write"), "--write needs a stack"),
        (("--target-len", "8192"), "--target-len needs --auto"),
        (("--write",), "--write needs --auto"),
        (("--gpu", "L40S:-4"), "a GPU must have more than 0 GiB"),
        (("--gpu", "L40S:0"), "a GPU must have more than 0 GiB"),
        (("--gpu", "L40S:inf"), "a GPU must have more than 0 GiB"),
    ],
)
def test_meaningless_options_are_refused(fit: Fit, argv: tuple[str, ...], error: str) -> None:
    assert error in fit("--config", config("qwen3-8b"), "--gpu", "L40S", *argv, code=1)


def test_a_model_of_the_hub_is_read_from_the_cache(fit: Fit, stack: Path) -> None:
    base, commit = stack.parent / "hf" / "hub" / "models--some--where", "0123456789" * 4
    (base / "refs").mkdir(parents=True)
    (base / "refs" / "main").write_text(commit)
    (base / "snapshots" / commit).mkdir(parents=True)
    (base / "snapshots" / commit / "config.json").write_text((CONFIGS / "gemma-2-9b.json").read_text())
    stack.write_text(STACK.replace('models_dir = "models"', 'models_dir = "models"\nhf_cache = "hf"'))
    report = json.loads(fit(str(stack), "--format", "json"))
    assert report["instances"]["gpu-1/other"]["model"] == "Gemma2ForCausalLM"
    assert report["unknown"] == {}


def test_a_search_prints_a_patch_and_writes_it_only_with_the_option(fit: Fit, stack: Path) -> None:
    argv = (str(stack), "--auto", "--model", "small", "--target-len", "16384", "--target-concurrency", "4")
    text = fit(*argv)
    assert "-max_model_len = 32768  # for documents" in text
    assert "+max_model_len = 16384  # for documents" in text
    assert stack.read_text() == STACK
    fit(*argv, "--write")
    assert "max_model_len = 16384  # for documents" in stack.read_text()
    assert "kv_cache_memory_bytes = " in stack.read_text()
    assert json.loads(fit(str(stack), "--format", "json"))["instances"]["gpu-1/small"]["verdict"] == "starts"
