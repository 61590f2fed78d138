"""A Unix socket before a daemon's own: it counts the requests and the bytes of the answers."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.recording import Traffic

_REQUEST = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE) /\S* HTTP/1\.[01]\r\n")


def requests_in(data: bytes) -> int:
    """The request lines in what a client sent. Bodies are JSON, which has no line breaks of HTTP."""
    return len(_REQUEST.findall(data))


class CountingProxy:
    """`url`: for DOCKER_HOST."""

    def __init__(self, path: Path) -> None:
        self.url = f"unix://{path}"
        self._requests = 0
        self._sent = 0
        self._guard = threading.Lock()

    @property
    def traffic(self) -> Traffic:
        with self._guard:
            return Traffic(self._requests, self._sent)

    def add(self, requests: int, sent: int) -> None:
        with self._guard:
            self._requests += requests
            self._sent += sent


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def counting_proxy(folder: Path, daemon: str) -> Iterator[CountingProxy]:
    """`daemon`: the path of its socket."""
    path = folder / "proxy.sock"
    path.unlink(missing_ok=True)
    proxy = CountingProxy(path)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as upstream:
                upstream.connect(daemon)
                answers = threading.Thread(target=_pass_answers, args=(upstream, self.request, proxy), daemon=True)
                answers.start()
                _pass_requests(self.request, upstream, proxy)
                answers.join()

    server = _Server(str(path), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        path.unlink(missing_ok=True)


def _pass_requests(client: socket.socket, daemon: socket.socket, proxy: CountingProxy) -> None:
    line = b""
    with suppress(OSError):
        while data := client.recv(65536):
            proxy.add(requests_in(line + data), 0)
            line = data.rpartition(b"\n")[2][-4096:]  # a request line may arrive in two pieces
            daemon.sendall(data)
    with suppress(OSError):
        daemon.shutdown(socket.SHUT_WR)


def _pass_answers(daemon: socket.socket, client: socket.socket, proxy: CountingProxy) -> None:
    with suppress(OSError):
        while data := daemon.recv(65536):
            proxy.add(0, len(data))
            client.sendall(data)
    with suppress(OSError):
        client.shutdown(socket.SHUT_WR)
