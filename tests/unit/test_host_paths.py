"""What is known about the paths to servers on a host before a container runs there."""

from __future__ import annotations

import itertools
import socket
import socketserver
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cortexctl.concurrently import at_once
from cortexctl.desired.stack import Host, ReachMode
from cortexctl.errors import PathFailed
from cortexctl.hosts import fleet
from cortexctl.hosts.examine_paths import path_facts
from cortexctl.hosts.transport import Connection, Transport
from cortexctl.hosts.transports.choice import transport_to
from cortexctl.observed.host_paths import FORBIDS_FORWARDS, NO_BRIDGE_HERE, NO_DIRECT_PATH, PathFacts
from tests.fakes.daemon_socket import talking_daemon
from tests.fakes.sockets import read_request, serving_on
from tests.waiting import AT_MOST

NETWORKS = "/networks"


def networks(*gateways: str) -> dict[str, Any]:
    return {NETWORKS: [{"Name": "none", "IPAM": {"Config": None}}, *(bridge(g) for g in gateways)]}


def bridge(gateway: str) -> dict[str, Any]:
    return {"Name": "bridge", "IPAM": {"Config": [{"Subnet": "127.0.0.0/8", "Gateway": gateway}]}}


@dataclass
class Elsewhere:
    """Implements `transport.Transport` over another one: a host behind ssh or TLS."""

    transport: Transport
    forwarder: Any = None
    url: str = "tcp://gpu-1:2376"
    kind: str = "TLS"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


@dataclass
class Forwards:
    """Implements `transport.Forwarder` for a host that opens no connection."""

    forbids: bool
    events: list[str] = field(default_factory=list)
    session: int = 1

    def connect_to(self, address: str, port: int, _seconds: float) -> socket.socket:
        self.events.append(f"{address}:{port}")
        ours, theirs = socket.socketpair()
        theirs.close()
        return ours

    def is_forbidden(self) -> bool:
        return self.forbids

    def cancel(self, _address: str, _port: int) -> None:
        self.events.append("cancel")


@pytest.mark.parametrize(
    ("gateways", "problem"),
    [(("127.0.0.1",), ""), (("192.0.2.1", "127.0.0.1"), ""), (("192.0.2.1",), NO_BRIDGE_HERE), ((), "")],
    ids=["here", "one of two here", "elsewhere", "not known"],
)
def test_a_bridge_of_this_machine_is_a_direct_path(tmp_path: Path, gateways: tuple[str, ...], problem: str) -> None:
    with talking_daemon(tmp_path / "s", networks(*gateways)) as daemon:
        at = Connection(Host("here", daemon.url, reach="direct"), transport_to(daemon.url))
        assert path_facts(at, tests_exec=False) == PathFacts("direct", None, "on this machine", problem)


@pytest.mark.parametrize("answer", [b"", b"[", [7], [{"IPAM": {"Config": 7}}], {"a": 1}, [bridge("x" * 99)]])
def test_networks_that_cannot_be_read_refuse_nothing_wrongly(tmp_path: Path, answer: object) -> None:
    with talking_daemon(tmp_path / "s", {NETWORKS: answer}) as daemon:
        facts = path_facts(Connection(Host("here", daemon.url), transport_to(daemon.url)), tests_exec=True)
    assert facts.blocked() == ("", "")


@pytest.mark.parametrize("forbids", [False, True])
def test_over_ssh_one_connection_shows_whether_forwards_are_permitted(tmp_path: Path, *, forbids: bool) -> None:
    with talking_daemon(tmp_path / "s", {}) as daemon:
        forwards = Forwards(forbids)
        at = Connection(Host("gpu-1", "ssh://gpu-1"), Elsewhere(transport_to(daemon.url), forwards, "ssh://gpu-1"))
        assert path_facts(at, tests_exec=False) == PathFacts(
            "auto", None, "over ssh", FORBIDS_FORWARDS if forbids else ""
        )
        assert forwards.events == ["127.0.0.1:1", "cancel"]
        assert NETWORKS not in daemon.requests


def test_over_tls_there_is_no_direct_path(tmp_path: Path) -> None:
    with talking_daemon(tmp_path / "s", {}) as daemon:
        at = Connection(Host("gpu-1", "tcp://gpu-1:2376"), Elsewhere(transport_to(daemon.url)))
        assert path_facts(at, tests_exec=False) == PathFacts("auto", None, "", NO_DIRECT_PATH)


@pytest.mark.parametrize(("status", "refuses"), [(403, True), (405, True), (501, True), (404, False), (500, False)])
def test_a_refusal_of_all_programs_is_distinguished_from_a_missing_container(
    tmp_path: Path, status: int, *, refuses: bool
) -> None:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            read_request(self.request)
            self.request.sendall(b"HTTP/1.1 %d x\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\n{}" % status)

    with serving_on(tmp_path / "s", Handler) as url:
        facts = path_facts(Connection(Host("gpu-1", url, reach="exec"), Elsewhere(transport_to(url))), tests_exec=True)
    expected = f"the daemon refuses to run programs in containers (status {status})"
    assert facts.exec_problem == (expected if refuses else "")
    assert bool(facts.blocked()[0]) is refuses


@pytest.mark.parametrize(
    ("mode", "exec_problem", "direct", "direct_problem", "is_blocked"),
    [
        ("auto", "", "on this machine", "p", False),
        ("auto", "p", "on this machine", "", False),
        ("auto", "p", "on this machine", "p", True),
        ("auto", "", "over ssh", "p", False),
        ("auto", "p", "over ssh", "", True),
        ("auto", "p", "", "p", True),
        ("exec", "", "", "p", False),
        ("exec", "p", "on this machine", "", True),
        ("direct", "p", "on this machine", "", False),
        ("direct", "", "on this machine", "p", True),
        ("direct", "p", "over ssh", "", True),
        ("direct", "", "over ssh", "p", True),
        ("direct", "", "", "p", True),
    ],
)
def test_a_host_is_blocked_if_no_allowed_path_works(
    mode: ReachMode, exec_problem: str, direct: str, direct_problem: str, *, is_blocked: bool
) -> None:
    problem, next_step = PathFacts(mode, exec_problem, direct, direct_problem).blocked()
    assert (bool(problem), bool(next_step)) == (is_blocked, is_blocked)


def test_a_host_is_tested_once_and_refused_each_time(tmp_path: Path) -> None:
    with talking_daemon(tmp_path / "s", networks("192.0.2.1")) as daemon:
        with fleet.open_hosts([Host("here", daemon.url, reach="direct")], "demo") as hosts:
            for _ in range(2):
                with pytest.raises(PathFailed, match="could not be checked: no bridge of the daemon") as failed:
                    hosts.check_path("here")
        assert 'reach = "auto"' in failed.value.next_step
        assert len(list(itertools.filterfalse(lambda r: r != NETWORKS, daemon.requests))) == 1


def test_changes_at_the_same_time_test_their_host_once(tmp_path: Path) -> None:
    together = threading.Barrier(8)
    with (
        talking_daemon(tmp_path / "s", networks("192.0.2.1")) as daemon,
        fleet.open_hosts([Host("here", daemon.url, reach="direct")], "demo") as hosts,
    ):

        def is_blocked(_change: int) -> bool:
            together.wait(AT_MOST)
            with pytest.raises(PathFailed):
                hosts.check_path("here")
            return True

        assert all(at_once(is_blocked, range(together.parties)))
    assert daemon.requests.count(NETWORKS) == 1
