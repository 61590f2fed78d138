"""The quickstart on real vLLM. The tests run in order, because every start takes half a minute.

Each test starts in the end state of the test before. The module's fixture starts and ends without containers.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live import MODELS, REPO, LiveDaemon, live_daemon

pytestmark = pytest.mark.vllm

QUICKSTART = REPO / "stacks" / "quickstart.toml"
SERVING = "vllm-model-tiny"
START_LIMIT = 600.0
URL = "http://127.0.0.1:8801"


@pytest.fixture(scope="module")
def live() -> Iterator[LiveDaemon]:
    assert (MODELS / "tiny-llama" / "config.json").exists(), "make the lab first: tests/lab/lab up"
    with live_daemon("quickstart") as daemon:
        daemon.clean()
        daemon.docker_cli("volume", "create", "quickstart-foreign-volume")
        daemon.docker_cli("network", "create", "quickstart-foreign-net")
        yield daemon


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for the measurements of these tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def one_cache_for_all(cache: Path, cache_of_its_own: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the quickstart that the tests can edit; its relative paths made absolute."""
    path = tmp_path_factory.mktemp("quickstart") / "quickstart.toml"
    path.write_text(QUICKSTART.read_text().replace('"../.lab/models"', f'"{MODELS}"'))
    return path


def edit(stack: Path, old: str, new: str) -> None:
    text = stack.read_text()
    assert old in text
    stack.write_text(text.replace(old, new))


def test_the_quickstart_is_applied_and_answers(live: LiveDaemon, stack: Path) -> None:
    applied = live.cortexctl("apply", str(stack), "--auto-approve", timeout=START_LIMIT)
    assert applied.code == 0, applied.err + applied.out
    stages = "engine starting|weights loaded|KV cache allocated|engine ready"
    assert re.search(stages, applied.err), "vLLM's own log shows as progress"
    health = httpx.get(f"{URL}/health", trust_env=False)
    assert health.status_code == 200
    models = httpx.get(f"{URL}/v1/models", trust_env=False).json()["data"]
    assert [(m["id"], m["max_model_len"]) for m in models] == [("tiny-llama", 2048)]
    request = {"model": "tiny-llama", "max_tokens": 7, "messages": [{"role": "user", "content": "Say ok."}]}
    answer = httpx.post(f"{URL}/v1/chat/completions", json=request, trust_env=False, timeout=60).json()
    assert answer["usage"]["completion_tokens"] == 7


def test_the_facts_of_the_start_log_are_known_without_the_log(live: LiveDaemon, stack: Path) -> None:
    (row,) = json.loads(live.cortexctl("status", str(stack), "--format", "json").out)
    cache = row["memory"]["kv_cache_tokens"]["measured"]
    assert cache > 2048
    assert row["memory"]["max_concurrency"]["measured"] == pytest.approx(cache / 2048, abs=0.01)
    assert 1 < row["memory"]["start_seconds"] < START_LIMIT
    assert f"KV cache: {cache:,} tokens" in live.cortexctl("status", str(stack)).out


def test_the_spec_is_recorded_and_the_second_plan_is_empty(live: LiveDaemon, stack: Path) -> None:
    recorded = json.loads(live.inspect(SERVING)["Config"]["Labels"]["cortexctl.spec"])
    assert recorded["server"]["args"] == {"enforce_eager": True, "max_model_len": 2048}
    assert recorded["server"]["version"] == "0.32.0"
    planned = live.cortexctl("plan", str(stack), "--detailed-exitcode")
    assert planned.code == 0
    assert "No changes." in planned.out


