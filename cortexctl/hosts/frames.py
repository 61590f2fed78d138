"""A connection to a daemon that becomes a connection to a process in a container, and the frames of its output."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

from cortexctl.errors import DaemonRefused, DaemonUnreachable
from cortexctl.hosts.http import message_in
from cortexctl.hosts.transport import Transport

FRAME = struct.Struct(">BxxxL")
"""The stream's number (1: output, 2: errors), three unused bytes, the length."""
_LONGEST_HEAD = 64 * 1024


def attached(transport: Transport, path: str, body: Mapping[str, Any] | None, seconds: float) -> socket.socket:
    """POST `path` and keep the connection, which carries frames from then on. Without docker-py, which leaves such a
    connection open and waits on it forever. Raises DaemonUnreachable, DaemonRefused.
    """
    content = json.dumps(body).encode() if body is not None else b""
    head = f"POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    connection = transport.connect(seconds)
    try:
        connection.sendall(head.encode() + content)
        answer = _head(connection, time.monotonic() + seconds)
        refusal = _refusal(transport.url, answer, connection)
    except OSError as cause:
        connection.close()
        raise DaemonUnreachable(f"the daemon at {transport.url} stopped answering") from cause
    if refusal:
        connection.close()
        raise refusal
    return connection


def _refusal(url: str, head: bytes, connection: socket.socket) -> DaemonRefused | None:
    if _status(head) in {101, 200}:
        return None
    message = message_in(connection.recv(65536)) or head.decode(errors="replace").splitlines()[0][:200]
    return DaemonRefused(f"{url}: {message}", status=_status(head))


def _head(connection: socket.socket, end: float) -> bytes:
    """Byte by byte: the bytes after it belong to the process."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n") and len(head) < _LONGEST_HEAD:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        if not (byte := connection.recv(1)):
            break
        head += byte
    return bytes(head) or b"no answer"


def _status(head: bytes) -> int:
    word = head.split(b" ", 2)[1:2]
    return int(word[0]) if word and word[0].isdigit() and len(word[0]) == 3 else 0


class Frames:
    """Splits a byte stream into frames, regardless of how it arrives in pieces."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._stream = 0
        self._left = 0
        """Bytes of the frame that is not complete yet."""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(stream's number, content) of the complete frames so far."""
        self._rest += data
        pieces = []
        while self._rest:
            if not self._left:
                if len(self._rest) < FRAME.size:
                    break
                self._stream, self._left = FRAME.unpack_from(self._rest)
                del self._rest[: FRAME.size]
                continue
            piece = bytes(self._rest[: self._left])
            del self._rest[: len(piece)]
            self._left -= len(piece)
            pieces.append((self._stream, piece))
        return pieces
