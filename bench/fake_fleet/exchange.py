"""HTTP as a daemon writes and reads it: heads, and whether the connection stays open. Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate

from bench.fake_fleet.answers import API, Answer

_REASONS = {200: "OK", 201: "Created", 404: "Not Found", 501: "Not Implemented"}
UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
HEALTHY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    version: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def body_size(self) -> int:
        return int(self.headers.get("content-length") or 0)

    @property
    def starts_program(self) -> bool:
        return self.method == "POST" and self.target.partition("?")[0].endswith("/start")

    @property
    def keeps_open(self) -> bool:
        """As dockerd: a connection of HTTP/1.0 is closed unless the client asks to keep it."""
        wish = self.headers.get("connection", "").lower()
        return wish == "keep-alive" if self.version == "HTTP/1.0" else wish != "close"


def parse_request(head: bytes) -> Request:
    line, *rest = head.decode("latin1").split("\r\n")
    method, target, version = line.split(" ", 2)
    fields = (text.partition(":") for text in rest if text)
    return Request(method, target, version, {name.strip().lower(): value.strip() for name, _, value in fields})


def response(request: Request, answer: Answer) -> bytes:
    """The head and, except for HEAD, the body."""
    kind = "text/plain" if answer.body == b"OK" else "application/json"
    lines = [
        f"{request.version} {answer.status} {_REASONS.get(answer.status, 'Error')}",
        f"Api-Version: {API}",
        f"Content-Type: {kind}",
        f"Date: {formatdate(usegmt=True)}",
        "Ostype: linux",
        "Server: Docker/20.10.24 (linux)",
        f"Content-Length: {len(answer.body)}",
        f"Connection: {'keep-alive' if request.keeps_open else 'close'}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if request.method == "HEAD" else answer.body)


def frame(content: bytes) -> bytes:
    """Output of a program inside a container."""
    return struct.pack(">BxxxL", 1, len(content)) + content
