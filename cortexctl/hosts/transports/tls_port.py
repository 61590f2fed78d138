"""A daemon at a TCP port, with mutual TLS: it proves its name to us, and we prove to it that we may use it. Only the
files that the stack or `DOCKER_CERT_PATH` names count; variables such as SSL_CERT_FILE do not.
"""

from __future__ import annotations

import math
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cortexctl.desired.stack import TlsFiles
from cortexctl.errors import DaemonError, DaemonForbidden, DaemonUnreachable
from cortexctl.hosts.transport import unreachable

if TYPE_CHECKING:
    import ssl

DEFAULT_PORT = 2376
START = "start the daemon there, or correct `docker` of the host in the stack"


class TlsPort:
    """Implements `transport.Transport`."""

    kind = "TLS"
    patience = math.inf
    forwarder = None

    def __init__(self, url: str, files: TlsFiles) -> None:
        parts = urlsplit(url)
        self.url = url
        self._files = files
        self._at = (parts.hostname or "", parts.port or DEFAULT_PORT)
        self._context: ssl.SSLContext | None = None

    def connect(self, seconds: float) -> socket.socket:
        context = self._context or _context(self.url, self._files)
        self._context = context
        plain: socket.socket | None = None
        try:
            plain = socket.create_connection(self._at, seconds)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return context.wrap_socket(plain, server_hostname=self._at[0])
        except OSError as cause:
            if plain is not None:
                plain.close()
            raise self.fault(cause) from cause

    def fault(self, cause: OSError) -> DaemonError:
        import ssl

        match cause:
            case ssl.SSLCertVerificationError():
                return DaemonUnreachable(
                    f"the certificate of the daemon at {self.url} is not accepted: {cause.verify_message}",
                    next_step=_about_their_certificate(cause.verify_message, self._at[0], self._files.ca),
                )
            case ssl.SSLError() if "ALERT" in (cause.reason or ""):
                return DaemonForbidden(
                    f"the daemon at {self.url} refuses our certificate: {_plain(cause)}",
                    next_step=self._check_ours(),
                )
            case ssl.SSLEOFError() | ssl.SSLZeroReturnError() | ConnectionResetError() | BrokenPipeError():
                return DaemonUnreachable(
                    f"the daemon at {self.url} closed the connection, as it does if it refuses our certificate",
                    next_step=self._check_ours(),
                )
            case ssl.SSLError():
                return DaemonUnreachable(
                    f"the server at {self.url} does not use TLS ({_plain(cause)})",
                    next_step="start the daemon with --tlsverify, or use ssh:// in `docker` of the host",
                )
            case socket.gaierror():
                return DaemonUnreachable(f"the name {self._at[0]} cannot be resolved", next_step=START)
            case ConnectionRefusedError():
                return DaemonUnreachable(
                    f"no Docker daemon at {self.url}: the port refuses connections", next_step=START
                )
            case _:
                return unreachable(self.url, cause, START)

    def _check_ours(self) -> str:
        return (
            "use a client certificate that its authority signed and that is valid today: "
            f"openssl x509 -noout -issuer -enddate -in {self._files.cert}"
        )

    def answered(self, _failure: DaemonError | None = None, /) -> None:
        """Nothing depends on it."""

    def close(self) -> None:
        """Each connection is closed by its user."""


def _context(url: str, files: TlsFiles) -> ssl.SSLContext:
    import ssl

    for path in (files.ca, files.cert, files.key):
        try:
            with Path(path).open("rb"):
                pass
        except OSError as cause:
            raise DaemonForbidden(
                f"{url} cannot be used: {path} cannot be read ({cause.strerror})",
                next_step="correct `tls` of the host in the stack, or DOCKER_CERT_PATH",
            ) from cause
    try:
        context = ssl.create_default_context(cafile=files.ca)
        context.load_cert_chain(files.cert, files.key)
    except ssl.SSLError as cause:
        raise DaemonForbidden(
            f"{url} cannot be used: its TLS files are not a certificate authority, and a certificate with its key "
            f"({_plain(cause)})",
            next_step="correct `tls` of the host in the stack, or DOCKER_CERT_PATH",
        ) from cause
    return context


def _about_their_certificate(message: str, name: str, ca: str) -> str:
    if "mismatch" in message or "not valid for" in message:
        return f"use a name of the certificate in `docker` of the host, or give the daemon a certificate for {name}"
    if "expired" in message or "not yet valid" in message:
        return "renew the daemon's certificate, or set the clock of this machine"
    return f"check that the authority in {ca} signed the daemon's certificate"


def _plain(cause: ssl.SSLError) -> str:
    """OpenSSL's reason without its capitals: SSLV3_ALERT_CERTIFICATE_EXPIRED is "certificate expired"."""
    reason = (cause.reason or str(cause)).lower().replace("_", " ")
    return reason.rpartition("alert ")[2]
