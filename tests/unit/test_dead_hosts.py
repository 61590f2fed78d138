"""A host that does not answer: it costs one request in a whole run, and none if it is not selected."""

from __future__ import annotations

import math
import os
import signal
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonError, DaemonRefused, DaemonUnreachable
from cortexctl.hosts.http import BoundedStream, get, get_json
from cortexctl.hosts.transports.choice import connection_to
from cortexctl.instance.codec import spec_to_label
from cortexctl.observed.container_list import parse_containers
from cortexctl.observed.daemon_json import INFO, VOLUME
from tests.drift_stack import SPEC
from tests.fakes.daemon_socket import LIST, TalkingDaemon, row, talking_daemon
from tests.fakes.sockets import canned_daemon, read_request, serving_on
from tests.fakes.ssh import silent_ssh
from tests.forks import Forked, ran
from tests.reading import model_text, stack_text
from tests.waiting import AT_MOST, wait_until

DeadDaemon = tuple[str, list[object]]
"""Its URL, and what connected to it."""
Run = Callable[..., subprocess.CompletedProcess[str]]


HEAD = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nConnection: close\r\n"
GARBAGE = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "another server": b"HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n<html>",
    "an endless header": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000,
    "another body": HEAD + b"\r\n<html>",
    "a body of another shape": HEAD + b"\r\n17",
    "an old API": HEAD.replace(b"1.41", b"1.39") + b"\r\n[]",
}
"""What a server sends that is not a daemon, or not one that cortexctl can use."""


@contextmanager
def dead_daemon(path: Path, *, silent: bool = False, sends: bytes = b"") -> Iterator[DeadDaemon]:
    """Accepts every connection and never answers, or with what no daemon `sends`. It hangs up at once, unless it is
    `silent`: what a client does after the end of a connection does not depend on the reason, and no test has to wait
    for a time-out.
    """
    connections: list[object] = []
    is_over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connections.append(self.client_address)
            if sends:
                read_request(self.request)
                self.request.sendall(sends)
            if silent:
                is_over.wait()

    with serving_on(path, Handler) as url:
        try:
            yield url, connections
        finally:
            is_over.set()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[TalkingDaemon]:
    """A host that answers. It has a container that is not in the stack any more."""
    listed = row(spec_to_label(SPEC), "gone")
    listed["Labels"]["cortexctl.host"] = "box"
    with talking_daemon(tmp_path / "box.sock", {LIST: [listed], "/version": {"ApiVersion": "1.41"}}) as daemon:
        yield daemon


@pytest.fixture
def far(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[DeadDaemon]:
    """A parameter of the test names its garbage."""
    with dead_daemon(tmp_path / "far.sock", sends=GARBAGE.get(getattr(request, "param", ""), b"")) as daemon:
        yield daemon


@pytest.fixture
def run(tmp_path: Path, box: TalkingDaemon, far: DeadDaemon) -> Run:
    """Runs cortexctl beside a stack of both hosts, whose images do not name a release."""
    hosts = "".join(
        f'[hosts.{name}]\ndocker = "{url}"\nmodels_dir = "/m"\n\n' for name, url in (("box", box.url), ("far", far[0]))
    )
    models = [model_text(n, image=f'"image:{n}"', hosts='["far"]') for n in ("tiny", "more")]
    (tmp_path / "stack.toml").write_text(stack_text("".join(models), hosts=hosts))

    def go(command: str) -> subprocess.CompletedProcess[str]:
        return ran(*command.split(), cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)})

    return go


