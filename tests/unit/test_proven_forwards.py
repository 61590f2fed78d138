"""A forward to a container's own address: the proof, what never counts as one, and when it pays."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cortexctl.desired.stack import ReachMode
from cortexctl.errors import DaemonUnreachable, NotListening, PathFailed
from cortexctl.hosts import container_reach, proven_forwards
from cortexctl.hosts.container_reach import ContainerReach
from cortexctl.hosts.proven_forwards import PROOF, ProvenForwards
from cortexctl.hosts.transport import Transport
from cortexctl.hosts.transports.choice import transport_to
from cortexctl.observed.location import Location
from tests.fakes.daemon_socket import TalkingDaemon, talking_daemon
from tests.waiting import wait_until

ID = "c" * 64
ADDRESS, PORT, FRESH = "172.18.0.2", 8000, 40001
Serve = Callable[[socket.socket], object]


def inspection(**state: Any) -> dict[str, Any]:
    return {
        "Id": ID,
        "State": {"Running": True, "Pid": 77, "StartedAt": "2026-01-01T00:00:00Z", **state},
        "Config": {"Entrypoint": ["vllm", "serve"], "Cmd": ["/models/x"]},
        "NetworkSettings": {"Networks": {"net": {"IPAddress": ADDRESS, "Gateway": "172.18.0.1"}}},
    }


@dataclass
class Site:
    """A host behind ssh. `ports`: what its connections to a port do; a port without an entry refuses them."""

    daemon: TalkingDaemon
    ports: dict[tuple[str, int], Serve] = field(default_factory=dict)
    session: int = 1
    forbids: bool = False
    listens_inside: bool = True
    proves: bool = True
    number: bytes = b""
    events: list[str] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    before_connect: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        self.transport = transport_to(self.daemon.url)
        self.forwards = ProvenForwards(self.transport, self)
        self.ports[ADDRESS, FRESH] = lambda end: end.sendall(self.number)
        self.ports[ADDRESS, PORT] = lambda end: self.received.append(end.recv(100))

    def reach(self, mode: ReachMode = "auto", *, listed: Location | None = None) -> ContainerReach:
        return ContainerReach(self.transport, ID, mode, self.forwards, listed=listed)

    @property
    def proofs(self) -> int:
        return self.events.count("proof")

    # ---- transport.Forwarder

    def connect_to(self, address: str, port: int, seconds: float) -> socket.socket:
        self.events.append(f"connect {port}")
        self.before_connect()
        ours, theirs = socket.socketpair()
        ours.settimeout(seconds)
        serve = None if self.forbids else self.ports.get((address, port))
        threading.Thread(target=_serve, args=(serve, theirs), daemon=True).start() if serve else theirs.close()
        return ours

    def is_forbidden(self) -> bool:
        return self.forbids

    def cancel(self, address: str, port: int) -> None:
        self.events.append(f"cancel {port}")

    # ---- programs in the container

    def run_inside(self, _transport: Transport, container: str, argv: Sequence[str], _seconds: float) -> Program:
        assert (container, argv[4], argv[6:]) == (ID, PROOF, [ADDRESS])
        self.events.append("proof")
        if not self.proves:
            raise PathFailed("no python3 can be run in its container")
        return Program(self)

    def connect_inside(self, _transport: Transport, at: Location, _seconds: float, _announced: bytes) -> socket.socket:
        self.events.append("inside")
        if not self.listens_inside:
            raise NotListening("its port refuses connections")
        ours, theirs = socket.socketpair()
        theirs.close()
        return ours


@dataclass
class Program:
    """The program of a proof."""

    site: Site
    output: bytes = b"%d\n" % FRESH

    def sendall(self, data: bytes) -> None:
        self.site.number = data

    def recv(self, most: int) -> bytes:
        piece, self.output = self.output[:most], self.output[most:]
        return piece

    def settimeout(self, seconds: float) -> None:
        pass

    def close(self) -> None:
        self.site.events.append("end of proof")


def _serve(serve: Serve, end: socket.socket) -> None:
    with end, contextlib.suppress(OSError):
        serve(end)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with talking_daemon(tmp_path / "s", {f"/containers/{ID}/json": inspection()}) as daemon:
        site = Site(daemon)
        monkeypatch.setattr(proven_forwards, "run_inside", site.run_inside)
        monkeypatch.setattr(container_reach, "connect_inside", site.connect_inside)
        yield site


def connected(reach: ContainerReach) -> str:
    """The target of a new connection."""
    reach.connect(60).close()
    return reach.target


INSIDE, FORWARDED = f"its port {PORT}, from inside the container", f"{ADDRESS}:{PORT} over ssh"

# ---- when a forward is used


def test_a_single_request_needs_no_proof_and_many_share_one(site: Site) -> None:
    assert connected(site.reach()) == INSIDE
    assert site.events == ["inside"]
    assert [connected(site.reach()) for _ in range(3)] == [FORWARDED] * 3, "also of several objects"
    assert site.proofs == 1
    assert site.events.count("inside") == 1
    assert not site.reach().is_slow


def test_direct_uses_the_forward_from_the_first_request_on(site: Site) -> None:
    reach = site.reach("direct")
    assert (connected(reach), reach.is_slow) == (FORWARDED, False)
    assert site.events == ["proof", f"connect {FRESH}", f"cancel {FRESH}", "end of proof", f"connect {PORT}"]


def test_exec_never_uses_it(site: Site) -> None:
    reach = site.reach("exec")
    assert [connected(reach) for _ in range(3)] == [INSIDE] * 3
    assert site.events == ["inside"] * 3


LISTED = Location(ID, running=True, pid=0, port=PORT, addresses=((ADDRESS, "172.18.0.1"),))
"""As the list of containers shows it."""


@pytest.mark.parametrize("mode", ["auto", "exec"])
def test_a_request_from_inside_needs_no_inspection_of_a_listed_container(site: Site, mode: ReachMode) -> None:
    assert connected(site.reach(mode, listed=LISTED)) == INSIDE
    assert site.daemon.requests == []


def test_a_list_is_no_confirmation_of_a_forward(site: Site) -> None:
    connected(site.reach("direct"))
    for mode in ("auto", "direct"):
        inspections = len(site.daemon.requests)
        assert connected(site.reach(mode, listed=LISTED)) == FORWARDED
        assert len(site.daemon.requests) == inspections + 1


# ---- the proof


def rogue(site: Site, serve: Serve) -> None:
    """Something else answers at the container's address."""
    site.ports[ADDRESS, FRESH] = serve


