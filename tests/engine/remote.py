"""What a host elsewhere needs: certificates for its daemon's TLS port, an ssh server, and an ssh client that knows it."""

from __future__ import annotations

import os
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.engine.hosts import HostPort, OwnHost, both_ways, run
from tests.forks import inside

TLS_PORT = 2376
SSH_PORT = 22


@dataclass(frozen=True)
class Certificates:
    """An authority in `folder`, and what it signed. Everything is valid for two days."""

    folder: Path

    def __post_init__(self) -> None:
        self._openssl("req", "-x509", *_KEY, "-days", "2", "-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.pem")

    def sign(self, name: str, *, names: str, usage: str, days: int = 2) -> None:
        """NAME.pem and NAME.key. `names`: the certificate's, in OpenSSL's form; negative `days`: it has expired."""
        (self.folder / "extensions").write_text(f"subjectAltName={names}\nextendedKeyUsage={usage}\n")
        self._openssl("req", *_KEY, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", "request")
        self._openssl(
            *("x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", str(days), "-extfile", "extensions", "-out", f"{name}.pem"),
        )

    def dockerd(self, name: str) -> str:
        """The options of a daemon that uses a certificate at all addresses of its host."""
        files = {"tlscacert": "ca.pem", "tlscert": f"{name}.pem", "tlskey": f"{name}.key"}
        return f"--host tcp://0.0.0.0:{TLS_PORT} --tlsverify " + " ".join(
            f"--{option} {self.folder / file}" for option, file in files.items()
        )

    def table(self, name: str) -> str:
        """A client's `tls` in a stack."""
        return (
            f'tls = {{ ca = "{self.folder}/ca.pem", cert = "{self.folder}/{name}.pem", '
            f'key = "{self.folder}/{name}.key" }}'
        )

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass
class SshServer:
    """sshd on a host, for root with one key."""

    host: OwnHost
    folder: Path
    options: tuple[str, ...] = ()
    port: int = SSH_PORT
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def host_key(self) -> str:
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    def start(self) -> None:
        config = self.folder / "sshd_config"
        config.write_text(
            "\n".join(
                [
                    *self.options,
                    f"ListenAddress {self.host.address}:{self.port}",
                    f"HostKey {self.folder}/host_key",
                    f"AuthorizedKeysFile {self.folder}/authorized",
                    "StrictModes no",
                    "UsePAM no",
                    "PasswordAuthentication no",
                    "PermitRootLogin prohibit-password",
                    "PidFile none",
                    f"SetEnv DOCKER_HOST={self.host.docker}",
                ]
            )
            + "\n"
        )
        os.makedirs("/run/sshd", exist_ok=True)  # noqa: PTH103 - sshd requires the folder by this name
        log = self.folder / "log"
        log.touch()
        self.process = inside(
            self.host.namespace, lambda: subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", config, "-E", log])
        )

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def handshakes(self) -> int:
        """Number of authenticated connections so far."""
        return (self.folder / "log").read_text().count("Accepted publickey")


def make_key(path: Path, passphrase: str = "") -> None:
    """A private key, and its public one in PATH.pub."""
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path))


@contextmanager
def ssh_server(host: OwnHost, folder: Path, key: Path, *options: str, port: int = SSH_PORT) -> Iterator[SshServer]:
    """`options`: lines of its configuration that count before ours."""
    folder.mkdir()
    make_key(folder / "host_key")
    (folder / "authorized").write_text(key.with_suffix(".pub").read_text())
    server = SshServer(host, folder, options, port)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def accepts(address: str, port: int) -> bool:
    """Whether a server listens there."""
    with suppress(ConnectionRefusedError), socket.create_connection((address, port)):
        return True
    return False


@dataclass(frozen=True)
class SshClient:
    """An `ssh` for PATH with a configuration of its own: OpenSSH reads the user's, whatever $HOME is."""

    folder: Path

    def __post_init__(self) -> None:
        make_key(self.key)
        self.known_hosts.touch()
        self.configure()
        program = self.bin / "ssh"
        self.bin.mkdir()
        program.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {self.folder}/config "$@"\n')
        program.chmod(0o755)

    @property
    def key(self) -> Path:
        return self.folder / "key"

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def configure(self, *lines: str, key: str = "") -> None:
        (self.folder / "config").write_text(
            "\n".join(
                [
                    *lines,
                    "Host *",
                    "User root",
                    f"IdentityFile {key or self.key}",
                    "IdentitiesOnly yes",
                    f"UserKnownHostsFile {self.known_hosts}",
                    "GlobalKnownHostsFile /dev/null",
                ]
            )
            + "\n"
        )

    def trust(self, server: SshServer) -> None:
        with self.known_hosts.open("a") as file:
            address = server.host.address
            name = address if server.port == SSH_PORT else f"[{address}]:{server.port}"
            file.write(f"{name} {server.host_key}\n")


@contextmanager
def tls_front(host: OwnHost, certificates: Certificates, name: str, target: Path, port: int) -> Iterator[str]:
    """A TLS port of a host in front of a Unix socket; 0: a free one. Clients need a certificate of the authority. Yields
    its URL.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates.folder / "ca.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificates.folder / f"{name}.pem", certificates.folder / f"{name}.key")

    class Front(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                suppress(OSError),
                socket.socket(socket.AF_UNIX) as daemon,
                context.wrap_socket(self.request, server_side=True) as client,
            ):
                daemon.connect(str(target))
                both_ways(client, daemon)

    server = inside(host.namespace, lambda: HostPort((host.address, port), Front))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"tcp://{host.address}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def healthy_stub(namespace: str, address: str, port: int) -> Iterator[list[bytes]]:
    """A server that answers every request as a healthy model would. Yields what it receives."""
    received: list[bytes] = []
    body = b'{"data": [{"id": "tiny"}], "choices": [{"message": {}}], "usage": {"completion_tokens": 1}}'

    class Stub(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                received.append(self.request.recv(65536))
                self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    server = inside(namespace, lambda: HostPort((address, port), Stub))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
