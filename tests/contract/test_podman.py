"""The life of a stack on Podman, by the command line."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cortexctl.desired.stack import Host
from cortexctl.hosts.act import DockerDaemon
from cortexctl.hosts.transports.choice import connection_to
from cortexctl.observed.lock_holder import LockInfo
from tests.live import STAND_IN, LiveDaemon, live_daemon
from tests.podman import Podman

pytestmark = pytest.mark.engine

STACK = """
stack = "{stack}"

[hosts.here]
docker = "{docker}"
gpus = {{ count = 1 }}
network = "{stack}-net"

[models.tiny]
image = "{image}"
source = {{ repo = "org/tiny", revision = "1" }}
gpus = {gpus}
publish = "127.0.0.1"
cpus = {cpus}
gate = {{ stable_for = "0s", startup_timeout = "60s" }}
rollout = {{ drain = "0s" }}
"""


@pytest.fixture
def live(podman: Podman) -> Iterator[LiveDaemon]:
    with live_daemon(f"cxt-{secrets.token_hex(3)}", podman.docker) as daemon:
        yield daemon


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stack.toml"


def write(path: Path, live: LiveDaemon, *, cpus: float = 1.5, gpus: str = '"none"') -> None:
    path.write_text(STACK.format(stack=live.stack, docker=live.docker, image=STAND_IN, cpus=cpus, gpus=gpus))


def test_apply_drift_replacement_rollback_and_destroy(live: LiveDaemon, path: Path) -> None:
    write(path, live)
    done = live.cortexctl("apply", str(path), "--auto-approve")
    assert done.code == 0, done.err + done.out
    assert live.inspect("vllm-model-tiny")["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    deep = live.cortexctl("drift", str(path), "--deep")
    assert deep.code == 0, deep.out

    write(path, live, cpus=1.0)
    refused = live.cortexctl("apply", str(path), "--auto-approve")
    assert refused.code == 5
    assert "Podman cannot change the limits" in refused.out
    replaced = live.cortexctl("apply", str(path), "--auto-approve", "--replace", "here/tiny")
    assert replaced.code == 0, replaced.err + replaced.out
    restored = live.cortexctl("rollback", "here/tiny", "--stack", str(path), "--auto-approve")
    assert restored.code == 0, restored.err + restored.out
    assert live.containers() == {"vllm-model-tiny": "running", "vllm-model-tiny--g2-undone": "exited"}

    gone = live.cortexctl("destroy", str(path), "--auto-approve")
    assert gone.code == 0, gone.err + gone.out
    assert live.everything() == {"containers": [], "networks": [], "volumes": []}


def test_a_container_without_its_gpus_is_refused_and_the_old_one_serves_on(live: LiveDaemon, path: Path) -> None:
    write(path, live)
    assert live.cortexctl("apply", str(path), "--auto-approve").code == 0
    before = live.inspect("vllm-model-tiny")["Id"]
    write(path, live, gpus="[0]")
    done = live.cortexctl("apply", str(path), "--auto-approve")
    assert done.code == 1, "nothing was stopped"
    assert "Podman accepted the request for GPUs and dropped it" in done.out
    assert live.inspect("vllm-model-tiny")["Id"] == before
    assert live.containers() == {"vllm-model-tiny": "running"}


def test_of_many_runs_one_takes_the_lock(podman: Podman) -> None:
    """Some of the simultaneous requests are refused, because the volume is being created."""
    owner = f"cxt-{secrets.token_hex(3)}"
    with live_daemon(owner, podman.docker):
        daemon = DockerDaemon(connection_to(Host("here", podman.docker)), owner)

        def take(number: int) -> LockInfo:
            return daemon.take_lock(owner, LockInfo(f"run{number}", "alice", "ci", 1, f"r{number}", 10, 20))

        with ThreadPoolExecutor(6) as pool:
            for _ in range(5):
                holders = set(pool.map(take, range(6)))
                assert holders == {daemon.read_lock(owner)}
                daemon.release_lock(owner)
