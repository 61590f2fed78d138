"""The reach of a container's server: what the kernel proves, and what never counts as proof."""

from __future__ import annotations

import errno
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexctl.desired.stack import ReachMode
from cortexctl.engines.vllm.contract import CONTRACT
from cortexctl.errors import NotListening, PathFailed
from cortexctl.health.health_check import query_health
from cortexctl.hosts import kernel
from cortexctl.hosts.container_reach import ContainerReach
from cortexctl.hosts.frames import FRAME, Frames
from cortexctl.hosts.inside import RELAY, Inside, begin
from cortexctl.hosts.transports.choice import transport_to
from cortexctl.observed.health import Answer, HealthOutcome
from cortexctl.observed.host import Listed
from cortexctl.observed.location import Location, listed_location, parse_location
from tests.fakes.daemon_socket import talking_daemon
from tests.fakes.ports import reserved_port
from tests.waiting import AT_MOST

ID = "c" * 64


def inspection(**state: Any) -> dict[str, Any]:
    """A container whose process is this test, at an address of the loopback."""
    return {
        "Id": ID,
        "State": {"Running": True, "Pid": os.getpid(), **state},
        "Config": {"Entrypoint": ["vllm", "serve"], "Cmd": ["/models/x"]},
        "NetworkSettings": {"Networks": {"net": {"IPAddress": "127.0.0.1", "Gateway": "127.0.0.2"}}},
    }


@contextmanager
def listener(address: str = "127.0.0.1", port: int = 0) -> Iterator[socket.socket]:
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(8)
        yield listening


def answers(raw: dict[str, Any]) -> dict[str, Any]:
    """A daemon that has the container and runs no program in it."""
    return {f"/containers/{ID}/json": raw, f"/containers/{ID}/exec": {"message": "no python3 in it"}}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process counts as the container's."""
    monkeypatch.setattr(kernel, "runs_here", lambda pid, container: (pid, container) == (os.getpid(), ID))


# ---- the kernel's word


def test_a_connection_is_seen_at_both_ends() -> None:
    with listener() as listening, socket.create_connection(listening.getsockname()) as ours:
        assert kernel.ends_in(os.getpid(), ours.getsockname(), listening.getsockname())
        assert not kernel.ends_in(os.getpid(), ("127.0.0.1", 1), listening.getsockname())
        assert not kernel.ends_in(0, ours.getsockname(), listening.getsockname())


def test_a_connection_to_a_listener_on_all_addresses_of_both_families_is_seen() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listening:
        port = listening.getsockname()[1]
        assert kernel.listens(os.getpid(), ["127.0.0.1"], port) == {"127.0.0.1": True}
        with socket.create_connection(("127.0.0.1", port)) as ours:
            assert kernel.ends_in(os.getpid(), ours.getsockname(), ("127.0.0.1", port))


def test_a_listener_is_identified_by_address_and_port() -> None:
    with listener("127.0.0.3") as listening:
        port = listening.getsockname()[1]
        shown = kernel.listens(os.getpid(), ["127.0.0.3", "127.0.0.4"], port)
        assert shown == {"127.0.0.3": True, "127.0.0.4": False}
    assert kernel.listens(2**31 - 1, ["127.0.0.3"], port) is None, (
        "a process that does not exist has no known listeners"
    )


@pytest.mark.parametrize("pid", [0, -1, os.getpid(), 2**31 - 1], ids=["zero", "negative", "ours", "none"])
def test_a_process_outside_the_container_is_no_proof(pid: int) -> None:
    assert not kernel.runs_here(pid, ID)


# ---- a container's own address


@pytest.mark.usefixtures("here")
def test_the_containers_own_address_is_used_if_the_kernel_proves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listener() as listening:
        port = listening.getsockname()[1]
        monkeypatch.setattr("cortexctl.observed.location.listens_on", lambda _: port)
        with talking_daemon(tmp_path / "s", answers(inspection())) as daemon:
            reach = ContainerReach(transport_to(daemon.url), ID)
            with closing(reach.connect(60)) as stream:
                accepted, whence = listening.accept()
                with accepted:
                    accepted.sendall(b"x")
                    assert stream.recv(1) == b"x"
            assert whence[0] == "127.0.0.2", "from the bridge's own address"
            assert (reach.target, reach.is_slow) == (f"127.0.0.1:{port}", False)
            assert not [a for a in daemon.requests if "exec" in a]


