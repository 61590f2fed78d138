"""The interface between a client of a server and the path to the server's container. Gate, health, status and drift
share it.

Every connection provably ends in exactly the container in question. Without that proof there is no connection: we would
believe another program's answer, and send the API key to it.
"""

from __future__ import annotations

from typing import Protocol


class Stream(Protocol):
    """A connection, with the methods that an HTTP client needs. A socket is one."""

    def sendall(self, data: bytes, /) -> None: ...

    def recv(self, most: int, /) -> bytes:
        """The next bytes, at most `most`; empty at the end. Raises OSError (TimeoutError too)."""
        ...

    def settimeout(self, seconds: float, /) -> None:
        """The time-out for each later call."""
        ...

    def close(self) -> None: ...


class Reach(Protocol):
    """The path to one container's server."""

    @property
    def target(self) -> str:
        """The target of the last connection, as text: "172.18.0.2:8000", "its port 8000, from inside the container"."""
        ...

    @property
    def is_slow(self) -> bool:
        """Whether each connection starts a program in the container: a client that polls should do so less often."""
        ...

    @property
    def needs_daemon(self) -> bool:
        """Whether the last connection needed a request to the daemon: a client that polls should not do so more often
        for a quick start.
        """
        ...

    def connect(self, seconds: float, announced: bytes = b"") -> Stream:
        """A connection to the server, made within this many seconds. `announced`: what the caller will send first. It
        holds no secret: a program inside the container may send it at once, from its command line.

        Raises NotListening if the path works and the server does not answer on it yet, PathFailed if the path does not
        work, TimeoutError.
        """
        ...
