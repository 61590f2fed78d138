"""The way to a host's daemon: one object per host and run, opened by the first request and closed by the run.

It yields connected streams, to our own reader and to docker-py alike. `hosts.transports` has one module per kind.
"""

from __future__ import annotations

import math
import socket
from typing import Protocol

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonError, DaemonForbidden, DaemonUnreachable

FIRST_ANSWER: float = 5.0
"""Seconds without a byte after which a host counts as unreachable, if it has not answered in this run."""


class Transport(Protocol):
    """`url` is the daemon's URL in the stack; messages quote it. `kind` names the transport in a report."""

    @property
    def url(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def patience(self) -> float:
        """Seconds that a connection, and then the first byte of an answer, may take at most."""
        ...

    @property
    def forwarder(self) -> Forwarder | None:
        """None if the transport carries nothing but the daemon's socket."""
        ...

    def connect(self, seconds: float) -> socket.socket:
        """A connection to the daemon; `seconds` bound each later call on it, too. Raises DaemonUnreachable or
        DaemonForbidden.
        """
        ...

    def fault(self, cause: OSError) -> DaemonError:
        """The error for a connection that cannot be made or that broke, with the next step."""
        ...

    def answered(self, failure: DaemonError | None = None, /) -> None:
        """A request was answered to the end. `failure`: why the answer is not one of a daemon that we can use."""
        ...

    def close(self) -> None: ...


class Forwarder(Protocol):
    """Connections to TCP ports as the daemon's host reaches them. None of them is a proof of where it ends."""

    @property
    def session(self) -> int:
        """Number of the ssh connection in use. A new one may lead to another machine."""
        ...

    def connect_to(self, address: str, port: int, seconds: float) -> socket.socket:
        """A connection that is closed without a byte if the host cannot open it. `seconds` bound each later call on it.
        Raises DaemonUnreachable, DaemonForbidden.
        """
        ...

    def is_forbidden(self) -> bool:
        """Whether the server has refused a connection because it forbids to forward it."""
        ...

    def cancel(self, address: str, port: int) -> None:
        """No further connections to the port are made."""
        ...


class OnceIfSilent:
    """Implements `Transport`, over another one. If the first request fails, the daemon gets no other one in this run,
    and every later request fails with the same error: a dead host costs one time-out, whatever reads it. This includes
    an answer that no daemon gives: the server is another one, and it would be asked the same in vain. A daemon that has
    answered well gets further requests, because it may restart during an apply, and more time for them.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.url = transport.url
        self._has_answered = False
        self._failure: DaemonError | None = None

    @property
    def kind(self) -> str:
        return self.transport.kind

    @property
    def patience(self) -> float:
        return math.inf if self._has_answered else FIRST_ANSWER

    @property
    def forwarder(self) -> Forwarder | None:
        return self.transport.forwarder

    def connect(self, seconds: float) -> socket.socket:
        if self._failure is not None and not self._has_answered:
            raise self._failure.with_traceback(None)
        try:
            return self.transport.connect(seconds)
        except DaemonError as cause:
            self._failure = cause
            raise

    def fault(self, cause: OSError) -> DaemonError:
        self._failure = self.transport.fault(cause)
        return self._failure

    def answered(self, failure: DaemonError | None = None, /) -> None:
        self._failure = failure or self._failure
        self._has_answered = self._has_answered or failure is None

    def close(self) -> None:
        self.transport.close()


@dataclass(frozen=True, slots=True)
class Connection:
    """A host of the stack, and the way to its daemon in this run."""

    host: Host
    transport: Transport

    @property
    def name(self) -> str:
        return self.host.name

    @property
    def url(self) -> str:
        return self.transport.url


def unreachable(url: str, cause: OSError, start: str) -> DaemonError:
    """The error for a socket that cannot be opened or that broke. `start`: the next step if no daemon listens."""
    match cause:
        case PermissionError():
            return DaemonForbidden(
                f"permission denied on {url}",
                next_step="run as a user of the group that owns the socket: sudo usermod -aG docker $USER, "
                "then log in again",
            )
        case FileNotFoundError() | NotADirectoryError():
            return DaemonUnreachable(f"no Docker daemon at {url}: the socket does not exist", next_step=start)
        case ConnectionRefusedError():
            return DaemonUnreachable(
                f"no Docker daemon at {url}: the socket exists, but no process listens on it", next_step=start
            )
        case TimeoutError():
            return DaemonUnreachable(
                f"the daemon at {url} does not answer", next_step="is its disk full, or its daemon hung?"
            )
        case _:
            return DaemonUnreachable(f"no Docker daemon at {url}: {cause.strerror or cause}", next_step=start)
