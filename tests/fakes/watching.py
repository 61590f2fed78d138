"""A proxy in front of a daemon's socket that calls a function at one chosen request that changes something."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

from tests.fakes.sockets import serving_on

CHANGES = re.compile(rb"(POST|PUT|DELETE) (/v1\.\d+/\S+) HTTP/1\.1\r\n")
"""The start of a request that changes something. docker-py sends one request at a time on a connection. An exec that
queries a server inside its container does not match: it changes nothing.
"""


@dataclass
class Watched:
    """`requests`: the requests since the last `arm` that change something, for example "POST /v1.41/volumes/create"."""

    requests: list[str] = field(default_factory=list)
    _at: int = 0
    _answered: bool = True
    _then: Callable[[], object] = lambda: None
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def arm(self, at: int = 0, then: Callable[[], object] = lambda: None, *, answered: bool = True) -> None:
        """Call `then` at the request with this number, counted from 1. 0: only count.

        `answered`: `then` runs after the daemon has answered and before the client receives the answer. Otherwise it
        runs before the daemon receives the request, and the daemon never receives it if `then` returns False.
        """
        with self._guard:
            self.requests.clear()
            self._at, self._then, self._answered = at, then, answered

    def came(self, line: str) -> tuple[Callable[[], object] | None, Callable[[], object] | None]:
        """Record a request. Returns what to call before it is passed on, and what to call once it is answered."""
        with self._guard:
            self.requests.append(line)
            if len(self.requests) != self._at:
                return None, None
            return (None, self._then) if self._answered else (self._then, None)


@contextmanager
def watching_proxy(path: Path, behind: str) -> Iterator[tuple[str, Watched]]:
    """A proxy at `path` in front of the daemon `behind` (a unix:// URL). Yields its own URL and the watched requests."""
    watched = Watched()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as daemon:
                daemon.connect(behind.removeprefix("unix://"))
                due: list[Callable[[], object]] = []
                backward = threading.Thread(target=_answers, args=(daemon, self.request, due), daemon=True)
                backward.start()
                with suppress(OSError):  # a client that is killed resets its connections
                    _requests(self.request, daemon, due)
                with suppress(OSError):
                    daemon.shutdown(socket.SHUT_RDWR)
                backward.join()

    def _requests(client: socket.socket, daemon: socket.socket, due: list[Callable[[], object]]) -> None:
        while piece := client.recv(65536):
            if change := CHANGES.match(piece):
                first, afterwards = watched.came(f"{change[1].decode()} {change[2].decode()}")
                if first and first() is False:
                    return
                due += [afterwards] if afterwards else []
            daemon.sendall(piece)

    with serving_on(path, Handler) as url:
        yield url, watched


def _answers(daemon: socket.socket, client: socket.socket, due: list[Callable[[], object]]) -> None:
    with suppress(OSError):
        while piece := daemon.recv(65536):
            if due:
                due.pop()()
            client.sendall(piece)
    with suppress(OSError):
        client.shutdown(socket.SHUT_WR)


@contextmanager
def shifted_clock(path: Path, behind: str, ahead: int) -> Iterator[tuple[str, Callable[[], int]]]:
    """A proxy in front of the daemon `behind` that moves the clock in its answers `ahead` by this many seconds. Yields
    its URL and a function that returns the daemon's time.
    """

    def later(match: re.Match[bytes]) -> bytes:
        at = parsedate_to_datetime(match[1].decode()).timestamp() + ahead
        return b"\r\nDate: " + formatdate(at, usegmt=True).encode()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as daemon:
                daemon.connect(behind.removeprefix("unix://"))
                forward = threading.Thread(target=_copy_all, args=(self.request, daemon), daemon=True)
                forward.start()
                with suppress(OSError):
                    while piece := daemon.recv(1 << 20):
                        self.request.sendall(re.sub(rb"\r\nDate: ([^\r]+)", later, piece))
                with suppress(OSError):
                    self.request.shutdown(socket.SHUT_RDWR)
                forward.join()

    with serving_on(path, Handler) as url:
        yield url, lambda: int(time.time()) + ahead


def _copy_all(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
