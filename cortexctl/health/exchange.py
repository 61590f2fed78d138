"""One HTTP/1.1 request over a connected stream, with one deadline and one size limit for the whole answer.

Head, interim answers (1xx) and body all count. So no server can block the client: neither by sending slowly, nor by
sending "100 Continue" forever.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import field

import h11

from cortexctl.dataclass import dataclass
from cortexctl.errors import ProbeFailed
from cortexctl.reach import Stream

LARGEST_HEAD = 64 * 1024
"""The most bytes that an answer's head may have."""
PIECE = 65536
_HOST = b"localhost"


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
    reading = _Reading(stream, end, most)
    reading.send(request)
    status = reading.status()
    return status, reading.body()


class _Reading:
    """Reads one answer as it arrives."""

    def __init__(self, stream: Stream, end: float, most: int) -> None:
        self._stream, self._end, self._left = stream, end, most
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD)
        self._began = b""
        self._has_ended = False

    def send(self, request: Request) -> None:
        headers = [(b"Host", _HOST), (b"Connection", b"close"), (b"Accept-Encoding", b"identity"), *request.headers]
        if request.content or request.method != "GET":
            headers.append((b"Content-Length", str(len(request.content)).encode()))
        try:
            events = [h11.Request(method=request.method, target=request.target, headers=headers)]
            content = [h11.Data(data=request.content)] if request.content else []
            data = b"".join(self._http.send(e) or b"" for e in (*events, *content, h11.EndOfMessage()))
        except h11.LocalProtocolError:  # its text may contain the key
            raise ProbeFailed(
                "the request cannot be sent: its API key cannot go into a header (does it contain a line break?)"
            ) from None
        self._stream.settimeout(self._rest())
        self._stream.sendall(data)

    def status(self) -> int:
        while True:
            match self._next():
                case h11.Response(status_code=status):
                    return int(status)
                case h11.InformationalResponse():
                    continue
                case _:
                    raise NotHttp("the answer of the server is not HTTP")

    def body(self) -> Iterator[bytes]:
        while True:
            match self._next():
                case h11.Data(data=data):
                    yield bytes(data)
                case _:
                    return

    def _next(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            in_body = self._http.their_state is h11.SEND_BODY
            try:
                event = self._http.next_event()
                if event is not h11.NEED_DATA:
                    return event  # type: ignore[return-value]  # it is none of the sentinels but PAUSED
                self._http.receive_data(self._more())
            except h11.RemoteProtocolError as cause:
                if in_body:
                    raise NoAnswer("its answer is incomplete") from None
                if b"HTTP/".startswith(self._began[:5]) and self._has_ended:
                    raise ConnectionResetError from None
                raise NotHttp(f"the answer of the server is not HTTP ({cause})") from None

    def _more(self) -> bytes:
        self._stream.settimeout(self._rest())
        piece = self._stream.recv(PIECE)
        self._has_ended = not piece
        self._began = (self._began + piece)[:5] if len(self._began) < 5 else self._began
        self._left -= len(piece)
        if self._left < 0:
            raise NoAnswer("its answer is too long")
        return piece

    def _rest(self) -> float:
        rest = self._end - time.monotonic()
        if rest <= 0:
            raise TimeoutError
        return rest
