"""Reaches: of a fake daemon's container, of a server on the loopback, and two that fail."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from cortexctl.errors import NotListening, PathFailed
from cortexctl.reach import Stream


@dataclass
class FakeReach:
    """Implements `reach.Reach` as far as a fake prober needs it. `target`: the container's id. `broken`: why the reach
    fails now; empty: it works.
    """

    target: str
    broken: Callable[[], str] = lambda: ""
    is_slow: bool = False
    needs_daemon: bool = True

    def connect(self, seconds: float, _announced: bytes = b"") -> Stream:
        if why := self.broken():
            raise PathFailed(why, next_step=f"read it again in {seconds:g} s")
        ours, theirs = socket.socketpair()
        theirs.close()
        return ours


@dataclass
class LoopbackReach:
    """Implements `reach.Reach` for a server of the test's own."""

    port: int
    is_slow: bool = False
    needs_daemon: bool = True

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def connect(self, seconds: float, _announced: bytes = b"") -> Stream:
        try:
            return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
        except ConnectionRefusedError:
            raise NotListening("its port refuses connections") from None


@dataclass
class BrokenReach:
    """Implements `reach.Reach` for a path that does not work."""

    why: str = "no python3 can be run in its container"
    is_slow: bool = True
    needs_daemon: bool = True
    target: str = "nowhere"

    def connect(self, seconds: float, _announced: bytes = b"") -> Stream:
        raise PathFailed(self.why, next_step=f"read it again in {seconds:g} s")


@dataclass
class FailingReach:
    """Implements `reach.Reach` for a connection that fails."""

    fault: OSError
    is_slow: bool = True
    needs_daemon: bool = True
    target: str = "nowhere"

    def connect(self, seconds: float, _announced: bytes = b"") -> Stream:
        raise self.fault
