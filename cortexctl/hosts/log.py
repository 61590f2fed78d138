"""A container's log, read as a stream, with bounds: a candidate may write one line of gigabytes, and a daemon may send
without end, or a byte a minute. docker-py would first hold all of it in memory, and its time-outs count between reads.
"""

from __future__ import annotations

import codecs
import math
import re
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from cortexctl.dataclass import dataclass
from cortexctl.errors import DaemonRefused, DaemonUnreachable
from cortexctl.hosts.frames import Frames
from cortexctl.hosts.http import OK, OpenAnswer, message_in, opened
from cortexctl.hosts.transport import Connection
from cortexctl.text.shorten import shortened

WITHIN = 10.0
"""Seconds for the whole of an answer, from the connection to its last byte."""
LONGEST_TAIL = 4 << 20
"""Maximum number of characters of the end of a log."""
READ_AT_MOST = 128 << 20
"""Bytes. 5000 entries of 16 KiB, the largest that a daemon writes, are less."""
LINES_AT_MOST = 200_000
"""No daemon sends this number if the last 5000 were requested."""
LONGEST_LINE = 16 << 10
"""Characters."""
PIECE = 1 << 16
_STREAMS = range(4)
_LINE_PARTS = re.compile(r"([^\r\n]*)([\r\n]*)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The part of a container's log to read. `name` is for messages; `tty`: whether it writes to a terminal, because
    then the daemon sends its log without frames.
    """

    container: str
    name: str
    tail: int
    tty: bool
    since: float | None = None
    follow: bool = False

    @property
    def path(self) -> str:
        query: dict[str, object] = {"stdout": 1, "stderr": 1, "tail": self.tail, "follow": int(self.follow)}
        if self.since is not None:
            query["since"] = f"{self.since:.6f}"
        return f"/containers/{quote(self.container, safe='')}/logs?{urlencode(query)}"


class Unfinished(Exception):
    """The answer has no end: its deadline is over, or it broke off. The text says which, in a few words."""


def pieces(
    at: Connection, wanted: Wanted, *, within: float = WITHIN, reader_counts: bool = True
) -> Generator[bytes, None, None]:
    """The log as it arrives, in pieces of at most 64 KiB. A log that is followed has a deadline for the head only.

    `reader_counts`: whether the caller's time is part of `within`; a person who reads page by page may take any time.
    Raises DaemonRefused and DaemonUnreachable before the first piece, Unfinished after it.
    """
    try:
        with opened(at.transport, "GET", wanted.path, whole=within) as answer:
            if answer.status != OK:
                raise _refused(at, wanted, answer)
            answer.stream.end = math.inf if wanted.follow else answer.stream.end
            yield from _payload(answer, wanted, within, reader_counts=reader_counts)
    except DaemonUnreachable as cause:
        raise _silent(at, wanted) from cause


def _payload(answer: OpenAnswer, wanted: Wanted, within: float, *, reader_counts: bool) -> Iterator[bytes]:
    frames = Payload(wanted.tty)
    while True:
        try:
            body = answer.read_some(PIECE)
        except TimeoutError as cause:
            raise Unfinished(f"the daemon did not send all of it within {within:.0f} s") from cause
        except OSError as cause:
            raise Unfinished("the daemon closed the connection early") from cause
        if not body:
            return
        for piece in frames.of(body):
            paused = time.monotonic()
            yield piece
            answer.stream.end += 0 if reader_counts else time.monotonic() - paused


def bounded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Passes the pieces on until they exceed by far what a daemon has for 5000 lines. Raises Unfinished then."""
    size = number = 0
    for piece in pieces:
        size += len(piece)
        number += piece.count(b"\n")
        if size > READ_AT_MOST or number > LINES_AT_MOST:
            raise Unfinished("the daemon sends far more than was requested")
        yield piece


def last_lines(pieces: Iterable[bytes], tail: int) -> list[str]:
    """The end of a log: at most `tail` lines and KEPT characters. The first line notes what is missing."""
    tail_lines: deque[str] = deque()
    size, too_large = 0, False
    notes = []
    try:
        for line in lines(pieces):
            tail_lines.append(line)
            size += len(line)
            while size > LONGEST_TAIL or len(tail_lines) > tail:
                too_large = too_large or size > LONGEST_TAIL
                size -= len(tail_lines.popleft())
    except Unfinished as cause:
        notes.append(f"[... cut: this log is incomplete: {cause} ...]")
    if too_large:
        notes.append(f"[... cut: only the last {LONGEST_TAIL >> 20} MiB of this log are included ...]")
    return [*notes, *tail_lines]


def lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Every line with text, as it arrives, without overwritten progress bars. Of a line longer than LONGEST_LINE, both
    ends.
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
    """Every piece as it arrives, with its bars and line ends. The part of a line beyond LONGEST_LINE is omitted."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    column = 0
    for piece in pieces:
        shown = []
        for text, ends in _LINE_PARTS.findall(decoder.decode(piece)):
            room = max(LONGEST_LINE - column, 0)
            cut = " [... cut ...]" if column <= LONGEST_LINE < column + len(text) else ""
            shown.append(text[:room] + cut + ends)
            column = 0 if ends else column + len(text)
        if drawn := "".join(shown):
            yield drawn


def _last_drawn(line: str, left_out: int) -> str:
    if left_out or len(line) > LONGEST_LINE:
        line = shortened(line, LONGEST_LINE, left_out=left_out)
    return line.rstrip().rpartition("\r")[2]


class Payload:
    """Removes the frames."""

    def __init__(self, tty: bool) -> None:
        self._frames = None if tty else Frames()

    def of(self, body: bytes) -> Iterator[bytes]:
        if self._frames is None:
            yield from (body,) if body else ()
            return
        for number, piece in self._frames.feed(body):
            if number not in _STREAMS:
                raise Unfinished("the daemon's answer is not a log")
            yield piece


def _refused(at: Connection, wanted: Wanted, answer: OpenAnswer) -> DaemonRefused:
    text = shortened(message_in(answer.read(PIECE)) or f"status {answer.status}")
    return DaemonRefused(f"{at.name}: cannot read the log of {wanted.name}: {text}", status=answer.status)


def _silent(at: Connection, wanted: Wanted) -> DaemonUnreachable:
    return DaemonUnreachable(
        f"{at.name}: the daemon at {at.url} does not return the log of {wanted.name}",
        next_step=f"check whether `docker logs {wanted.name}` shows it on that host",
    )


def started_at(inspected: Mapping[str, Any]) -> float | None:
    """Seconds since the epoch. The daemon writes nanoseconds, and year 1 for never (or after its own crash)."""
    text = re.sub(r"(\.\d{6})\d*", r"\1", str((inspected.get("State") or {}).get("StartedAt") or ""))
    try:
        started = datetime.fromisoformat(text)
    except ValueError:
        return None
    return started.timestamp() if started.year > 1 else None
