"""A connection to a daemon that becomes a connection to a process in a container, and the frames of its output."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

from cortexctl.errors import DaemonRefused, DaemonUnreachable
from cortexctl.hosts.http import BoundedStream, message_in
from cortexctl.hosts.transport import Transport
from cortexctl.http_answer import HttpAnswer, NotHttp

FRAME = struct.Struct(">BxxxL")
"""The stream's number (1: output, 2: errors), three unused bytes, the length."""
LONGEST_REFUSAL = 64 * 1024
"""The most bytes of a refusal that are read."""
_ACCEPTED = {101, 200}


def attached(
    transport: Transport, path: str, body: Mapping[str, Any] | None, seconds: float
) -> tuple[socket.socket, bytes]:
    """POST `path` and keep the connection, which carries frames from then on; with the first bytes of them. Without
    docker-py, which leaves such a connection open and waits on it forever. Raises DaemonUnreachable, DaemonRefused.
    """
    content = json.dumps(body).encode() if body is not None else b""
    head = f"POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    connection = transport.connect(seconds)
    answer = HttpAnswer(BoundedStream(connection, seconds, seconds, time.monotonic() + seconds).recv)
    try:
        connection.sendall(head.encode() + content)
        status, _ = answer.head()
        if status in _ACCEPTED:
            return connection, answer.rest()
        message = message_in(answer.read(LONGEST_REFUSAL)) or f"status {status}"
    except NotHttp as cause:
        connection.close()
        raise DaemonRefused(f"{transport.url}: the daemon's answer is not HTTP: {cause}") from cause
    except OSError as cause:
        connection.close()
        raise DaemonUnreachable(f"the daemon at {transport.url} stopped answering") from cause
    connection.close()
    raise DaemonRefused(f"{transport.url}: {message}", status=status)


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
