"""A daemon of this machine, or one whose socket somebody forwards to this machine."""

from __future__ import annotations

import math
import socket
import struct

from cortexctl.errors import DaemonError
from cortexctl.hosts.transport import unreachable

START = "start the daemon (systemctl start docker), or correct `docker` of the host in the stack"


class UnixSocket:
    """Implements `transport.Transport`."""

    kind = "unix socket"
    patience = math.inf
    forwarder = None

    def __init__(self, url: str) -> None:
        self.url = url
        self._path = url.removeprefix("unix://")

    def connect(self, seconds: float) -> socket.socket:
        try:
            return connected(self._path, seconds)
        except OSError as cause:
            raise self.fault(cause) from cause

    def fault(self, cause: OSError) -> DaemonError:
        return unreachable(self.url, cause, START)

    def answered(self, _failure: DaemonError | None = None, /) -> None:
        """Nothing depends on it."""

    def close(self) -> None:
        """Each connection is closed by its user."""


def connected(path: str, seconds: float) -> socket.socket:
    """A connection to a Unix socket. Raises OSError, with TimeoutError after `seconds`.

    With Python's time-out, a connection to a daemon with a full queue fails at once. With the kernel's, it waits.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(seconds))
        connection.connect(path)
        connection.settimeout(seconds)
    except BlockingIOError as cause:
        connection.close()
        raise TimeoutError from cause
    except OSError:
        connection.close()
        raise
    return connection


def _timeval(seconds: float) -> bytes:
    """At least a microsecond: 0 would be no limit."""
    whole, part = divmod(max(round(seconds * 1e6), 1), 1_000_000)
    return struct.pack("@ll", whole, part)
