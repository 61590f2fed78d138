"""One HTTP/1.1 answer, read from a connection as it arrives: interim answers, head, body. Daemons and model servers are
read with it; a request has a connection of its own.

`http.client` and h11 would need several times the CPU, and some ten milliseconds to import.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

LARGEST_HEAD = 64 * 1024
"""The most bytes of an answer's head."""
MOST_FIELDS = 100
LONGEST_LINE = 4096
"""The most bytes of the line before a chunk, or after the last one."""
PIECE = 64 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9]\d\d)(?: [^\r\n]*)?\r\n")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n\0]*)\r\n")
_FIELDS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)*")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
_SWITCHES = 101
_NO_BODY = {_SWITCHES, 204, 304}

Head = tuple[int, Mapping[str, str]]
Receive = Callable[[int], bytes]
"""The next bytes, at most that many; empty at the end. Raises OSError, with TimeoutError after a deadline."""


class NotHttp(Exception):
    """The bytes are not an HTTP answer. The text says why."""


class BrokenOff(ConnectionError):
    """The connection ended within the answer, or before it. `is_empty`: no byte arrived. `has_line`: its first line
    arrived.
    """

    def __init__(self, *, is_empty: bool = False, has_line: bool = True) -> None:
        super().__init__("the connection was closed within the answer")
        self.is_empty = is_empty
        self.has_line = has_line


class HttpAnswer:
    """Reads one answer. Every method raises NotHttp, BrokenOff, and the errors of `receive`."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._arrived = b""
        self._used = 0
        """Bytes of `_arrived` that are used."""
        self._left = 0
        """Bytes of the body, or of its current chunk, that are not read yet."""
        self._is_chunked = False
        self._has_chunk = False
        self._ends_with_connection = False

    def head(self) -> Head:
        """The status, and the fields by their names in lower case; of a repeated one, the last. Interim answers (1xx)
        are skipped, but count as parts of the head. Call it once, before all else.
        """
        left = LARGEST_HEAD
        while True:
            text = self._head_text(left)
            left -= len(text)
            status, fields = _parsed(text)
            if status >= 200 or status == _SWITCHES:
                self._expect(status, fields)
                return status, fields

    def some(self, most: int) -> bytes:
        """The bytes of the body that have arrived, as soon as there are some: empty at its end."""
        if self._is_chunked and not self._left:
            self._next_chunk()
        if self._ends_with_connection:
            return self._bytes(most)
        if not self._left:
            return b""
        piece = self._bytes(min(most, self._left))
        if not piece:
            raise BrokenOff
        self._left -= len(piece)
        return piece

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes of the body. Fewer only at its end."""
        pieces: list[bytes] = []
        while size > 0 and (piece := self.some(size)):
            pieces.append(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def rest(self) -> bytes:
        """The bytes that arrived after the head: the beginning of another protocol, if the daemon switched to one."""
        rest = self._arrived[self._used :]
        self._used = len(self._arrived)
        return rest

    def _head_text(self, most: int) -> bytes:
        """Up to the empty line. A first line that is not HTTP's is refused at once: its sender may wait for us."""
        arrived = self.rest()
        while (end := arrived.find(b"\r\n\r\n") + 4) < 4:
            if len(arrived) > most:
                raise NotHttp("its head is too long")
            piece = self._receive(PIECE)
            arrived += piece
            if (not piece or b"\n" in arrived) and not arrived.startswith(b"HTTP/"[: len(arrived)]):
                raise NotHttp("it does not begin as HTTP")
            if not piece:
                raise BrokenOff(is_empty=not arrived, has_line=b"\n" in arrived)
        if end > most:
            raise NotHttp("its head is too long")
        self._arrived, self._used = arrived, end
        return arrived[:end]

    def _expect(self, status: int, fields: Mapping[str, str]) -> None:
        """How the end of the body will be recognised."""
        coding, length = fields.get("transfer-encoding"), fields.get("content-length")
        if status in _NO_BODY:
            return
        if coding is not None:
            if coding.lower() != "chunked":
                raise NotHttp("its transfer encoding is not known")
            self._is_chunked = True
        elif length is not None:
            if not _LENGTH.fullmatch(length):
                raise NotHttp("its length is not a number")
            self._left = int(length)
        else:
            self._ends_with_connection = True

    def _next_chunk(self) -> None:
        """The last chunk has no bytes; the lines after it end with an empty one."""
        if self._has_chunk and self._line() != b"\r\n":
            raise NotHttp("a chunk is longer than its size")
        self._has_chunk = True
        size = _SIZE.fullmatch(self._line())
        if size is None:
            raise NotHttp("a chunk has no size")
        self._left = int(size[1], 16)
        if not self._left:
            self._skip_trailer()

    def _skip_trailer(self) -> None:
        for _ in range(MOST_FIELDS):
            if self._line() == b"\r\n":
                self._is_chunked = False
                return
        raise NotHttp("it has too many fields")

    def _line(self) -> bytes:
        while (end := self._arrived.find(b"\n", self._used) + 1) < 1:
            rest = self.rest()
            if len(rest) > LONGEST_LINE:
                raise NotHttp("a line is too long")
            if not (piece := self._receive(PIECE)):
                raise BrokenOff
            self._arrived, self._used = rest + piece, 0
        line = self._arrived[self._used : end]
        self._used = end
        return line

    def _bytes(self, most: int) -> bytes:
        if self._used == len(self._arrived):
            return self._receive(min(most, PIECE))
        piece = self._arrived[self._used : self._used + most]
        self._used += len(piece)
        return piece


def _parsed(text: bytes) -> Head:
    status = _STATUS.match(text)
    if status is None:
        raise NotHttp("it has no status")
    at, end = status.end(), len(text) - 2
    if _FIELDS.fullmatch(text, at, end) is None:
        raise NotHttp("a field of its head cannot be read")
    fields = _FIELD.findall(text, at, end)
    if len(fields) > MOST_FIELDS:
        raise NotHttp("it has too many fields")
    return int(status[1]), {
        name.decode("ascii").lower(): value.decode("latin-1").strip(" \t") for name, value in fields
    }
