"""A daemon on a socket that answers 200 with the bytes that a test chooses, to docker-py as to our own reader."""

from __future__ import annotations

import socketserver
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.sockets import serving_on

Answer = Callable[[str, str], bytes]
"""(method, path) -> body."""


@contextmanager
def raw_daemon(path: Path, answer: Answer) -> Iterator[str]:
    """Yields its URL while it answers."""
    path.unlink(missing_ok=True)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            request_line = self.rfile.readline().decode().split(" ")
            if len(request_line) < 2:
                return
            length = 0
            while line := self.rfile.readline().strip():
                name, _, value = line.decode().partition(":")
                length = int(value) if name.lower() == "content-length" else length
            self.rfile.read(length)
            body = answer(request_line[0], request_line[1])
            head = (
                "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nServer: Docker/20.10.24 (linux)\r\nConnection: close\r\n"
                "Date: Mon, 30 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            try:
                self.wfile.write(head.encode() + body)
            except OSError:
                return

    with serving_on(path, Handler) as url:
        yield url