@pytest.mark.parametrize(
    "command",
    [
        "plan",
        "plan --allow-unreachable",
        "plan --target tiny",
        "plan --target far/tiny",
        "plan --host far",
        "plan --destroy --allow-unreachable",
        "plan --probe",
        "apply --auto-approve",
        "apply --auto-approve --allow-unreachable",
        "destroy --auto-approve",
        "destroy --auto-approve --allow-unreachable",
        "drift",
        "drift --deep",
        "status",
        "history",
        "observe",
        "lock status",
        "lock release",
        "lock release --host far",
        "logs far/tiny",
        "diagnose far/tiny",
        "rollback far/tiny",
        "import far",
        "fit --hosts",
    ],
)
def test_a_dead_host_gets_one_request_in_a_run(run: Run, far: DeadDaemon, command: str) -> None:
    done = run(command)
    assert len(far[1]) == 1, done.stdout + done.stderr
    assert "far" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("far", "command"),
    [
        ("not HTTP", "plan --probe"),
        ("another server", "apply --auto-approve --allow-unreachable"),
        ("an endless header", "drift --deep"),
        ("another body", "plan"),
        ("another body", "destroy --auto-approve --allow-unreachable"),
        ("another server", "lock release"),
        ("a body of another shape", "status"),
        ("a body of another shape", "diagnose far/tiny"),
        ("an old API", "doctor"),
        ("an old API", "logs far/tiny"),
    ],
    indirect=["far"],
)
def test_a_server_that_is_no_daemon_gets_one_request_in_a_run(run: Run, far: DeadDaemon, command: str) -> None:
    done = run(command)
    assert len(far[1]) == 1, done.stdout + done.stderr
    assert far[0] in done.stdout + done.stderr, "the sentence names its URL"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "plan --host box",
        "plan --target box/gone",
        "plan --target b*/*",
        "plan --destroy --host box",
        "apply --auto-approve --host box",
        "apply --auto-approve --target box/gone",
        "destroy --auto-approve --host b?x",
        "destroy --auto-approve --target box/gone",
        "drift --host box",
        "drift --target box/gone",
        "drift --deep --host box",
        "lock release --host box",
        "logs box/gone",
        "diagnose box/gone",
        "rollback box/gone",
        "import box",
    ],
)
def test_a_host_that_is_not_selected_gets_no_request(
    run: Run, box: TalkingDaemon, far: DeadDaemon, command: str
) -> None:
    done = run(command)
    assert far[1] == []
    assert box.requests, done.stderr
    assert "far" not in done.stdout + done.stderr


def test_a_target_on_a_dead_host_matches(run: Run) -> None:
    """It is in the stack, even though the host cannot be read."""
    done = run("plan --target far/tiny")
    assert "Error[CX401] far" in done.stdout
    assert "CX408" not in done.stdout
    assert "CX408" in run("plan --target far/tinny").stdout


@pytest.mark.parametrize("view", ["text", "markdown", "html"])
@pytest.mark.parametrize("more", ["", " --destroy", " --host far"])
def test_a_plan_without_an_unreachable_host_is_not_called_refused(run: Run, view: str, more: str) -> None:
    done = run(f"plan --allow-unreachable --format {view}{more}")
    assert done.returncode == 0, done.stdout
    assert "unreachable" in done.stdout.lower()
    assert "refused" not in done.stdout.lower().replace("refused if anything", "")


def test_a_silent_daemon_costs_one_time_out(tmp_path: Path) -> None:
    with dead_daemon(tmp_path / "silent.sock", silent=True) as (url, connections):
        transport = connection_to(Host("silent", url)).transport
        for path in ("/_ping", LIST, "/version"):
            with pytest.raises(DaemonUnreachable, match="does not answer"):
                get(transport, path, timeout=0.2)
        assert len(connections) == 1


def test_a_host_that_has_not_answered_gets_little_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever time the request itself would have; once the host has answered, it has all of that."""
    monkeypatch.setattr("cortexctl.hosts.transport.FIRST_ANSWER", 0.2)
    with dead_daemon(tmp_path / "silent.sock", silent=True) as (url, _):
        transport = connection_to(Host("silent", url)).transport
        with pytest.raises(DaemonUnreachable, match="does not answer"):
            get(transport, LIST, timeout=AT_MOST)
        assert transport.patience == 0.2
    with canned_daemon(tmp_path / "d.sock"):
        transport = connection_to(Host("here", f"unix://{tmp_path}/d.sock")).transport
        get(transport, LIST, timeout=AT_MOST)
        assert transport.patience == math.inf


def test_only_the_first_byte_must_come_soon() -> None:
    """A long list of a slow daemon takes its time."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = BoundedStream(ours, first=5.0, silence=60.0, end=math.inf)
        theirs.sendall(b"xy")
        stream.recv(1)
        first = ours.gettimeout()
        stream.recv(1)
        assert (first, ours.gettimeout()) == (5.0, 60.0)


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_the_only_answer(tmp_path: Path, kind: str) -> None:
    with dead_daemon(tmp_path / "d.sock", sends=GARBAGE[kind]) as (url, connections):
        connection = connection_to(Host("other", url))
        with pytest.raises(DaemonError) as first:
            get(connection.transport, LIST, parse_containers)
        for path in ("/_ping", LIST, "/version"):
            with pytest.raises(DaemonError) as again:
                get(connection.transport, path)
            assert again.value.message == first.value.message
        assert len(connections) == 1