@pytest.mark.parametrize(
    "serve",
    [
        lambda end: end.sendall(b"0" * 32),
        lambda end: end.sendall(b"HTTP/1.1 200 OK\r\n\r\n"),
        lambda end: end.sendall(b""),
    ],
    ids=["another number", "a web server", "nothing"],
)
def test_an_address_that_does_not_return_the_number_gets_no_request(site: Site, serve: Serve) -> None:
    rogue(site, serve)
    assert [connected(site.reach()) for _ in range(3)] == [INSIDE] * 3
    assert site.proofs == 1, "a failed proof costs once"
    assert f"connect {PORT}" not in site.events
    for _ in range(2):
        with pytest.raises(PathFailed, match='as reach = "direct" demands: its host does not reach it at 172'):
            site.reach("direct").connect(60)
    assert (site.proofs, site.received) == (1, [])


def test_a_forbidden_forward_is_remembered_for_the_host(site: Site) -> None:
    site.forbids = True
    assert [connected(site.reach()) for _ in range(4)] == [INSIDE] * 4
    assert site.proofs == 1
    with pytest.raises(PathFailed, match="the host's ssh server forbids to forward TCP ports") as failed:
        site.reach("direct").connect(60)
    assert 'reach = "auto"' in failed.value.next_step


def test_without_a_program_in_the_container_there_is_no_proof(site: Site) -> None:
    site.proves = False
    assert [connected(site.reach()) for _ in range(3)] == [INSIDE] * 3
    with pytest.raises(PathFailed, match="no python3 can be run"):
        site.reach("direct").connect(60)
    assert site.proofs == 1


def test_a_container_without_an_address_of_its_own_is_reached_from_inside(site: Site) -> None:
    site.daemon.answers[f"/containers/{ID}/json"] = inspection() | {"HostConfig": {"NetworkMode": "host"}}
    assert [connected(site.reach()) for _ in range(3)] == [INSIDE] * 3
    assert site.proofs == 0
    with pytest.raises(PathFailed, match="no address of its own"):
        site.reach("direct").connect(60)


@pytest.mark.parametrize("output", [b"", b"\n", b"x\n", b"0\n", b"70000\n", b"1 2\n", b"9" * 100, b"-1\n"])
def test_any_output_of_the_program_is_read(site: Site, monkeypatch: pytest.MonkeyPatch, output: bytes) -> None:
    monkeypatch.setattr(proven_forwards, "run_inside", lambda *_: Program(site, output))
    with pytest.raises(PathFailed, match="no program in its container can listen at its own address"):
        site.reach("direct").connect(60)


