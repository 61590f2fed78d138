"""The seam between who asks a server and how its container is reached. Gate, health, status and drift share it.

Every connection provably ends in the very container that is asked about. What cannot be proven is no connection: an
answer of somebody else would be believed, and the API key would be sent to them.
"""

from __future__ import annotations

from typing import Protocol


class Stream(Protocol):
    """A connection, as far as one that asks over HTTP needs it. A socket is one."""

    def sendall(self, data: bytes, /) -> None: ...

    def recv(self, most: int, /) -> bytes:
        """The next bytes, `most` of them at the most; empty at the end. Raises OSError, TimeoutError among them."""
        ...

    def settimeout(self, seconds: float, /) -> None:
        """For each call after it."""
        ...

    def close(self) -> None: ...


class Reach(Protocol):
    """The way to one container's server."""

    @property
    def where(self) -> str:
        """Where the last connection went, in words: "172.18.0.2:8000", "its port 8000, from inside the container"."""
        ...

    @property
    def is_slow(self) -> bool:
        """Whether each connection starts a program in the container: who asks again and again should ask less often."""
        ...

    def connect(self, seconds: float) -> Stream:
        """A connection to the server, made within so many seconds.

        Raises NobodyListens where the way works and the server does not answer on it yet, PathFailed where the way
        does not work, TimeoutError.
        """
        ...
