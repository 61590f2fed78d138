"""What commands ask of a host, and what they load for it: GETs of the own reader, and no more of them than needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cortexctl.cli.main import run
from cortexctl.desired.stack import Host
from cortexctl.hosts import fleet
from cortexctl.instance.codec import spec_from_label
from tests.drift_stack import STACK, spec_of
from tests.fakes.daemon_socket import LIST, TalkingDaemon, row, talking_daemon
from tests.fakes.inspection import inspection
from tests.loading import loaded_by

NEVER = {"docker", "requests", "urllib3", "httpx", "h11", "ssl", "http", "rich", "jinja2", "asyncio"}
"""Nothing that only reads hosts over a socket needs them: no client of another kind, and no TLS."""
LOCK = "/volumes/cortexctl-lock-demo"
IMAGE = "/images/image:v0.32.0/json"


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TalkingDaemon]:
    """The only host of the stack in `stack.toml`; nothing runs there."""
    (tmp_path / "stack.toml").write_text(STACK)
    with talking_daemon(tmp_path / "d.sock", {IMAGE: {"Id": "sha256:" + "1" * 64, "Config": {}}}) as it:
        monkeypatch.setenv("DOCKER_HOST", it.url)
        monkeypatch.chdir(tmp_path)
        yield it


def serves(daemon: TalkingDaemon, folder: Path) -> str:
    """The stack was applied there. The id of the container."""
    label = spec_of(folder, STACK)
    ours = row(label)
    state = {"Running": True, "Pid": 0, "StartedAt": "2026-01-01T00:00:00Z"}
    networks = {"cortex_default": {"IPAddress": "172.18.0.2", "Gateway": "172.18.0.1"}}
    raw = inspection(spec_from_label(label))
    raw |= {"Id": ours["Id"], "State": state, "NetworkSettings": {"Ports": {}, "Networks": networks}}
    daemon.answers |= {LIST: [ours], f"/containers/{ours['Id']}/json": raw}
    return str(ours["Id"])


def test_a_plan_that_creates_reads_the_image_with_a_get(daemon: TalkingDaemon) -> None:
    assert not loaded_by("plan") & NEVER
    assert Counter(daemon.requests)[IMAGE] == 1
    assert not any(request.startswith(("/version", "/v1.")) for request in daemon.requests), "no client shakes hands"


def test_an_image_that_the_host_does_not_have_is_read_from_its_registry(
    daemon: TalkingDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    del daemon.answers[IMAGE]
    daemon.answers["/version"] = {"ApiVersion": "1.41"}
    run(["plan"])
    assert "image:v0.32.0" in capsys.readouterr().out
    assert Counter(daemon.requests)[IMAGE] == 1
    assert "/v1.41/distribution/image:v0.32.0/json" in daemon.requests


def test_status_inspects_each_container_once(
    daemon: TalkingDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For its health and for its endpoint; the lock is read with a GET, too."""
    container = serves(daemon, tmp_path)
    run(["status"])
    assert "http://172.18.0.2:8000" in capsys.readouterr().out
    assert Counter(daemon.requests) == Counter(
        [LIST, LOCK, f"/containers/{container}/json", f"/containers/{container}/exec"]
    )


def test_status_inspects_no_container_whose_address_is_elsewhere(
    daemon: TalkingDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list shows all that a program inside it needs."""
    container = serves(daemon, tmp_path)
    [listed] = daemon.answers[LIST]
    joined = {"IPAddress": "172.18.0.2", "Gateway": "192.0.2.77"}
    listed |= {
        "Command": "vllm serve /models/tiny --host 0.0.0.0 --port 8000",
        "HostConfig": {"NetworkMode": "cortex_default"},
        "NetworkSettings": {"Networks": {"cortex_default": joined}},
    }
    run(["status"])
    assert "http://172.18.0.2:8000" in capsys.readouterr().out
    assert Counter(daemon.requests) == Counter([LIST, LOCK, f"/containers/{container}/exec"])
    daemon.requests.clear()
    run(["drift"])
    assert f"/containers/{container}/exec" in daemon.requests
    assert f"/containers/{container}/json" not in daemon.requests


@pytest.mark.parametrize("command", ["status", "drift"])
def test_reading_the_fleet_loads_no_client_but_our_own(daemon: TalkingDaemon, tmp_path: Path, command: str) -> None:
    serves(daemon, tmp_path)
    assert not loaded_by(command) & NEVER
    assert any(request.endswith("/exec") for request in daemon.requests), "the request starts inside"


def test_the_path_to_new_containers_is_tested_once_however_many_are_created(tmp_path: Path) -> None:
    with (
        talking_daemon(tmp_path / "d.sock", {"/networks": []}) as daemon,
        fleet.open_hosts([Host("here", daemon.url)], "demo") as hosts,
        ThreadPoolExecutor(8) as pool,
    ):
        list(pool.map(hosts.check_path, ["here"] * 8))
        assert sorted(path.rpartition("/")[2] for path in daemon.requests) == ["exec", "networks"]
