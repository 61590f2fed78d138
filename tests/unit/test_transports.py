"""The choice of a transport by the URL of a host, Docker's contexts, and the texts of ssh's errors."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

import pytest

from cortexctl.concurrently import at_once
from cortexctl.desired.stack import Host, TlsFiles
from cortexctl.errors import DaemonError, DaemonForbidden, DaemonUnreachable
from cortexctl.hosts.transports import ssh_tunnel
from cortexctl.hosts.transports.choice import connection_to, transport_to
from cortexctl.hosts.transports.docker_context import default_docker, read_context
from cortexctl.hosts.transports.ssh_errors import channel_refusal, ssh_failure
from cortexctl.hosts.transports.ssh_tunnel import SshTunnel
from cortexctl.hosts.transports.tls_port import TlsPort
from cortexctl.hosts.transports.unix_socket import UnixSocket
from tests.fakes.ssh import silent_ssh
from tests.waiting import AT_MOST, wait_until

PEMS = ("ca.pem", "cert.pem", "key.pem")


def write_context(config: Path, name: str, content: object, *, tls: bool = False) -> None:
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = config / "contexts" / "meta" / key
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps(content))
    if tls:
        files = config / "contexts" / "tls" / key / "docker"
        files.mkdir(parents=True)
        for pem in PEMS:
            (files / pem).write_text("")


def endpoint(url: object) -> object:
    return {"Name": "x", "Endpoints": {"docker": {"Host": url}}}


def test_each_scheme_has_its_transport() -> None:
    tls = TlsFiles("ca", "cert", "key")
    assert isinstance(transport_to("unix:///run/docker.sock"), UnixSocket)
    assert isinstance(transport_to("ssh://ops@gpu-1"), SshTunnel)
    assert isinstance(transport_to("tcp://gpu-1:2376", tls), TlsPort)


@pytest.mark.parametrize(
    "url", ["http://gpu-1:2375", "unix://", "unix://relative", "npipe:////./pipe/docker", "gpu-1", ""]
)
def test_another_scheme_is_refused_with_the_forms_that_work(url: str) -> None:
    with pytest.raises(DaemonUnreachable, match="its scheme is not supported") as caught:
        transport_to(url)
    assert "ssh://USER@HOST" in caught.value.next_step


@pytest.mark.parametrize("url", ["tcp://gpu-1:99999", "ssh://gpu-1:0", "ssh://", "tcp://:2376", "ssh://[::1"])
def test_a_url_without_a_host_or_with_a_wrong_port_is_refused(url: str) -> None:
    with pytest.raises(DaemonUnreachable, match="it names no host, or no valid port"):
        transport_to(url)


def test_a_port_without_tls_is_refused() -> None:
    with pytest.raises(DaemonForbidden, match="everybody who reaches such a port is root on its host"):
        transport_to("tcp://gpu-1:2375", environ={})


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"DOCKER_CERT_PATH": "/certs"}, "/certs"),
        ({"DOCKER_CERT_PATH": "/certs", "DOCKER_TLS_VERIFY": "1", "DOCKER_CONFIG": "/config"}, "/certs"),
        ({"DOCKER_TLS_VERIFY": "1", "DOCKER_CONFIG": "/config"}, "/config"),
    ],
)
def test_the_files_of_the_environment_are_those_of_the_docker_command(environ: dict[str, str], folder: str) -> None:
    with pytest.raises(DaemonForbidden, match=f"{folder}/ca.pem cannot be read"):
        transport_to("tcp://gpu-1:2376", environ=environ).connect(1)


def test_paths_of_the_stack_start_at_its_folder(tmp_path: Path) -> None:
    host = Host("gpu-1", "tcp://gpu-1:2376", tls=TlsFiles("tls/ca.pem", "tls/cert.pem", "tls/key.pem"))
    with pytest.raises(DaemonForbidden, match=f"{tmp_path}/tls/ca.pem cannot be read"):
        connection_to(host, tmp_path).transport.connect(1)


def test_a_url_that_cannot_be_used_is_the_problem_of_each_request() -> None:
    connection = connection_to(Host("gpu-1", "context:of another machine"))
    for _ in range(2):
        with pytest.raises(DaemonUnreachable, match="there is no Docker context"):
            connection.transport.connect(1)
    connection.transport.close()


# ---- contexts


def test_a_context_leads_to_its_daemon(tmp_path: Path) -> None:
    write_context(tmp_path, "gpu", endpoint("ssh://ops@gpu-1"))
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    assert read_context("gpu", environ).url == "ssh://ops@gpu-1"
    assert transport_to("context:gpu", environ=environ).url == "ssh://ops@gpu-1"


def test_a_context_brings_its_tls_files(tmp_path: Path) -> None:
    write_context(tmp_path, "gpu", endpoint("tcp://gpu-1:2376"), tls=True)
    context = read_context("gpu", {"DOCKER_CONFIG": str(tmp_path)})
    assert context.tls is not None
    assert [Path(p).name for p in (context.tls.ca, context.tls.cert, context.tls.key)] == list(PEMS)


@pytest.mark.parametrize("content", [[], {}, {"Endpoints": None}, endpoint(None), endpoint(7), endpoint("context:gpu")])
def test_a_context_of_the_wrong_shape_is_one_sentence(tmp_path: Path, content: object) -> None:
    write_context(tmp_path, "gpu", content)
    with pytest.raises(DaemonUnreachable, match='the Docker context "gpu"') as caught:
        read_context("gpu", {"DOCKER_CONFIG": str(tmp_path)})
    assert caught.value.next_step == "docker context inspect gpu"


@pytest.mark.parametrize(
    ("environ", "current", "expected"),
    [
        ({}, None, "unix:///var/run/docker.sock"),
        ({}, "default", "unix:///var/run/docker.sock"),
        ({}, "gpu", "context:gpu"),
        ({}, 7, "unix:///var/run/docker.sock"),
        ({"DOCKER_CONTEXT": "other"}, "gpu", "context:other"),
        ({"DOCKER_CONTEXT": "default"}, "gpu", "unix:///var/run/docker.sock"),
        ({"DOCKER_HOST": "ssh://gpu-2", "DOCKER_CONTEXT": "other"}, "gpu", "ssh://gpu-2"),
    ],
)
def test_the_default_daemon_is_that_of_the_docker_command(
    tmp_path: Path, environ: dict[str, str], current: object, expected: str
) -> None:
    if current is not None:
        (tmp_path / "config.json").write_text(json.dumps({"currentContext": current}))
    assert default_docker({"DOCKER_CONFIG": str(tmp_path), **environ}) == expected


def test_a_current_context_with_a_socket_of_this_machine_is_that_socket(tmp_path: Path) -> None:
    write_context(tmp_path, "desktop", endpoint("unix:///run/desktop.sock"))
    environ = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "desktop"}
    assert default_docker(environ) == "unix:///run/desktop.sock"


# ---- ssh's errors

WARNING = "Warning: Permanently added '10.0.0.1' to the list of known hosts.\n"
CHANGED = "@@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@@\nHost key verification failed.\n"


@pytest.mark.parametrize(
    ("errors", "text"),
    [
        (CHANGED, "its host key is not the one in known_hosts"),
        (
            "No ED25519 host key is known for gpu-1\nHost key verification failed.\n",
            "its host key is not in known_hosts",
        ),
        ("ops@gpu-1: Permission denied (publickey).\n", "it accepts none of our keys (it allows: publickey)"),
        (WARNING + "ssh: connect to host gpu-1 port 22: Connection refused\n", "port 22: Connection refused"),
        ("ssh: Could not resolve hostname gpu-1: Name or service not known\r\n", "Could not resolve hostname gpu-1"),
        ("client_loop: send disconnect: Broken pipe\n", "send disconnect: Broken pipe"),
        (WARNING, "ssh ended"),
        ("", "ssh ended"),
        ("\x1b[31mevil\x1b[0m" * 2000, "no ssh connection to gpu-1"),
    ],
)
def test_an_error_of_ssh_is_one_sentence_with_the_next_step(errors: str, text: str) -> None:
    error: DaemonError = ssh_failure("gpu-1", errors, command="ssh -l ops -p 2222 gpu-1", known_as="[gpu-1]:2222")
    assert error.message.startswith("no ssh connection to gpu-1: ")
    assert text in error.message
    assert len(error.message) < 3000
    assert " -l ops -p 2222 gpu-1" in error.next_step, "the login of the stack, not another one"
    assert ("ssh-keygen -R '[gpu-1]:2222'" in error.next_step) == (errors == CHANGED)


def test_the_last_refusal_of_a_channel_counts() -> None:
    errors = "channel 1: open failed: administratively prohibited: open failed\r\nchannel 2: open failed: connect failed: No such file\r\n"
    assert channel_refusal(errors) == "no such file"
    assert channel_refusal("channel 3: open failed: unknown channel type\n") == "unknown channel type"
    assert channel_refusal(WARNING) == ""


def test_a_bounded_number_of_ssh_connections_is_opened_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many hosts are read at once: each connection starts a process."""
    guard = threading.Lock()
    opening = highest = 0

    class Process:
        socket = tmp_path / "none"
        polls = 0

        def __init__(self, *_: object) -> None:
            nonlocal opening, highest
            with guard:
                opening += 1
                highest = max(highest, opening)

        def is_ready(self) -> bool:
            nonlocal opening
            self.polls += 1
            with guard:
                opening -= self.polls == 2
            return self.polls == 2

        def ended(self) -> bool:
            return False

        def errors(self) -> str:
            return ""

        errors_of_daemon = errors

        def close(self) -> None:
            pass

    def connect(number: int) -> None:
        with pytest.raises(DaemonUnreachable):
            transport_to(f"ssh://gpu-{number}").connect(60)

    monkeypatch.setattr(ssh_tunnel, "SshProcess", Process)
    at_once(connect, range(4 * ssh_tunnel.AT_ONCE))
    assert highest <= ssh_tunnel.AT_ONCE


def test_a_connection_that_is_being_opened_ends_when_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an interrupt: no ssh is left, and nobody waits for its time-out."""
    ssh = silent_ssh(tmp_path, monkeypatch)
    monkeypatch.setattr(ssh_tunnel, "OPENING", AT_MOST)
    tunnel = SshTunnel("ssh://gpu-1")
    failures: list[str] = []

    def connect() -> None:
        with pytest.raises(DaemonUnreachable) as caught:
            tunnel.connect(AT_MOST)
        failures.append(caught.value.message)

    opening = threading.Thread(target=connect)
    opening.start()
    wait_until(ssh.has_started)
    tunnel.close()
    opening.join()
    assert failures == ["the connection to gpu-1 was closed"]
    wait_until(ssh.has_ended)
    with pytest.raises(DaemonUnreachable, match="was closed"):
        tunnel.connect(AT_MOST)