def test_a_server_at_the_same_address_here_is_never_queried_for_a_container_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket is forwarded: the container's address and its published port belong to another server here."""
    with listener() as listening:
        monkeypatch.setattr("cortexctl.observed.location.listens_on", lambda _: listening.getsockname()[1])
        with talking_daemon(tmp_path / "s", answers(inspection())) as daemon:
            reach = ContainerReach(transport_to(daemon.url), ID)
            with pytest.raises(PathFailed, match="no python3 can be run in its container"):
                reach.connect(60)
            assert reach.is_slow, "later requests run inside the container"
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.usefixtures("here")
def test_a_connection_that_ends_elsewhere_is_closed_before_a_byte_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two daemons' bridges may have the same addresses."""
    monkeypatch.setattr(kernel, "ends_in", lambda *_: False)
    with listener() as listening:
        monkeypatch.setattr("cortexctl.observed.location.listens_on", lambda _: listening.getsockname()[1])
        with (
            talking_daemon(tmp_path / "s", answers(inspection())) as daemon,
            pytest.raises(PathFailed),
        ):
            ContainerReach(transport_to(daemon.url), ID).connect(60)
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.recv(1) == b""


@pytest.mark.usefixtures("here")
def test_nothing_is_sent_without_the_bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, packets to the container's address would leave this machine."""
    raw = inspection()
    raw["NetworkSettings"]["Networks"]["net"]["Gateway"] = "192.0.2.1"
    with listener() as listening:
        monkeypatch.setattr("cortexctl.observed.location.listens_on", lambda _: listening.getsockname()[1])
        with talking_daemon(tmp_path / "s", answers(raw)) as daemon, pytest.raises(PathFailed):
            ContainerReach(transport_to(daemon.url), ID).connect(60)
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.usefixtures("here")
def test_a_closed_port_is_distinguished_from_a_failed_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with reserved_port() as port, talking_daemon(tmp_path / "s", answers(inspection())) as daemon:
        monkeypatch.setattr("cortexctl.observed.location.listens_on", lambda _: port)
        with pytest.raises(NotListening):
            ContainerReach(transport_to(daemon.url), ID).connect(60)
        assert query_health(ContainerReach(transport_to(daemon.url), ID), 5, CONTRACT.health) == Answer(
            HealthOutcome.REFUSED
        )


@pytest.mark.parametrize("state", [{"Running": False, "Pid": 0}, {"Paused": True}])
def test_a_stopped_or_paused_container_does_not_listen(tmp_path: Path, state: dict[str, Any]) -> None:
    with (
        talking_daemon(tmp_path / "s", {f"/containers/{ID}/json": inspection(**state)}) as daemon,
        pytest.raises(NotListening, match="does not run"),
    ):
        ContainerReach(transport_to(daemon.url), ID).connect(60)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "x",
        {"Id": ID},
        {"Id": ID, "State": None},
        {"State": {"Pid": {}}},
        inspection(Pid="x"),
        inspection(Pid=math.inf),
        inspection(Pid=10**400),
        {**inspection(), "Config": {"Cmd": 7}},
        {**inspection(), "NetworkSettings": {"Networks": [1]}},
    ],
)
def test_an_inspection_of_the_wrong_shape_is_a_fault_of_the_reach(tmp_path: Path, answer: object) -> None:
    answers = {} if answer is None else {f"/containers/{ID}/json": answer}
    with talking_daemon(tmp_path / "s", answers) as daemon:
        health = query_health(ContainerReach(transport_to(daemon.url), ID), 5, CONTRACT.health)
    assert health.outcome is (HealthOutcome.REFUSED if answer is None else HealthOutcome.UNREACHED)


def test_an_absent_daemon_is_a_fault_of_the_reach(tmp_path: Path) -> None:
    health = query_health(ContainerReach(transport_to(f"unix://{tmp_path}/none"), ID), 5, CONTRACT.health)
    assert health.outcome is HealthOutcome.UNREACHED
    assert "no Docker daemon" in health.why


