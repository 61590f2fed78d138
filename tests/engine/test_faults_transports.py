"""Servers that behave as no daemon should, behind each transport: a Unix socket, TLS with real certificates, a real sshd.

Nothing else runs on such a "host", so the tests need no daemon. All hosts are read in one run, at the same time.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cortexctl.cli.main import run
from cortexctl.hosts import http
from cortexctl.hosts.transports import ssh_tunnel
from tests.engine.hosts import HostPort, OwnHost
from tests.engine.remote import Certificates, SshClient, SshServer, accepts, make_key, ssh_server, tls_front
from tests.fakes.sockets import read_request, serving_on
from tests.reading import model_text, stack_text
from tests.waiting import wait_until

pytestmark = pytest.mark.engine

LIST = "GET /containers/json?all=1"
PROBE = "GET /_ping"
"""The first request over ssh, which shows whether the server forwards sockets."""
KINDS = ("unix", "tls", "ssh")
HEAD = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nServer: Docker/20.10.24 (linux)\r\nConnection: close\r\n"

Behaviour = Callable[[socket.socket, threading.Event], None]
"""(connection whose request has been read, set at the end of the test) -> sends an answer, or what it has instead."""


def sends(answer: bytes) -> Behaviour:
    return lambda connection, _over: connection.sendall(answer)


def never_ends_its_header(connection: socket.socket, _over: threading.Event) -> None:
    connection.sendall(HEAD)
    while True:
        connection.sendall(b"A: b\r\n" * 100)


def hangs(_connection: socket.socket, over: threading.Event) -> None:
    over.wait()


def drips(connection: socket.socket, over: threading.Event) -> None:
    """Never silent for as long as a daemon may be, and never at the end of its answer."""
    connection.sendall(HEAD + b"\r\n[")
    while not over.wait(0.2):
        connection.sendall(b" ")


GARBAGE: Mapping[str, tuple[Behaviour, str]] = {
    "another protocol": (sends(b"SSH-2.0-OpenSSH_9.2\r\n"), "the server at {url} is not a Docker daemon"),
    "another server": (
        sends(b"HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n<html>"),
        "the server at {url} is not a Docker daemon",
    ),
    "no end of its header": (never_ends_its_header, "the server at {url} is not a Docker daemon"),
    "another body": (
        sends(HEAD + b"\r\n<html>"),
        "{url}: its answer to /containers/json?all=1 cannot be read: it is not JSON",
    ),
}
SILENCE: Mapping[str, tuple[Behaviour, str]] = {
    "no answer": (hangs, "the daemon at {url} does not answer"),
    "a byte from time to time": (drips, "the daemon at {url} does not answer"),
}


@dataclass
class Server:
    """`requests`: those that it has received."""

    url: str
    requests: list[str] = field(default_factory=list)


@dataclass
class Site:
    """This machine as a host of each kind."""

    folder: Path
    here: OwnHost
    certificates: Certificates
    client: SshClient
    ssh: SshServer

    @contextmanager
    def server(self, kind: str, behaviour: Behaviour) -> Iterator[Server]:
        requests: list[str] = []
        over = threading.Event()

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    requests.append(" ".join(read_request(self.request).decode().split()[:2]))
                    behaviour(self.request, over)

        path = Path(tempfile.mktemp(prefix="d", dir=self.folder))
        with ExitStack() as ends:
            ends.enter_context(serving_on(path, Handler))
            ends.callback(over.set)
            match kind:
                case "unix":
                    url = f"unix://{path}"
                case "tls":
                    url = ends.enter_context(tls_front(self.here, self.certificates, "host", path, 0))
                case _:
                    url = f"ssh://127.0.0.1:{self.ssh.port}{path}"
            yield Server(url, requests)

    @contextmanager
    def servers(self, behaviours: Mapping[str, Behaviour]) -> Iterator[dict[tuple[str, str], Server]]:
        """One for each behaviour and each kind of transport, and a stack with all of them as its hosts."""
        with ExitStack() as ends:
            servers = {
                (kind, name): ends.enter_context(self.server(kind, behaviour))
                for name, behaviour in behaviours.items()
                for kind in KINDS
            }
            self.write({f"h{n}": s.url for n, s in enumerate(servers.values())})
            yield servers

    def write(self, urls: Mapping[str, str]) -> None:
        tls = self.certificates.table("client")
        hosts = "".join(
            f'[hosts.{name}]\ndocker = "{url}"\nmodels_dir = "/m"\n{tls if url.startswith("tcp:") else ""}\n\n'
            for name, url in urls.items()
        )
        self.stack.write_text(stack_text(model_text(hosts='["*"]', image='"image:v0.32.0"'), hosts=hosts))

    @property
    def stack(self) -> Path:
        return self.folder / "stack.toml"

    def leaves_nothing(self) -> bool:
        return not list((self.folder / "tmp").glob("cortexctl-ssh-*"))


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="cxf-"))  # a short path: sockets are in it
    with ExitStack() as ends, pytest.MonkeyPatch.context() as patch:
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        for name in ("tls", "client", "tmp"):
            (folder / name).mkdir()
        certificates = Certificates(folder / "tls")
        certificates.sign("host", names="IP:127.0.0.1", usage="serverAuth")
        certificates.sign("client", names="DNS:client", usage="clientAuth")
        client = SshClient(folder / "client")
        patch.setenv("PATH", f"{client.bin}:{os.environ['PATH']}")
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        patch.setattr(tempfile, "tempdir", str(folder / "tmp"))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        here = OwnHost("here", folder, "", "127.0.0.1")
        server = ends.enter_context(ssh_server(here, folder / "sshd", client.key, port=port))
        client.trust(server)
        wait_until(lambda: accepts(here.address, port))
        yield Site(folder, here, certificates, client, server)


def give_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only for servers that are silent: a busy machine may need this time for any answer."""
    monkeypatch.setattr(http.get, "__kwdefaults__", {"timeout": 1.0})
    monkeypatch.setattr(http, "WHOLE_ANSWER", 1.0)