def test_the_program_returns_the_number_to_each_connection_and_ends_with_its_input() -> None:
    argv = [sys.executable, "-I", "-S", "-c", PROOF, "60", "127.0.0.1", "127.0.0.2"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin
        assert program.stdout
        program.stdin.write(b"7" * 32)
        program.stdin.flush()
        ports = [int(port) for port in program.stdout.readline().split()]
        for at in [*zip(("127.0.0.1", "127.0.0.2"), ports, strict=True)] * 2:
            with socket.create_connection(at) as connection:
                assert connection.recv(100) == b"7" * 32
        program.stdin.close()
        assert program.wait(60) == 0


# ---- each connection


@pytest.mark.parametrize("change", [{"Pid": 78}, {"StartedAt": "2026-01-01T00:00:09Z"}], ids=["process", "start"])
def test_a_restarted_container_needs_a_new_proof(site: Site, change: dict[str, Any]) -> None:
    reach = site.reach("direct")
    assert connected(reach) == FORWARDED
    site.daemon.answers[f"/containers/{ID}/json"] = inspection(**change)
    assert connected(reach) == FORWARDED
    assert (site.proofs, site.events.count(f"cancel {PORT}")) == (2, 1)


def test_a_new_ssh_connection_needs_a_new_proof(site: Site) -> None:
    reach = site.reach("direct")
    assert connected(reach) == FORWARDED
    site.session = 2
    assert connected(reach) == FORWARDED
    assert site.proofs == 2


def test_a_connection_is_opened_before_the_inspection_that_confirms_it(site: Site) -> None:
    """Otherwise the address could belong to another container when the connection is made."""
    reach = site.reach("direct")
    assert connected(reach) == FORWARDED
    inspections = len(site.daemon.requests)
    site.before_connect = lambda: inspected.append(len(site.daemon.requests))
    inspected: list[int] = []
    assert connected(reach) == FORWARDED
    assert (inspected, len(site.daemon.requests)) == ([inspections], inspections + 1)


def test_a_container_that_restarts_during_the_connection_gets_no_byte(site: Site) -> None:
    reach = site.reach("direct")
    assert connected(reach) == FORWARDED

    def restarts() -> None:
        site.daemon.answers[f"/containers/{ID}/json"] = inspection(StartedAt=os.urandom(4).hex())

    site.before_connect = restarts
    with pytest.raises(PathFailed, match="its container was restarted meanwhile"):
        reach.connect(60)
    assert set(site.received) <= {b""}


def test_a_container_that_stopped_is_not_listening(site: Site) -> None:
    reach = site.reach("direct")
    assert connected(reach) == FORWARDED
    site.daemon.answers[f"/containers/{ID}/json"] = inspection(Running=False)
    with pytest.raises(NotListening, match="does not run"):
        reach.connect(60)


def test_a_broken_ssh_connection_is_a_fault_of_the_path(site: Site) -> None:
    reach = site.reach("direct")
    assert connected(reach) == FORWARDED

    def breaks() -> None:
        raise DaemonUnreachable("no ssh connection to gpu-1", next_step="ssh gpu-1")

    site.before_connect = breaks
    with pytest.raises(PathFailed, match="no ssh connection to gpu-1") as failed:
        reach.connect(60)
    assert failed.value.next_step == "ssh gpu-1"


# ---- a port that refuses connections


def test_a_server_that_still_loads_is_rarely_tested_from_inside(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proven_forwards, "INSIDE_EVERY", 1e9)
    del site.ports[ADDRESS, PORT]
    site.listens_inside = False
    reach = site.reach()
    for _ in range(10):
        with pytest.raises(NotListening, match="its port refuses connections"):
            reach.connect(60)
    assert site.events.count("inside") == 2, "the first connection, and the first refusal"
    assert site.proofs == 1
    site.ports[ADDRESS, PORT] = lambda end: end.recv(1)
    assert connected(reach) == FORWARDED


def test_a_server_that_listens_only_on_its_loopback_is_reached_from_inside(site: Site) -> None:
    del site.ports[ADDRESS, PORT]
    assert [connected(site.reach()) for _ in range(4)] == [INSIDE] * 4
    with pytest.raises(NotListening):
        site.reach("direct").connect(60)


def test_a_port_that_alone_is_forbidden_is_reached_from_inside(site: Site) -> None:
    """PermitOpen can name ports."""
    assert [connected(site.reach()) for _ in range(2)] == [INSIDE, FORWARDED]
    site.forbids = True
    assert connected(site.reach()) == INSIDE
    with pytest.raises(PathFailed, match="forbids to forward"):
        site.reach("direct").connect(60)


def test_an_open_connection_carries_requests(site: Site) -> None:
    with closing(site.reach("direct").connect(60)) as stream:
        stream.sendall(b"GET")
    wait_until(lambda: site.received == [b"GET"])