@pytest.mark.parametrize(
    ("mode", "shares"), [("host", True), ("container:abc", True), ("bridge", False), ("demo-net", False), (None, False)]
)
def test_whether_a_container_shares_a_network_is_read_from_its_inspection(mode: str | None, shares: bool) -> None:
    assert parse_location({**inspection(), "HostConfig": {"NetworkMode": mode}}).shares_network is shares


def test_the_location_of_a_server_is_read_from_its_inspection() -> None:
    raw = inspection()
    raw["Config"]["Cmd"] = ["/models/x", "--port", "9000"]
    raw["NetworkSettings"]["Networks"] |= {
        "a": {"IPAddress": "10.1.0.5", "Gateway": "10.1.0.1"},
        "host": {},
        "none": None,
    }
    assert parse_location(raw) == Location(
        ID, True, os.getpid(), 9000, (("10.1.0.5", "10.1.0.1"), ("127.0.0.1", "127.0.0.2"))
    )


# ---- as the list shows it


NETWORKS = {"net": {"IPAddress": "127.0.0.1", "Gateway": "192.0.2.77"}}
"""No address of this machine is its gateway."""


def listed(**changes: Any) -> Listed:
    return replace(Listed("vllm serve /models/x --port 8000", "net", NETWORKS), **changes)


def at_port(port: int, **changes: Any) -> Location | None:
    return listed_location(ID, listed(**changes), port, "10.0.0.1")


def test_the_location_of_a_server_is_read_from_the_list() -> None:
    at = at_port(8000)
    assert at == Location(ID, running=True, pid=0, port=8000, addresses=(("127.0.0.1", "192.0.2.77"),))
    assert at.endpoint == "http://127.0.0.1:8000"
    published = at_port(8000, published=((9, "", 90), (8000, "", 8001)))
    assert published is not None
    assert published.endpoint == "http://10.0.0.1:8001"


@pytest.mark.parametrize("mode", ["host", "container:abc"])
def test_whether_a_container_shares_a_network_is_read_from_the_list(mode: str) -> None:
    at = at_port(8000, mode=mode)
    assert at is not None
    assert at.shares_network


@pytest.mark.parametrize(
    ("command", "port", "suffices"),
    [
        ("vllm serve /models/x", 8000, True),
        ("vllm serve /models/x --port=8000", 8000, True),
        ("vllm serve /models/x --port 9000", 8000, False),
        ("vllm serve /models/x --port 9000 --port 8000", 8000, False),
        ("vllm serve /models/x --port 80000", 8000, False),
        ("vllm serve /models/x --port", 8000, True),
        ("vllm serve --x--port 9000", 8000, True),
    ],
)
def test_a_list_does_not_suffice_if_the_command_names_another_port(command: str, port: int, suffices: bool) -> None:
    assert (at_port(port, command=command) is not None) is suffices


def test_a_list_without_the_kind_of_network_does_not_suffice() -> None:
    assert at_port(8000, mode="") is None


@pytest.mark.parametrize(
    ("gateway", "mode", "inspections"),
    [
        ("192.0.2.77", "auto", 0),
        ("192.0.2.77", "exec", 0),
        ("127.0.0.2", "auto", 1),
        ("127.0.0.2", "exec", 0),
        ("192.0.2.77", "direct", 1),
    ],
)
def test_a_listed_container_is_inspected_if_its_own_address_may_be_used(
    tmp_path: Path, gateway: str, mode: ReachMode, inspections: int
) -> None:
    at = at_port(8000, networks={"net": {"IPAddress": "127.0.0.1", "Gateway": gateway}})
    with talking_daemon(tmp_path / "s", answers(inspection())) as daemon:
        reach = ContainerReach(transport_to(daemon.url), ID, mode, listed=at)
        for known in (inspections, inspections + 1):
            with pytest.raises(PathFailed):
                reach.connect(60)
            assert daemon.requests.count(f"/containers/{ID}/json") == known, "a later connection is always inspected"


# ---- frames