def assert_each_is_one_sentence(
    output: str, servers: Mapping[tuple[str, str], Server], texts: Mapping[str, tuple[Behaviour, str]]
) -> None:
    assert "Traceback" not in output
    for number, ((_, name), server) in enumerate(servers.items()):
        sentence = f"h{number}: {texts[name][1].format(url=server.url)}"
        assert output.count(sentence) == 1, output


def test_garbage_is_one_request_and_one_sentence(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with site.servers({name: behaviour for name, (behaviour, _) in GARBAGE.items()}) as servers:
        code = run(["plan", str(site.stack)])
        output = capsys.readouterr().out
    assert code == 1
    assert_each_is_one_sentence(output, servers, GARBAGE)
    for (kind, name), server in servers.items():
        assert server.requests == [*[PROBE] * (kind == "ssh"), LIST], f"{name} over {kind}"
    wait_until(site.leaves_nothing)


def test_silence_is_one_time_out_and_one_sentence(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `apply`, which reads more than a plan does. A drip that started is read until the whole answer is late."""
    give_up_soon(monkeypatch)
    with site.servers({name: behaviour for name, (behaviour, _) in SILENCE.items()}) as servers:
        code = run(["apply", str(site.stack), "--auto-approve"])
        output = capsys.readouterr().out
        assert code == 4
        assert_each_is_one_sentence(output, servers, SILENCE)
        for (kind, name), server in servers.items():
            assert len(server.requests) <= (2 if kind == "ssh" else 1), f"{name} over {kind}"
            assert server.requests.count(LIST) <= 1
    wait_until(site.leaves_nothing)


# ---- faults before the first request


@contextmanager
def port_with(behaviour: Behaviour) -> Iterator[tuple[int, list[object]]]:
    """A port of this machine without any protocol. Yields it, and its connections."""
    connections: list[object] = []
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connections.append(self.client_address)
            with suppress(OSError):
                self.request.recv(65536)
                behaviour(self.request, over)

    server = HostPort(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1]), connections
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def hangs_up(_connection: socket.socket, _over: threading.Event) -> None:
    pass


def plan_problem(site: Site, capsys: pytest.CaptureFixture[str], url: str) -> str:
    """The error of a plan for one host."""
    site.write({"far": url})
    assert run(["plan", str(site.stack)]) == 1
    output = " ".join(capsys.readouterr().out.split())
    assert output.count("Error[CX401] far: ") == 1, output
    wait_until(site.leaves_nothing)
    return output


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        (sends(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "the server at {url} does not use TLS (wrong version number)"),
        (hangs_up, "the daemon at {url} closed the connection"),
        (hangs, "the daemon at {url} does not answer"),
    ],
    ids=["plain HTTP", "it hangs up", "it is silent"],
)
def test_a_tls_port_without_tls(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour, text: str
) -> None:
    if behaviour is hangs:
        give_up_soon(monkeypatch)
    with port_with(behaviour) as (port, connections):
        url = f"tcp://127.0.0.1:{port}"
        assert text.format(url=url) in plan_problem(site, capsys, url)
        assert len(connections) == 1


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        (sends(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "no ssh connection to 127.0.0.1: "),
        (hangs_up, "no ssh connection to 127.0.0.1: "),
        (hangs, "timed out"),
    ],
    ids=["HTTP", "it hangs up", "it is silent"],
)
def test_an_ssh_port_without_ssh(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour, text: str
) -> None:
    if behaviour is hangs:
        short = ["ConnectTimeout=1" if option == "ConnectTimeout=5" else option for option in ssh_tunnel.OPTIONS]
        assert short != list(ssh_tunnel.OPTIONS)
        monkeypatch.setattr(ssh_tunnel, "OPTIONS", tuple(short))
    with port_with(behaviour) as (port, connections):
        problem = plan_problem(site, capsys, f"ssh://127.0.0.1:{port}")
        assert text in problem, problem
        assert f"ssh -p {port} 127.0.0.1 docker info" in problem
        assert len(connections) == 1


def test_a_key_with_a_passphrase_and_no_agent(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """ssh would ask for the passphrase; in BatchMode it fails at once."""
    key = site.folder / "locked"
    make_key(key, passphrase="not empty")
    with (site.ssh.folder / "authorized").open("a") as file:
        file.write(key.with_suffix(".pub").read_text())
    site.client.configure(key=str(key))
    try:
        problem = plan_problem(site, capsys, f"ssh://127.0.0.1:{site.ssh.port}")
    finally:
        site.client.configure()
    assert "it accepts none of our keys (it allows: publickey" in problem, problem
    assert "no ssh agent runs here (SSH_AUTH_SOCK is not set), and a key with a passphrase needs one" in problem


# ---- a host with very many containers


def list_of_others(count: int, mark: str) -> bytes:
    """Containers that are not ours. `mark`: a hexadecimal digit in their ids."""
    rows = [
        {
            "Id": f"{mark}{number:063x}",
            "Names": [f"/other-{number}"],
            "Image": "nginx:1.27",
            "ImageID": "sha256:" + "1" * 64,
            "State": "running" if number % 3 else "exited",
            "Labels": {f"com.example.label-{key}": f"{number}" * 4 for key in range(6)},
            "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 20_000 + number, "Type": "tcp"}],
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
        }
        for number in range(count)
    ]
    body = json.dumps(rows).encode()
    return HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_ten_thousand_containers_of_others(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Six megabytes from each host, and a no-op plan is still one list request for each."""
    with ExitStack() as ends:
        servers = [
            ends.enter_context(site.server(kind, sends(list_of_others(10_000, mark))))
            for kind, mark in zip(KINDS, "abc", strict=True)
        ]
        site.write({kind: server.url for kind, server in zip(KINDS, servers, strict=True)})
        site.stack.write_text(site.stack.read_text().replace("[models.tiny]", "[models.tiny]\nenabled = false"))
        code = run(["plan", str(site.stack), "--detailed-exitcode"])
        output = capsys.readouterr().out
    assert code == 0, output
    assert "3 hosts" in output
    assert "No changes." in output
    for kind, server in zip(KINDS, servers, strict=True):
        assert server.requests == [*[PROBE] * (kind == "ssh"), LIST]