def test_a_model_path_that_is_not_there_fails_at_once_and_the_old_one_serves_again(
    live: LiveDaemon, stack: Path
) -> None:
    edit(stack, 'path = "tiny-llama"', 'path = "nope"')
    began = time.monotonic()
    failed = live.cortexctl("apply", str(stack), "--auto-approve", timeout=START_LIMIT)
    edit(stack, 'path = "nope"', 'path = "tiny-llama"')
    assert failed.code == 1, failed.out
    assert time.monotonic() - began < START_LIMIT / 2, "it must not wait for the start-up time-out of 10 minutes"
    assert re.search(r"it exited with code 1; vLLM's last error: \S*Error: Repo id must be in the form", failed.out)
    assert "cause  the container has no model at /models/nope" in failed.out
    assert "fix    check `source.path`" in failed.out
    assert "generation 1 serves again" in failed.out
    assert live.containers() == {SERVING: "running"}
    assert httpx.get(f"{URL}/health", trust_env=False).status_code == 200
    assert live.cortexctl("plan", str(stack), "--detailed-exitcode").code == 0


def test_another_length_is_a_replacement_with_that_reason(live: LiveDaemon, stack: Path) -> None:
    edit(stack, "max_model_len = 2048", "max_model_len = 1024")
    planned = live.cortexctl("plan", str(stack), "--format", "json")
    (change,) = json.loads(planned.out)["changes"]
    assert (change["actions"], change["reason"]) == (["remove", "create"], "changed")
    assert change["replace_paths"] == ["args.max_model_len"]
    applied = live.cortexctl("apply", str(stack), "--auto-approve", timeout=START_LIMIT)
    assert applied.code == 0, applied.err + applied.out
    (model,) = httpx.get(f"{URL}/v1/models", trust_env=False).json()["data"]
    assert model["max_model_len"] == 1024
    (row,) = json.loads(live.cortexctl("status", str(stack), "--format", "json").out)
    assert row["memory"]["max_concurrency"]["measured"] == pytest.approx(
        row["memory"]["kv_cache_tokens"]["measured"] / 1024, abs=0.01
    )
    retained = [name for name in live.containers() if name != SERVING]
    assert len(retained) == 1
    assert live.containers()[SERVING] == "running"


def test_a_length_that_the_model_cannot_take_is_refused_before_the_start(live: LiveDaemon, stack: Path) -> None:
    edit(stack, "max_model_len = 1024", "max_model_len = 999999")
    refused = live.cortexctl("apply", str(stack), "--auto-approve", timeout=START_LIMIT)
    edit(stack, "max_model_len = 999999", "max_model_len = 1024")
    assert refused.code == 1
    assert "Error[CX316] vLLM 0.32.0 would refuse to start: max_model_len is longer than the model" in refused.err
    assert live.cortexctl("plan", str(stack), "--detailed-exitcode").code == 0


def test_limits_that_contradict_each_other_are_diagnosed(live: LiveDaemon, stack: Path) -> None:
    wrong = "max_model_len = 1024\nmax_num_seqs = 128\nmax_num_batched_tokens = 64"
    edit(stack, "max_model_len = 1024", wrong)
    failed = live.cortexctl("apply", str(stack), "--auto-approve", timeout=START_LIMIT)
    edit(stack, wrong, "max_model_len = 1024")
    assert failed.code == 1
    assert "cause  a batch of 64 tokens cannot hold 128 sequences" in failed.out
    assert "fix    set args.max_num_seqs = 64, or args.max_num_batched_tokens = 128" in failed.out
    assert live.cortexctl("plan", str(stack), "--detailed-exitcode").code == 0


def test_destroy_leaves_nothing_of_ours_and_all_of_everyone_elses(live: LiveDaemon, stack: Path) -> None:
    destroyed = live.cortexctl("destroy", str(stack), "--auto-approve", timeout=START_LIMIT)
    assert destroyed.code == 0, destroyed.err
    assert live.containers() == {}
    assert live.everything() == {
        "containers": [],
        "networks": ["quickstart-foreign-net"],
        "volumes": ["quickstart-foreign-volume"],
    }
    assert (MODELS / "tiny-llama" / "model.safetensors").exists(), "weights are never deleted"
