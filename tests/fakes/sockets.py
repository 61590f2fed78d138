"""Servers on Unix sockets: one that answers with canned text, one that counts the requests that pass through it."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    """A full queue refuses a connection to a Unix socket at once."""


@contextmanager
def serving_on(path: Path, handler: type[socketserver.BaseRequestHandler]) -> Iterator[str]:
    server = _Server(str(path), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"unix://{path}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def read_request(connection: socket.socket) -> bytes:
    """Reads a request with its body, and returns its first line. What is unread when a connection closes resets it, and
    the answer may be lost.
    """
    with connection.makefile("rb") as request:
        first, length = request.readline(), 0
        while (line := request.readline()) not in {b"\r\n", b""}:
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        request.read(length)
    return first


NO_VOLUME = (
    b"HTTP/1.1 404 Not Found\r\nApi-Version: 1.41\r\nConnection: close\r\nContent-Length: 28\r\n\r\n"
    b'{"message":"no such volume"}'
)


@contextmanager
def canned_daemon(
    path: Path, rows: Sequence[dict[str, Any]] = (), *, api: str = "1.41", raw: bytes | None = None
) -> Iterator[str]:
    """A "daemon" without volumes that answers every other request with the same list; yields its URL. `raw` replaces
    the answer.
    """
    body = json.dumps(list(rows)).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nApi-Version: {api}\r\nServer: Docker/18.09.1 (linux)\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}"
    )
    answer = raw if raw is not None else head.encode() + b"\r\n\r\n" + body

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            line = read_request(self.request)
            no_volume = raw is None and b" /volumes/" in line
            self.request.sendall(NO_VOLUME if no_volume else answer)

    with serving_on(path, Handler) as url:
        yield url


class Counted(list[str]):
    """The request lines that passed, without their protocol: "GET /containers/json?all=1"."""


@contextmanager
def counting_proxy(path: Path, behind: str) -> Iterator[tuple[str, Counted]]:
    """A proxy in front of the daemon `behind` (a unix:// URL). Yields its own URL and the counted requests."""
    counted = Counted()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as daemon:
                daemon.connect(behind.removeprefix("unix://"))
                backward = threading.Thread(target=_copy, args=(daemon, self.request), daemon=True)
                backward.start()
                while piece := self.request.recv(65536):
                    counted.extend(_requests(piece))
                    daemon.sendall(piece)
                    if piece.endswith(b"\r\n\r\n") and b"HTTP/1.0" in piece:
                        break
                backward.join()

    with serving_on(path, Handler) as url:
        yield url, counted


def _requests(piece: bytes) -> Iterator[str]:
    for line in piece.split(b"\r\n"):
        if line.endswith((b" HTTP/1.0", b" HTTP/1.1")):
            yield line.rpartition(b" ")[0].decode()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