@given(
    frames=st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=50)), max_size=10),
    cuts=st.lists(st.integers(1, 20), min_size=1, max_size=30),
)
def test_frames_are_read_however_they_are_cut(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    raw = b"".join(FRAME.pack(number, len(content)) + content for number, content in frames)
    reading, at = Frames(), 0
    pieces: list[tuple[int, bytes]] = []
    while at < len(raw):
        size = cuts[len(pieces) % len(cuts)]
        pieces += reading.feed(raw[at : at + size])
        at += size
    for number in {n for n, _ in frames}:
        whole = b"".join(content for n, content in frames if n == number)
        assert b"".join(content for n, content in pieces if n == number) == whole


@pytest.mark.parametrize("port", ["0", "65536", "9" * 30, "9" * 5000, "x", ""])
def test_an_invalid_port_is_ignored(port: str) -> None:
    raw = inspection()
    raw["Config"]["Cmd"] = ["--port", port]
    assert parse_location(raw).port == CONTRACT.port


# ---- from inside


def relayed(*arguments: str) -> subprocess.Popen[bytes]:
    """The program, as a process here."""
    argv = [sys.executable, "-I", "-S", "-c", RELAY, str(int(AT_MOST)), *arguments]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_an_announced_request_is_sent_at_once_from_the_address_that_it_goes_to() -> None:
    with listener("127.0.0.5") as listening:
        listening.settimeout(AT_MOST)
        request = b"GET /health HTTP/1.1\r\n\r\n"
        port = listening.getsockname()[1]
        with relayed(str(port), "own", request.decode(), "192.0.2.77", "127.0.0.5") as program:
            accepted, whence = listening.accept()
            with accepted:
                assert whence[0] == "127.0.0.5", "a neighbour that has the address by now could not be reached from it"
                assert accepted.recv(100) == request
                accepted.sendall(b"yes")
            assert program.stdout is not None
            assert program.stdout.read() == b"+yes"


def test_an_address_that_is_not_its_own_any_more_is_never_connected_to() -> None:
    with reserved_port() as port:
        program = relayed(str(port), "own", "", "127.0.0.1", "192.0.2.77")
        assert program.communicate(timeout=AT_MOST)[0] == b"-%d" % errno.ECONNREFUSED


def test_what_the_program_sends_by_itself_is_not_sent_twice() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Inside(ours)
        connection.announced = b"GET /\r\n\r\n"
        connection.sendall(b"GET /\r\n\r\n")
        connection.sendall(b"GET /\r\n\r\n")
        ours.close()
        assert theirs.recv(100) == b"GET /\r\n\r\n"


@contextmanager
def program(behave: Callable[[socket.socket], None], seconds: float = 60) -> Iterator[Inside]:
    """A connection to a program in a container, whose python3 may have been replaced. `seconds`: its time for a read."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=_behave, args=(behave, theirs), daemon=True)
    thread.start()
    with ours:
        connection = Inside(ours)
        connection.settimeout(seconds)
        yield connection
    thread.join()


def _behave(behave: Callable[[socket.socket], None], theirs: socket.socket) -> None:
    with theirs, suppress(OSError):
        behave(theirs)


def frame(content: bytes, number: int = 1) -> bytes:
    return FRAME.pack(number, len(content)) + content


@pytest.mark.parametrize(
    ("output", "expected", "message"),
    [
        (frame(b"-111"), NotListening, "its port refuses connections"),
        (frame(b"-113"), NotListening, "its port cannot be reached in its own container \\(error 113\\)"),
        (frame(b"-" + b"9" * 5000), NotListening, "error 99999999"),
        (frame(b"-x"), PathFailed, "no python3 can be run"),
        (frame(b"OCI runtime exec failed"), PathFailed, "OCI runtime exec failed"),
        (frame(b"no such file", number=2), PathFailed, "no such file"),
        (b"", PathFailed, "it ended without a message"),
    ],
)
def test_any_first_output_of_a_program_is_read(output: bytes, expected: type[Exception], message: str) -> None:
    with program(lambda theirs: theirs.sendall(output)) as connection, pytest.raises(expected, match=message):
        begin(connection)


def test_a_program_that_writes_errors_without_end_is_given_up() -> None:
    over = threading.Event()

    def spam(theirs: socket.socket) -> None:
        for _ in range(600):
            theirs.sendall(frame(b"x", number=2))
            time.sleep(0.1)
        over.set()

    with program(spam, 0.5) as connection, pytest.raises(TimeoutError):
        begin(connection)
    assert not over.is_set()
    assert len(connection.errors) < 8192


# ---- a location that is used again


@pytest.mark.usefixtures("here")
def test_a_client_that_polls_reads_the_location_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with reserved_port() as port, talking_daemon(tmp_path / "s", answers(inspection())) as daemon:
        monkeypatch.setattr("cortexctl.observed.location.listens_on", lambda _: port)
        reach = ContainerReach(transport_to(daemon.url), ID)
        for _ in range(3):
            with pytest.raises(NotListening):
                reach.connect(60)
        with listener(port=port):
            reach.connect(60).close()
        assert daemon.requests == [f"/containers/{ID}/json"]
        assert not reach.needs_daemon


@pytest.mark.usefixtures("here")
def test_an_inspection_by_others_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listener() as listening, talking_daemon(tmp_path / "s", {}) as daemon:
        monkeypatch.setattr("cortexctl.observed.location.listens_on", lambda _: listening.getsockname()[1])
        reach = ContainerReach(transport_to(daemon.url), ID)
        reach.saw(inspection(), time.monotonic())
        reach.connect(60).close()
        assert daemon.requests == []


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("age", [0, 60], ids=["damaged", "old"])
def test_an_inspection_by_others_that_is_old_or_unreadable_is_not_used(
    age: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listener() as listening, talking_daemon(tmp_path / "s", answers(inspection())) as daemon:
        monkeypatch.setattr("cortexctl.observed.location.listens_on", lambda _: listening.getsockname()[1])
        reach = ContainerReach(transport_to(daemon.url), ID)
        reach.saw(inspection() if age else {"Id": ID, "State": []}, time.monotonic() - age)
        reach.connect(60).close()
        assert daemon.requests == [f"/containers/{ID}/json"]


def test_a_container_that_got_another_process_is_inspected_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was restarted: the kernel no longer shows the known process in it."""
    processes = {1}
    monkeypatch.setattr(kernel, "runs_here", lambda pid, _: pid in processes)
    monkeypatch.setattr(kernel, "listens", lambda _pid, addresses, _port: dict.fromkeys(addresses, False))
    with reserved_port() as port, talking_daemon(tmp_path / "s", answers(inspection(Pid=1))) as daemon:
        monkeypatch.setattr("cortexctl.observed.location.listens_on", lambda _: port)
        reach = ContainerReach(transport_to(daemon.url), ID)
        for _ in range(2):
            with pytest.raises(NotListening, match="its port refuses"):
                reach.connect(60)
        assert len(daemon.requests) == 1
        processes.clear()
        daemon.answers |= answers(inspection(Running=False, Pid=0))
        with pytest.raises(NotListening, match="does not run"):
            reach.connect(60)
        assert len(daemon.requests) == 2
        assert reach.needs_daemon


@pytest.mark.usefixtures("here")
def test_the_kernels_tables_are_read_once_while_every_address_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, listens = [], kernel.listens

    def counted(*args: Any) -> dict[str, bool] | None:
        read.append(args)
        return listens(*args)

    monkeypatch.setattr(kernel, "listens", counted)
    with reserved_port() as port, talking_daemon(tmp_path / "s", answers(inspection())) as daemon:
        monkeypatch.setattr("cortexctl.observed.location.listens_on", lambda _: port)
        reach = ContainerReach(transport_to(daemon.url), ID)
        for _ in range(3):
            with pytest.raises(NotListening):
                reach.connect(60)
        assert len(read) == 1
        with listener(port=port):
            reach.connect(60).close()
        assert len(read) == 1, "an accepted connection needs no proof that something listens"


@pytest.mark.usefixtures("here")
def test_a_server_on_its_loopback_only_is_noticed_although_its_address_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as the tables are read again."""
    raw = inspection()
    raw["NetworkSettings"]["Networks"]["net"]["IPAddress"] = "127.0.0.3"
    with reserved_port() as port, talking_daemon(tmp_path / "s", answers(raw)) as daemon:
        monkeypatch.setattr("cortexctl.observed.location.listens_on", lambda _: port)
        reach = ContainerReach(transport_to(daemon.url), ID)
        with pytest.raises(NotListening):
            reach.connect(60)
        with listener(port=port):
            monkeypatch.setattr("cortexctl.hosts.container_reach.LOCATION_LASTS", -1)
            with pytest.raises(PathFailed, match="no python3 can be run in its container"):
                reach.connect(60)
        assert reach.is_slow
