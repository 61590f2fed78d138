"""Draft models on the command line: read from the folders of this machine, and named where they are not there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cortexctl.cli.main import run
from cortexctl.instance.codec import spec_to_label
from tests.fakes.daemon_socket import LIST, row, talking_daemon
from tests.memory import CONFIGS
from tests.reading import desired_from

STACK = """stack = "demo"

[hosts.here]
docker = "{docker}"
models_dir = "{models}"
gpus = {{ count = 1, name = "L40S", memory = "46068 MiB" }}

[models.chat]
image = "image:v0.32.0"
source = {{ path = "llama" }}
gpus = [0]

[models.chat.args]
max_model_len = 32768
speculative_config = {{ method = "draft_model", model = "/models/small", num_speculative_tokens = 5 }}
"""


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack whose models, without the draft, are in a folder beside it."""
    monkeypatch.setenv("NO_COLOR", "1")
    return write_stack(tmp_path, "unix:///run/none.sock")


def write_stack(at: Path, docker: str) -> Path:
    add_model(at, "llama", "llama-3.1-8b")
    path = at / "stack.toml"
    path.write_text(STACK.format(docker=docker, models=at / "models"))
    return path


def add_model(at: Path, folder: str, config: str) -> Path:
    model = at / "models" / folder
    model.mkdir(parents=True)
    (model / "config.json").write_text((CONFIGS / f"{config}.json").read_text())
    return model


def test_validate_names_a_draft_whose_folder_is_not_there(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    why = "the weights of the draft model are not included (/models/small: its folder is not on this machine)"
    assert run(["validate", str(stack)]) == 0
    assert f"Memory of here/chat: {why}." in capsys.readouterr().out
    assert run(["validate", str(stack), "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["memory_unknown"], report["memory_incomplete"]) == ([], [{"address": "here/chat", "why": why}])
    add_model(stack.parent, "small", "llama-3.2-1b")
    assert run(["validate", str(stack)]) == 0
    assert "Memory of here/chat" not in capsys.readouterr().out


def test_validate_refuses_a_draft_with_another_vocabulary(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_model(stack.parent, "small", "qwen3-8b")
    assert run(["validate", str(stack)]) == 1
    assert "CX316" in (text := capsys.readouterr().out)
    assert "its draft model has another vocabulary" in text


def test_the_vocabulary_of_a_draft_is_checked_without_gpus(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = stack.read_text()
    stack.write_text(
        "\n".join('gpus = "none"' if t == "gpus = [0]" else t for t in text.splitlines() if "count" not in t)
    )
    assert run(["validate", str(stack)]) == 0
    assert "is valid" in capsys.readouterr().out
    add_model(stack.parent, "small", "qwen3-8b")
    assert run(["validate", str(stack)]) == 1
    assert "its draft model has another vocabulary" in capsys.readouterr().out


def test_fit_counts_the_draft_of_a_stack_and_of_options_alike(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = add_model(stack.parent, "small", "llama-3.2-1b")
    assert run(["fit", str(stack), "--no-measured"]) == 0
    of_stack = capsys.readouterr().out
    speculation = json.dumps({"method": "draft_model", "model": str(small), "num_speculative_tokens": 5})
    options = ["--config", str(CONFIGS / "llama-3.1-8b.json"), "--gpu", "L40S:44.4", "--vllm-version", "0.32.0"]
    options += ["--arg", "max_model_len=32768", "--arg", f"speculative_config={speculation}"]
    assert run(["fit", *options, "--no-measured"]) == 0
    of_options = capsys.readouterr().out
    for text in (of_stack, of_options):
        assert "- weights             17.31 GiB" in text
        assert "tensor_parallel_size 1, bfloat16, with its draft" in text
        assert "It starts." in text
        assert "note:" not in text


def test_the_search_counts_the_draft(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_model(stack.parent, "small", "llama-3.2-1b")
    assert run(["fit", str(stack), "--auto", "--target-len", "32768", "--target-concurrency", "3"]) == 0
    text = capsys.readouterr().out
    size = re.search(r"kv_cache_memory_bytes = (\d+)", text)
    assert size, text
    with_the_draft = 3 * 32768 * (131072 + 32768)  # bytes of a token in all layers of both
    assert with_the_draft < int(size[1]) < 44.4 * 2**30 - (16.1 + 2.4) * 1e9


def test_a_config_of_the_target_is_given_and_the_draft_is_still_read(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_model(stack.parent, "small", "llama-3.2-1b")
    config = f"chat={CONFIGS / 'llama-3.1-8b.json'}"
    assert run(["fit", str(stack), "--config", config, "--no-measured"]) == 0
    assert "- weights             17.31 GiB" in capsys.readouterr().out


def test_a_plan_without_changes_is_one_list_request_with_a_draft_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with talking_daemon(tmp_path / "daemon.sock", {}) as daemon:
        path = write_stack(tmp_path, daemon.url)
        daemon.answers[LIST] = [row(spec_to_label(i.spec), i.model) for i in desired_from(path).instances]
        assert run(["plan", str(path)]) == 0
    assert "No changes." in capsys.readouterr().out
    assert daemon.requests == [LIST]
