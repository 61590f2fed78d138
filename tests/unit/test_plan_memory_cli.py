"""Memory on the command line: what validate, plan and fit read, what they report as unknown, and their Hub requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cortexctl.cli.main import run
from cortexctl.instance.codec import spec_to_label
from tests.fakes.daemon_socket import LIST, row, talking_daemon
from tests.memory import CONFIGS
from tests.reading import desired_from

Go = Callable[..., str]
STACK = """stack = "demo"

[hosts.here]
docker = "{docker}"
models_dir = "{models}"
gpus = {{ count = 4, name = "L40S", memory = "46068 MiB" }}

[models.tiny]
image = "image:v0.32.0"
source = {{ path = "qwen" }}
gpus = [0]

[models.tiny.args]
max_model_len = {length}

[models.hub]
image = "image:v0.32.0"
source = {{ repo = "org/name", revision = "0123456789abcdef0123456789abcdef01234567" }}
gpus = [1]
"""


@pytest.fixture
def go(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Go:
    """Runs a command, checks its exit code, and returns its standard output."""
    monkeypatch.setenv("NO_COLOR", "1")

    def command(*argv: str, code: int = 0) -> str:
        assert run(list(argv)) == code, capsys.readouterr()
        return capsys.readouterr().out

    return command


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "qwen"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text((CONFIGS / "qwen3-8b.json").read_text())
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 16381470720}}))
    return folder.parent


def stack(at: Path, models: Path, docker: str = "unix:///run/none.sock", length: int = 8192) -> Path:
    path = at / "stack.toml"
    path.write_text(STACK.format(docker=docker, models=models, length=length))
    return path


def test_validate_reports_refusals_and_models_without_a_forecast(go: Go, models: Path, tmp_path: Path) -> None:
    text = go("validate", str(stack(tmp_path, models)))
    assert "is valid" in text
    assert "Memory not computed for here/hub: the hub's cache is not on this machine." in text
    refused = go("validate", str(stack(tmp_path, models, length=99999)), code=1)
    assert "CX316" in refused
    assert "max_position_embeddings=40960" in " ".join(refused.split())
    report = json.loads(go("validate", "--format", "json", str(stack(tmp_path, models, length=99999)), code=1))
    assert report["memory_unknown"] == [{"address": "here/hub", "why": "the hub's cache is not on this machine"}]
    assert [d["rule"] for d in report["diagnostics"] if d["severity"] == "error"] == ["CX316"]


def test_a_plan_for_review_reads_the_local_files(go: Go, models: Path, tmp_path: Path) -> None:
    text = go("plan", str(stack(tmp_path, models)), "--against", "none")
    assert "memory  22.3x of 8,192 tokens; GPU 15.3 GiB weights" in text
    assert "GPUs   memory not computed for here/hub: the hub's cache is not on this machine" in text


def test_the_hub_is_queried_only_with_the_option(
    go: Go, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    path = str(stack(tmp_path, models))
    for argv in (("plan", path, "--against", "none"), ("validate", path)):
        assert "the Hub does not answer" not in go(*argv)
        assert "the Hub does not answer (ConnectError)" in go(*argv, "--hub")
    unknown = json.loads(go("fit", path, "--hub", "--format", "json"))["unknown"]
    assert unknown["here/hub"].startswith("the Hub does not answer")


def test_a_plan_without_changes_is_one_list_request_on_any_gpu(go: Go, models: Path, tmp_path: Path) -> None:
    with talking_daemon(tmp_path / "daemon.sock", {}) as daemon:
        path = stack(tmp_path, models, daemon.url)
        desired = desired_from(path)
        daemon.answers[LIST] = [row(spec_to_label(i.spec), i.model) for i in desired.instances]
        text = go("plan", str(path))
    assert "No changes." in text
    assert daemon.requests == [LIST]
    assert "Room" not in text