def test_a_daemon_that_has_answered_gets_further_requests_after_garbage(tmp_path: Path) -> None:
    """A proxy in front of it may answer for it, for example while it restarts."""
    path = tmp_path / "d.sock"
    transport = connection_to(Host("here", f"unix://{path}")).transport
    with canned_daemon(path):
        get(transport, LIST)
    for garbage in GARBAGE.values():
        path.unlink(missing_ok=True)
        with dead_daemon(path, sends=garbage) as (_, connections):
            for _ in range(2):
                with pytest.raises(DaemonError):
                    get(transport, LIST, INFO)
            assert len(connections) == 2
    path.unlink(missing_ok=True)
    with canned_daemon(path):
        assert get(transport, LIST).body == b"[]"


def test_a_refusal_is_an_answer_of_a_daemon(tmp_path: Path) -> None:
    with talking_daemon(tmp_path / "d.sock", {}) as daemon:
        transport = connection_to(Host("here", daemon.url)).transport
        for _ in range(2):
            with pytest.raises(DaemonRefused, match="no such thing"):
                get(transport, "/info")
        daemon.answers["/info"] = b"nothing"
        for _ in range(2):
            with pytest.raises(DaemonRefused, match="cannot be read"):
                get(transport, "/info", INFO)
        assert get(transport, LIST).body == b"[]"


def test_an_object_that_cannot_be_read_does_not_make_its_daemon_another_server(tmp_path: Path) -> None:
    """Anybody can create a volume with any labels. A lock like that must be released."""
    with talking_daemon(tmp_path / "d.sock", {"/volumes/v": b"17"}) as daemon:
        connection = connection_to(Host("here", daemon.url))
        for _ in range(2):
            with pytest.raises(DaemonRefused, match="/volumes/v cannot be read"):
                get_json(connection, "/volumes/v", VOLUME)
        assert get(connection.transport, LIST, parse_containers).content == ()


def test_an_answer_that_breaks_off_is_none(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n["
    transport = connection_to(Host("broken", f"unix://{tmp_path}/d.sock")).transport
    with canned_daemon(tmp_path / "d.sock", raw=head), pytest.raises(DaemonUnreachable, match="within its answer"):
        get(transport, LIST)
    (tmp_path / "d.sock").unlink()
    with canned_daemon(tmp_path / "d.sock"), pytest.raises(DaemonUnreachable, match="within its answer"):
        get(transport, LIST)


def test_a_daemon_that_has_answered_gets_further_requests(tmp_path: Path) -> None:
    """It may restart during an apply."""
    path = tmp_path / "d.sock"
    transport = connection_to(Host("here", f"unix://{path}")).transport
    with canned_daemon(path):
        get(transport, LIST)
    path.unlink(missing_ok=True)
    for _ in range(2):
        with pytest.raises(DaemonUnreachable, match="does not exist"):
            get(transport, LIST)
    with canned_daemon(path):
        assert get(transport, LIST).body == b"[]"


def test_a_daemon_that_starts_after_its_first_request_stays_unread(tmp_path: Path) -> None:
    """Otherwise, one part of a run would count it as unreachable, and another would not."""
    path = tmp_path / "d.sock"
    transport = connection_to(Host("here", f"unix://{path}")).transport
    with pytest.raises(DaemonUnreachable, match="does not exist"):
        get(transport, LIST)
    with canned_daemon(path), pytest.raises(DaemonUnreachable, match="does not exist"):
        get(transport, LIST)


@pytest.mark.parametrize(
    "command",
    ["status", "plan", "drift", "apply", "destroy", "lock release", "observe --out now.json", "doctor --probe --stack"],
)
def test_an_interrupt_while_hosts_are_silent_leaves_nothing(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = silent_ssh(tmp_path, monkeypatch)
    with dead_daemon(tmp_path / "dead.sock", silent=True) as (url, connections):
        hosts = "".join(
            f'[hosts.{name}]\ndocker = "{at}"\nmodels_dir = "/m"\n\n'
            for name, at in (("dead", url), ("far", "ssh://far"))
        )
        stack = tmp_path / "stack.toml"
        stack.write_text(stack_text(model_text(hosts='["dead"]'), hosts=hosts))
        run = Forked(tmp_path / "output", url, *command.split(), str(stack))
        wait_until(lambda: run.has_ended() or (bool(connections) and ssh.has_started()))
        run.send(signal.SIGINT)
        assert run.end() == (130, "\nError: interrupted\n")
        assert ssh.has_ended()
