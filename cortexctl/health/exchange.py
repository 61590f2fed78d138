"""One HTTP/1.1 request over a connected stream, with one deadline and one size limit for the whole answer.

Head, interim answers (1xx) and body all count. So no server can block the client: neither by sending slowly, nor by
sending "100 Continue" forever.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import field

from cortexctl.dataclass import dataclass
from cortexctl.errors import ProbeFailed
from cortexctl.http_answer import PIECE, BrokenOff, HttpAnswer
from cortexctl.http_answer import NotHttp as NotHttpAnswer
from cortexctl.reach import Stream

_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
"""What a header can hold."""


class NoAnswer(ProbeFailed):
    """No complete answer came in time or within its size limit. The message says what happened."""


class NotHttp(ProbeFailed):
    """The server did not answer in HTTP."""


@dataclass(frozen=True, slots=True)
class Request:
    """`target`: the path. `headers`: those other than Host and Content-Length; one may hold a key."""

    method: str
    target: str
    headers: Sequence[tuple[bytes, bytes]] = field(default=(), repr=False)
    content: bytes = field(default=b"", repr=False)


def answer_to(stream: Stream, request: Request, end: float, most: int) -> tuple[int, Iterator[bytes]]:
    """The status, and the body in pieces as they arrive. `end`: deadline on the monotonic clock; `most`: the most bytes
    of the whole answer.

    Raises NoAnswer, NotHttp and OSError (TimeoutError too); so does the iterator.
    """
    bounded = _Bounded(stream, end, most)
    bounded.send(encoded(request))
    answer = HttpAnswer(bounded.receive)
    try:
        status, _ = answer.head()
    except NotHttpAnswer as cause:
        raise NotHttp(f"the answer of the server is not HTTP ({cause})") from None
    return status, _body(answer)


def _body(answer: HttpAnswer) -> Iterator[bytes]:
    try:
        while piece := answer.some(PIECE):
            yield piece
    except (NotHttpAnswer, BrokenOff):
        raise NoAnswer("its answer is incomplete") from None


def encoded(request: Request) -> bytes:
    """As it is sent. Raises ProbeFailed, whose text never contains a value: it may be the key."""
    headers = [(b"Host", b"localhost"), (b"Connection", b"close"), (b"Accept-Encoding", b"identity"), *request.headers]
    if request.content or request.method != "GET":
        headers.append((b"Content-Length", str(len(request.content)).encode()))
    if not all(_VALUE.fullmatch(value) for _, value in headers):
        raise ProbeFailed(
            "the request cannot be sent: its API key cannot go into a header (does it contain a line break?)"
        )
    lines = [f"{request.method} {request.target} HTTP/1.1".encode(), *(b"%s: %s" % header for header in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + request.content


class _Bounded:
    """A stream with a deadline and a size limit for all that it receives."""

    def __init__(self, stream: Stream, end: float, most: int) -> None:
        self._stream, self._end, self._left = stream, end, most

    def send(self, data: bytes) -> None:
        self._stream.settimeout(self._rest())
        self._stream.sendall(data)

    def receive(self, most: int) -> bytes:
        self._stream.settimeout(self._rest())
        piece = self._stream.recv(most)
        self._left -= len(piece)
        if self._left < 0:
            raise NoAnswer("its answer is too long")
        return piece

    def _rest(self) -> float:
        rest = self._end - time.monotonic()
        if rest <= 0:
            raise TimeoutError
        return rest
