"""A proxy in front of a daemon that lies: a table maps requests to lies."""

from __future__ import annotations

import http.client
import random
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path

from tests.fakes.sockets import serving_on

Send = Callable[[bytes], object]

UNSENT = ("drop before", "500 before", "409 before", "404 before", "half a head before")
"""The daemon never receives the request."""
CLAIMS = ("drop after", "500 after", "409 after")
"""The daemon carries the request out, and the client receives an error."""
BODIES = {
    "an empty object": b"{}",
    "null": b"null",
    "an empty list": b"[]",
    "a text": b'"x"',
    "a list of null": b"[null]",
    "deep nesting": b"[" * 100_000 + b"]" * 100_000,
    "broken JSON": b'{"Id": "x", ',
    "no UTF-8": b'{"Id": "\xff\xfe"}',
}
"""The daemon carries the request out, and the client receives another body."""
FORMS = (
    "truncated",
    "half a head",
    "dripping body",
    "endless 100 Continue",
    "too long a length",
    "too short a length",
    "delay",
)
KINDS = (*UNSENT, *CLAIMS, *BODIES, *FORMS)


@dataclass(frozen=True)
class Lie:
    """`seconds`: the length of a delay, and the limit of an answer that does not end."""

    kind: str
    seconds: float


@dataclass
class Liar:
    """`requests`: the requests since the last `arm`, as "POST /v1.41/volumes/create". `lied`: the lies, with their
    requests.
    """

    requests: list[str] = field(default_factory=list)
    lied: list[str] = field(default_factory=list)
    _lies: Mapping[int, Lie] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def arm(self, lies: Mapping[int, Lie] | None = None) -> None:
        """From now on: request number -> lie, from 1."""
        with self._guard:
            self.requests.clear()
            self.lied.clear()
            self._lies = lies or {}

    def came(self, line: str) -> Lie | None:
        with self._guard:
            self.requests.append(line)
            lie = self._lies.get(len(self.requests))
            if lie:
                self.lied.append(f"{lie.kind} at request {len(self.requests)}: {line}")
            return lie


class _ToDaemon(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


@contextmanager
def lying_proxy(path: Path, behind: str) -> Iterator[tuple[str, Liar]]:
    """A proxy at `path` in front of the daemon `behind` (a unix:// URL). Yields its own URL and the liar."""
    liar = Liar()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError, http.client.HTTPException):
                while request := _request(self.rfile):
                    stays = _answer(request, liar.came(f"{request.method} {request.path}"), behind, self.wfile.write)
                    if not stays or request.version == "HTTP/1.0":
                        return

    with serving_on(path, Handler) as url:
        yield url, liar


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    version: str
    headers: Mapping[str, str]
    body: bytes


def _request(stream: BufferedIOBase) -> _Request | None:
    parts = stream.readline().decode("latin-1").split()
    if len(parts) != 3:
        return None
    headers = {}
    while line := stream.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return _Request(parts[0], parts[1], parts[2], headers, _body(stream, headers))


def _body(stream: BufferedIOBase, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return stream.read(int(headers.get("content-length", "0")))
    parts = []
    while length := int(stream.readline().split(b";")[0], 16):
        parts.append(stream.read(length))
        stream.readline()
    stream.readline()
    return b"".join(parts)


def _answer(request: _Request, lie: Lie | None, behind: str, send: Send) -> bool:
    """Answer a request, perhaps with a lie. Returns whether the connection can be used again."""
    kind = lie.kind if lie else ""
    if kind in UNSENT:
        if kind == "half a head before":
            send(b"HTTP/1.1 200 OK\r\nContent-Ty")
        elif kind != "drop before":
            _send_all(send, int(kind.split()[0]), _message(kind), {})
            return True
        return False
    if lie and kind == "delay":
        time.sleep(lie.seconds)
    status, headers, body = _of_daemon(request, behind)
    if lie is None or kind == "delay":
        _send_all(send, status, body, headers)
        return True
    if kind in CLAIMS:
        if kind != "drop after":
            _send_all(send, int(kind.split()[0]), _message(kind), headers)
            return True
        return False
    if kind in BODIES:
        _send_all(send, 200 if status == 204 else status, BODIES[kind], headers)
        return True
    _misshapen(lie, status, headers, body, send)
    return False


def _of_daemon(request: _Request, behind: str) -> tuple[int, dict[str, str], bytes]:
    """The daemon's answer: status, headers that identify it, body."""
    connection = _ToDaemon(behind.removeprefix("unix://"))
    try:
        forwarded = {
            k: v for k, v in request.headers.items() if k not in {"connection", "transfer-encoding", "content-length"}
        }
        connection.request(request.method, request.path, body=request.body or None, headers=forwarded)
        answer = connection.getresponse()
        named = {
            k: v
            for k in ("Api-Version", "Server", "Date", "Content-Type", "X-Docker-Container-Path-Stat")
            if (v := answer.getheader(k))
        }
        return answer.status, named, answer.read()
    finally:
        connection.close()


def _head(status: int, headers: Mapping[str, str], length: int | None) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}",
        *(f"{k}: {v}" for k, v in headers.items()),
    ]
    if length is not None and status != 204:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _send_all(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    send(_head(status, {"Api-Version": "1.41", **headers}, len(body)) + (b"" if status == 204 else body))


def _message(kind: str) -> bytes:
    return b'{"message": "the proxy lies: ' + kind.encode() + b'"}'


def _misshapen(lie: Lie, status: int, headers: Mapping[str, str], body: bytes, send: Send) -> None:
    """Send a malformed answer. The connection ends afterwards."""
    end = time.monotonic() + lie.seconds
    match lie.kind:
        case "truncated":
            send(_head(status, headers, len(body) // 2) + body[: len(body) // 2])
        case "half a head":
            send(_head(status, headers, len(body))[:25])
        case "too long a length":
            send(_head(status, headers, len(body) + 1000) + body)
        case "too short a length":
            send(_head(status, headers, max(len(body) - 1, 0)) + body)
        case "endless 100 Continue":
            while time.monotonic() < end:
                send(b"HTTP/1.1 100 Continue\r\n\r\n")
                time.sleep(0.02)
        case "dripping body":
            send(_head(status, headers, len(body) + 100_000))
            for byte in body + b" " * 100_000:
                if time.monotonic() > end:
                    return
                send(bytes([byte]))
                time.sleep(0.01)


def lies_of(choose: random.Random, requests: int, longest: float) -> dict[int, Lie]:
    """One to three lies, at random numbers up to `requests`. `longest`: the most seconds of one lie."""
    count = choose.choice([1, 1, 2, 2, 3])
    return {
        choose.randrange(1, requests + 1): Lie(choose.choice(KINDS), choose.uniform(longest / 8, longest))
        for _ in range(count)
    }
