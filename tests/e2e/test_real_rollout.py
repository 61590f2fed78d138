"""Two real vLLM servers are replaced one after the other, while a client sends requests to both. The tests run in order."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.live import MODELS, REAL_VLLM, LiveDaemon, live_daemon
from tests.waiting import AT_MOST

pytestmark = pytest.mark.vllm

START_LIMIT = 900.0
PORTS = (8811, 8812)
NAMES = {"vllm-model-pair", "vllm-model-pair.2"}
REQUEST = {"model": "pair", "prompt": "Say ok.", "max_tokens": 4}

STACK = f"""
stack = "rolling"

[hosts.here]
models_dir = "{MODELS}"

[models.pair]
image = "{REAL_VLLM}"
source = {{ path = "tiny-llama" }}
gpus = "none"
replicas = 2
publish = "127.0.0.1:{PORTS[0]}"
shm_size = "512 MiB"
args = {{ max_model_len = LENGTH, enforce_eager = true }}
gate = {{ startup_timeout = "5m", stable_for = "1s" }}
rollout = {{ drain = "5s", max_unavailable = 1, keep = 1 }}
"""


@dataclass
class Client:
    """Sends requests to the servers in turn. If one fails, it tries the other at once. `refused`: causes of failed first
    tries. `failed`: requests that neither answered. `gap`: the longest time without an answer, in seconds.
    """

    answered: int = 0
    failed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    gap: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        last = time.monotonic()
        with httpx.Client(trust_env=False) as http:
            while not self._stop.wait(0.05):
                for first, other in (PORTS, PORTS[::-1]):
                    if not self._is_answered(http, first) and not self._is_answered(http, other):
                        self.failed += 1
                        continue
                    self.answered += 1
                    now = time.monotonic()
                    self.gap, last = max(self.gap, now - last), now

    def _is_answered(self, http: httpx.Client, port: int) -> bool:
        try:
            answer = http.post(f"http://127.0.0.1:{port}/v1/completions", json=REQUEST, timeout=AT_MOST)
        except httpx.HTTPError as cause:
            self.refused[type(cause).__name__] += 1
            return False
        if answer.status_code != 200:
            self.refused[f"status {answer.status_code}"] += 1
        return answer.status_code == 200

    def stop(self) -> None:
        self._stop.set()


WHILE_STOPPING = {"status 500", "ConnectError", "ReadError", "RemoteProtocolError"}
"""The answers of a server that stops: after SIGTERM, vLLM refuses new requests with status 500 until it exits."""


def report(client: Client, record_property: Callable[[str, object], None]) -> str:
    """Add the numbers of requests and refusals, with their causes, to the test report and the output."""
    record_property("answered", client.answered)
    record_property("first_try_refused", dict(client.refused))
    record_property("failed", client.failed)
    record_property("longest_gap_seconds", round(client.gap, 2))
    summary = f"answered {client.answered}, first try refused {dict(client.refused)}, failed {client.failed}, gap {client.gap:.2f}s"
    print(summary)
    return summary


@contextmanager
def running_client() -> Iterator[Client]:
    client = Client()
    thread = threading.Thread(target=client.run)
    thread.start()
    try:
        yield client
    finally:
        client.stop()
        thread.join(timeout=AT_MOST)


@pytest.fixture(scope="module")
def live() -> Iterator[LiveDaemon]:
    with live_daemon("rolling") as daemon:
        daemon.clean()
        yield daemon


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, live: LiveDaemon) -> Path:
    path = tmp_path_factory.mktemp("rolling") / "rolling.toml"
    write(path, 2048)
    applied = live.cortexctl("apply", str(path), "--auto-approve", timeout=START_LIMIT)
    assert applied.code == 0, applied.out + applied.err
    return path


def write(path: Path, length: int, more: str = "") -> None:
    path.write_text(STACK.replace("LENGTH", str(length) + more))


def lengths() -> list[int]:
    return [
        httpx.get(f"http://127.0.0.1:{port}/v1/models", trust_env=False).json()["data"][0]["max_model_len"]
        for port in PORTS
    ]


def serving(live: LiveDaemon) -> set[str]:
    return {name for name, state in live.containers().items() if state == "running"}


def test_a_rolling_replacement_answers_every_request(
    live: LiveDaemon, stack: Path, record_property: Callable[[str, object], None]
) -> None:
    write(stack, 1024)
    planned = json.loads(live.cortexctl("plan", str(stack), "--format", "json").out)
    assert planned["rollouts"][0]["batches"] == [["here/pair"], ["here/pair.2"]]
    with running_client() as client:
        applied = live.cortexctl("apply", str(stack), "--auto-approve", timeout=START_LIMIT)
    summary = report(client, record_property)
    assert applied.code == 0, applied.out + applied.err
    assert lengths() == [1024, 1024]
    assert serving(live) == NAMES
    assert (client.answered > 20, client.failed) == (True, 0), summary
    assert set(client.refused) <= WHILE_STOPPING, summary


def test_a_rollout_that_vllm_refuses_stops_at_the_first_and_rolls_it_back(
    live: LiveDaemon, stack: Path, record_property: Callable[[str, object], None]
) -> None:
    write(stack, 2048, ", max_num_seqs = 128, max_num_batched_tokens = 64")
    before = {name: live.inspect(name)["Id"] for name in NAMES}
    with running_client() as client:
        failed = live.cortexctl("apply", str(stack), "--auto-approve", timeout=START_LIMIT)
    summary = report(client, record_property)
    assert failed.code == 1, failed.out + failed.err
    assert "args.max_num_seqs = 64" in failed.out.partition("fix  ")[2].partition("\n")[0], failed.out
    assert "1 rolled back" in failed.out
    assert "1 not started" in failed.out
    assert {name: live.inspect(name)["Id"] for name in NAMES} == before
    assert lengths() == [1024, 1024]
    assert (client.answered > 20, client.failed) == (True, 0), summary
    assert set(client.refused) <= WHILE_STOPPING, summary
    write(stack, 1024)
    assert live.cortexctl("plan", str(stack), "--detailed-exitcode").code == 0
    assert live.cortexctl("destroy", str(stack), "--auto-approve", timeout=START_LIMIT).code == 0
