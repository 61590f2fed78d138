"""Servers whose answer does not finish within any time limit of cortexctl."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.sockets import serving_on


@dataclass
class Drip:
    """Sends `first`, and then `piece` `times` times, with a pause of `pause` seconds before each."""

    first: bytes
    piece: bytes
    times: int = 2400
    pause: float = 0.05
    sent: int = 0
    """The number of pieces sent so far."""
    connections: int = 0
    gone: threading.Event = field(default_factory=threading.Event)
    """Set when a client has hung up."""

    def finished(self) -> bool:
        """Whether the client waited for the last piece. Waits until the client has hung up. A client whose time was over
        before it connected did not wait.
        """
        if not self.connections:
            return False
        self.gone.wait(self.times * self.pause + 5)
        return self.sent >= self.times

    def handler(self) -> type[socketserver.BaseRequestHandler]:
        drip, over = self, threading.Event()

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                drip.connections += 1
                try:
                    self.request.recv(65536)
                    self.request.sendall(drip.first)
                    for _ in range(drip.times):
                        over.wait(drip.pause)
                        self.request.sendall(drip.piece)
                        drip.sent += 1
                except OSError:
                    pass
                drip.gone.set()

        return Handler


@contextmanager
def dripping_daemon(path: Path, drip: Drip) -> Iterator[str]:
    """At a Unix socket; yields its URL."""
    with serving_on(path, drip.handler()) as url:
        yield url


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False


@contextmanager
def dripping_server(drip: Drip) -> Iterator[int]:
    """At a port of the loopback; yields it."""
    server = _Server(("127.0.0.1", 0), drip.handler())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
