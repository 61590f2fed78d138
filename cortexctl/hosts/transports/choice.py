"""The transport for the URL of a host."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Host, TlsFiles
from cortexctl.errors import DaemonError, DaemonForbidden, DaemonUnreachable
from cortexctl.hosts.transport import Connection, OnceIfSilent, Transport
from cortexctl.hosts.transports.unix_socket import UnixSocket

SUPPORTED = "write unix:///var/run/docker.sock, ssh://USER@HOST, tcp://HOST:2376 with `tls`, or context:NAME"


def connection_to(host: Host, folder: Path = Path()) -> Connection:
    """Nothing is opened yet. If the URL cannot be used, or the first request fails, every request raises the reason."""
    try:
        transport = OnceIfSilent(transport_to(host.docker, _below(folder, host.tls)))
    except DaemonError as cause:
        return Connection(host, Unusable(host.docker, cause))
    return Connection(host, transport)


@dataclass(frozen=True, slots=True)
class Unusable:
    """Implements `transport.Transport` for a URL that leads to no daemon."""

    url: str
    reason: DaemonError
    kind: str = "none"
    patience: float = 0.0
    forwarder: None = None

    def connect(self, _seconds: float) -> socket.socket:
        raise self.reason

    def fault(self, _cause: OSError) -> DaemonError:
        return self.reason

    def answered(self, _failure: DaemonError | None = None, /) -> None:
        pass

    def close(self) -> None:
        pass


def transport_to(url: str, tls: TlsFiles | None = None, environ: Mapping[str, str] = os.environ) -> Transport:
    """`tls`: of the stack; else the files of DOCKER_CERT_PATH. Raises DaemonUnreachable and DaemonForbidden."""
    scheme, _, rest = url.partition(":")
    if scheme in {"tcp", "ssh"} and not _names_a_host(url):
        raise DaemonUnreachable(f"{url} cannot be reached: it names no host, or no valid port", next_step=SUPPORTED)
    match scheme:
        case "unix" if rest.startswith("///") and len(rest) > len("///"):
            return UnixSocket(url)
        case "tcp":
            from cortexctl.hosts.transports.tls_port import TlsPort

            return TlsPort(url, tls or _files_of(url, environ))
        case "ssh":
            from cortexctl.hosts.transports.ssh_tunnel import SshTunnel

            return SshTunnel(url)
        case "context":
            from cortexctl.hosts.transports.docker_context import read_context

            endpoint = read_context(rest, environ)
            return transport_to(endpoint.url, tls or endpoint.tls, environ)
    raise DaemonUnreachable(f"{url} cannot be reached: its scheme is not supported", next_step=SUPPORTED)


def _names_a_host(url: str) -> bool:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _below(folder: Path, files: TlsFiles | None) -> TlsFiles | None:
    return TlsFiles(*(str(folder / path) for path in (files.ca, files.cert, files.key))) if files else None


def _files_of(url: str, environ: Mapping[str, str]) -> TlsFiles:
    """As the docker command finds them."""
    folder = environ.get("DOCKER_CERT_PATH", "")
    if not folder and environ.get("DOCKER_TLS_VERIFY"):
        folder = environ.get("DOCKER_CONFIG") or str(Path("~/.docker").expanduser())
    if not folder:
        raise DaemonForbidden(
            f"{url} cannot be used without TLS: everybody who reaches such a port is root on its host",
            next_step="set DOCKER_CERT_PATH to the folder with ca.pem, cert.pem and key.pem, or write in the stack "
            'hosts.NAME.tls = { ca = "ca.pem", cert = "cert.pem", key = "key.pem" }; or write ssh://',
        )
    return TlsFiles(*(str(Path(folder) / name) for name in ("ca.pem", "cert.pem", "key.pem")))
