"""A container's log, read as a stream, with bounds: a candidate may write one line of gigabytes, and a daemon may send
without end, or a byte a minute. docker-py would first hold all of it in memory, and its time-outs count between reads.
"""

from __future__ import annotations

import codecs
import re
import socket
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonRefused, DaemonUnreachable
from cortexctl.hosts.frames import Frames
from cortexctl.hosts.http import message_in
from cortexctl.hosts.transport import connected
from cortexctl.text.shorten import shortened

WITHIN = 10.0
"""Seconds for the whole of an answer, from the connection to its last byte."""
KEPT = 4 << 20
"""Characters of the end of a log that are kept."""
READ_AT_MOST = 128 << 20
"""Bytes. 5000 entries of 16 KiB, the most that a daemon puts into one, are less."""
LINES_AT_MOST = 200_000
"""No daemon sends so many that was asked for the last 5000."""
LONGEST_LINE = 16 << 10
"""Characters."""
PIECE = 1 << 16
_LONGEST_HEAD = 1 << 16
_OK, _CONTINUES = 200, range(100, 200)
_STREAMS = range(4)
_LINE_PARTS = re.compile(r"([^\r\n]*)([\r\n]*)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is read of which container's log. `name` is for messages; `tty`: whether it writes to a terminal, for then
    the daemon sends its log without frames.
    """

    container: str
    name: str
    tail: int
    tty: bool
    since: float | None = None
    follow: bool = False

    @property
    def path(self) -> str:
        asked: dict[str, object] = {"stdout": 1, "stderr": 1, "tail": self.tail, "follow": int(self.follow)}
        if self.since is not None:
            asked["since"] = f"{self.since:.6f}"
        return f"/containers/{quote(self.container, safe='')}/logs?{urlencode(asked)}"


class Unfinished(Exception):
    """The answer has no end: its time is over, or it broke off. The text says which, in a few words."""


def pieces(
    host: Host, wanted: Wanted, *, within: float = WITHIN, reader_counts: bool = True
) -> Generator[bytes, None, None]:
    """The log as it comes, in pieces of at most 64 KiB. What follows a log on has its deadline for the head alone.

    `reader_counts`: whether the time that the caller takes is part of `within`; somebody who reads page by page takes
    as long as he likes. Raises DaemonRefused and DaemonUnreachable before the first piece, Unfinished after it.
    """
    until = time.monotonic() + within
    with _connected(host, wanted, within) as connection:
        body = _after_head(connection, host, wanted, until)
        frames = Payload(wanted.tty)
        while True:
            for piece in frames.of(body):
                paused = time.monotonic()
                yield piece
                until += 0 if reader_counts else time.monotonic() - paused
            try:
                connection.settimeout(None if wanted.follow else seconds_left(until))
                body = connection.recv(PIECE)
            except TimeoutError as cause:
                raise Unfinished(f"the daemon did not send all of it within {within:.0f} s") from cause
            except OSError as cause:
                raise Unfinished("the daemon broke off") from cause
            if not body:
                return


def as_asked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """As long as it is not far more than a daemon has of 5000 lines. Raises Unfinished then."""
    size = number = 0
    for piece in pieces:
        size += len(piece)
        number += piece.count(b"\n")
        if size > READ_AT_MOST or number > LINES_AT_MOST:
            raise Unfinished("the daemon sends far more than was asked for")
        yield piece


def last_lines(pieces: Iterable[bytes], tail: int) -> list[str]:
    """The end of a log: so many lines, and KEPT characters of them. What is not in it is noted in its first line."""
    kept: deque[str] = deque()
    size, too_large = 0, False
    notes = []
    try:
        for line in lines(pieces):
            kept.append(line)
            size += len(line)
            while size > KEPT or len(kept) > tail:
                too_large = too_large or size > KEPT
                size -= len(kept.popleft())
    except Unfinished as cause:
        notes.append(f"[... cut: this log is not whole: {cause} ...]")
    if too_large:
        notes.append(f"[... cut: of this log the last {KEPT >> 20} MiB are kept ...]")
    return [*notes, *kept]


def lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Every line that has text, as it comes, without the progress bars that were drawn over each other. Of one that is
    longer than LONGEST_LINE, both ends.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest, left_out = "", 0
    try:
        for piece in pieces:
            *whole, rest = (rest + decoder.decode(piece)).split("\n")
            for line in whole:
                if shown := _last_drawn(line, left_out):
                    yield shown
                left_out = 0
            if len(rest) > 4 * LONGEST_LINE:
                left_out += len(rest) - 2 * LONGEST_LINE
                rest = rest[:LONGEST_LINE] + rest[-LONGEST_LINE:]
    except Unfinished:
        if shown := _last_drawn(rest, left_out):
            yield shown
        raise
    if shown := _last_drawn(rest + decoder.decode(b"", final=True), left_out):
        yield shown


def followed(pieces: Iterable[bytes]) -> Iterator[str]:
    """Every piece as it comes, with its bars and line ends. What a line has beyond LONGEST_LINE is left out."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    column = 0
    for piece in pieces:
        shown = []
        for text, ends in _LINE_PARTS.findall(decoder.decode(piece)):
            room = max(LONGEST_LINE - column, 0)
            cut = " [... cut ...]" if column <= LONGEST_LINE < column + len(text) else ""
            shown.append(text[:room] + cut + ends)
            column = 0 if ends else column + len(text)
        if said := "".join(shown):
            yield said


def _last_drawn(line: str, left_out: int) -> str:
    if left_out or len(line) > LONGEST_LINE:
        line = shortened(line, LONGEST_LINE, left_out=left_out)
    return line.rstrip().rpartition("\r")[2]


class Payload:
    """Takes the frames off."""

    def __init__(self, tty: bool) -> None:
        self._frames = None if tty else Frames()

    def of(self, body: bytes) -> Iterator[bytes]:
        if self._frames is None:
            yield from (body,) if body else ()
            return
        for number, piece in self._frames.feed(body):
            if number not in _STREAMS:
                raise Unfinished("what the daemon sends is no log")
            yield piece


def _connected(host: Host, wanted: Wanted, within: float) -> socket.socket:
    try:
        connection = connected(host.docker, within)
    except DaemonUnreachable as cause:
        raise _silent(host, wanted) from cause
    try:
        # HTTP/1.0: no chunks, and the daemon closes at the end
        connection.sendall(f"GET {wanted.path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
    except OSError as cause:
        connection.close()
        raise _silent(host, wanted) from cause
    return connection


def _after_head(connection: socket.socket, host: Host, wanted: Wanted, until: float) -> bytes:
    """What came of the body together with the head of a 200 answer."""
    try:
        status, body = _status(connection, until)
        if status == _OK:
            return body
        while len(body) < PIECE and (piece := _received(connection, until)):
            body += piece
    except (OSError, ValueError) as cause:
        raise _silent(host, wanted) from cause
    said = shortened(message_in(body) or f"status {status}")
    raise DaemonRefused(f"{host.name}: cannot read the log of {wanted.name}: {said}", status=status)


def _status(connection: socket.socket, until: float) -> tuple[int, bytes]:
    """(status, what came after the head). Raises ValueError for what is no answer."""
    got, read = b"", 0
    while True:
        while b"\r\n\r\n" not in got:
            piece = _received(connection, until)
            read += len(piece)
            if not piece or read > _LONGEST_HEAD + PIECE:
                raise ValueError("no head")
            got += piece
        head, _, got = got.partition(b"\r\n\r\n")
        words = head.split(b" ", 2)
        status = int(words[1]) if head.startswith(b"HTTP/") and len(words) > 1 else 0
        if status not in _CONTINUES:
            return status, got


def _received(connection: socket.socket, until: float) -> bytes:
    connection.settimeout(seconds_left(until))
    return connection.recv(PIECE)


def seconds_left(until: float) -> float:
    """Raises TimeoutError when it is over."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _silent(host: Host, wanted: Wanted) -> DaemonUnreachable:
    return DaemonUnreachable(
        f"{host.name}: the daemon at {host.docker} does not give the log of {wanted.name}",
        next_step=f"see whether `docker logs {wanted.name}` gives it on that host",
    )
