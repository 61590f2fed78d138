"""One reader of a daemon's HTTP answers, on the standard library, over the stream of the host's transport. All reading
goes through it: facts, files, logs. Nothing in here can change a container.

docker-py would need 40 times the CPU for a list (and a quarter of a second to import).
"""

from __future__ import annotations

import io
import json
import math
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.decoding.readers import NotAsExpected, Reader
from cortexctl.errors import DaemonError, DaemonRefused, DaemonTooOld, DaemonUnreachable
from cortexctl.hosts.transport import Connection, Transport
from cortexctl.http_answer import BrokenOff, HttpAnswer, NotHttp
from cortexctl.observed.daemon_json import read_answer

OLDEST_API = (1, 41)
"""Docker Engine 20.10."""
TIMEOUT = 10.0
"""Seconds in which a daemon may send nothing."""
WHOLE_ANSWER = 30.0
"""Seconds for a whole answer: a daemon that sends very slowly would never finish."""
LARGEST_ANSWER = 256 * 2**20
"""Maximum number of bytes. 5,000 containers with long labels are a tenth of it."""
_CLOSED_AT_ONCE = ConnectionResetError("it closes the connection without an answer")
_BROKEN_OFF = ConnectionError("the daemon closed the connection within its answer")
_PATH = re.compile(r"/[!-~]*")
OK = 200
NOT_FOUND = 404


def get_json(at: Connection, path: str, shape: Reader, *, timeout: float = TIMEOUT) -> Any:
    """The answer of a host's daemon to a GET. Raises DaemonError, also if the answer does not have the `shape`."""
    answer = get(at.transport, path, timeout=timeout)
    return _content(at.url, path, answer.body, shape)


def get_json_or_none(at: Connection, path: str, shape: Reader, *, timeout: float = TIMEOUT) -> Any:
    """The same; None if the object does not exist."""
    try:
        return get_json(at, path, shape, timeout=timeout)
    except DaemonRefused as cause:
        if cause.status == NOT_FOUND:
            return None
        raise


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of a 200 answer, and the facts about the daemon in its headers. `content`: the body as its shape reads
    it.
    """

    body: bytes
    content: Any
    daemon: str
    api: str
    date: str = ""
    """The daemon's own time, in HTTP's format."""


def get(transport: Transport, path: str, shape: Reader | None = None, *, timeout: float = TIMEOUT) -> Answer:
    """GET from the daemon. No version in the path, so that every daemon answers with its own; the headers name it.
    `shape`: reads the JSON in the body. Only for answers about the daemon as a whole: a daemon that never gave such an
    answer in the right shape counts as another server. One object, such as a volume, may have any content.

    Raises DaemonUnreachable, DaemonForbidden, DaemonTooOld, DaemonRefused (also if the body does not have the shape).
    """
    response = exchange(transport, "GET", path, timeout=timeout)
    try:
        answer = _answer(transport.url, path, response, shape)
    except (DaemonUnreachable, DaemonTooOld, Unreadable) as cause:
        transport.answered(cause)
        raise
    transport.answered()
    if response.status != OK:
        message = message_in(response.body) or f"status {response.status}"
        raise DaemonRefused(f"{transport.url}: {message}", status=response.status)
    return answer


class Unreadable(DaemonRefused):
    """A body that does not have the expected shape."""


def _answer(url: str, path: str, response: Response, shape: Reader | None) -> Answer:
    head = response.headers
    api = head.get("api-version", "")
    _check_api(url, api, head.get("server", "a daemon without a name"))
    content = _content(url, path, response.body, shape) if shape is not None and response.status == OK else None
    return Answer(response.body, content, head.get("server", ""), api, head.get("date", ""))


def _content(url: str, path: str, body: bytes, shape: Reader) -> Any:
    try:
        return shape(read_answer(body))
    except NotAsExpected as cause:
        raise Unreadable(f"{url}: its answer to {path} cannot be read: {cause}") from None


def daemon_time(transport: Transport) -> float:
    """Seconds since the epoch by the daemon's own clock, which two machines can agree on. Raises DaemonError."""
    from email.utils import parsedate_to_datetime

    date = get(transport, "/_ping").date
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return time.time()


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer with any status. `headers` by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def exchange(
    transport: Transport, method: str, path: str, *, body: bytes | None = None, timeout: float = TIMEOUT
) -> Response:
    """One request and its whole answer, which may take WHOLE_ANSWER seconds (or `timeout`, if longer) and
    LARGEST_ANSWER bytes. `timeout`: seconds in which the daemon may send nothing. `body`: JSON.

    Raises DaemonUnreachable and DaemonForbidden.
    """
    with opened(transport, method, path, body=body, silence=timeout, whole=max(timeout, WHOLE_ANSWER)) as answer:
        content = answer.read(LARGEST_ANSWER + 1)
        if len(content) > LARGEST_ANSWER:
            raise TimeoutError
        return Response(answer.status, answer.fields, content)


class OpenAnswer(io.RawIOBase):
    """An answer with its head read; the caller reads the body. Every read raises OSError, with TimeoutError after the
    deadline.
    """

    def __init__(self, stream: BoundedStream) -> None:
        self.stream = stream
        self._answer = HttpAnswer(stream.recv)
        self.status, self.fields = self._answer.head()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Exactly `size` bytes, or all remaining ones. Fewer only at the end."""
        try:
            return self._answer.read(size if size >= 0 else sys.maxsize)
        except NotHttp as cause:
            raise _broken(cause) from cause

    def read_some(self, most: int) -> bytes:
        """The bytes that have arrived, as soon as there are some: empty at the end."""
        try:
            return self._answer.some(most)
        except NotHttp as cause:
            raise _broken(cause) from cause


@contextmanager
def opened(
    transport: Transport,
    method: str,
    path: str,
    *,
    body: bytes | None = None,
    silence: float = math.inf,
    whole: float = WHOLE_ANSWER,
) -> Iterator[OpenAnswer]:
    """A request to a daemon; the answer is open inside the block, for `whole` seconds from now. `silence`: seconds in
    which the daemon may send nothing, and until its first byte at most the transport's patience.

    Raises DaemonUnreachable and DaemonForbidden, also for OSErrors of the block.
    """
    first, end = min(silence, transport.patience), time.monotonic() + whole
    stream = BoundedStream(transport.connect(min(first, whole)), first, silence, end)
    try:
        stream.sendall(_request(method, path, body))
        yield OpenAnswer(stream)
    except NotHttp as cause:
        raise _another_server(transport) from cause
    except BrokenOff as cause:
        if not cause.is_empty and not cause.has_line:
            raise _another_server(transport) from cause
        raise transport.fault(_CLOSED_AT_ONCE if cause.is_empty else _BROKEN_OFF) from cause
    except OSError as cause:
        raise transport.fault(cause) from cause
    finally:
        stream.hang_up()


def _request(method: str, path: str, body: bytes | None) -> bytes:
    """The bytes of a request. Raises NotHttp."""
    if not _PATH.fullmatch(path):
        raise NotHttp("its path cannot be sent")
    head = f"{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n"
    if body is None:
        return f"{head}\r\n".encode()
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class BoundedStream:
    """A connection with one deadline for all reads: `end`, on the monotonic clock. `first`: seconds for the first byte;
    `silence`: for each later piece.
    """

    def __init__(self, connection: socket.socket, first: float, silence: float, end: float) -> None:
        self._connection = connection
        self._patience, self._silence = first, silence
        self.end = end

    def sendall(self, data: bytes, /) -> None:
        self._bound()
        self._connection.sendall(data)

    def recv(self, most: int, /) -> bytes:
        self._bound()
        piece = self._connection.recv(most)
        self._patience = self._silence
        return piece

    def hang_up(self) -> None:
        self._connection.close()

    def _bound(self) -> None:
        left = min(self.end - time.monotonic(), self._patience)
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left if left < math.inf else None)


def _broken(cause: NotHttp) -> ConnectionError:
    """A body with unreadable chunks counts as a broken connection."""
    return ConnectionError(f"the daemon's answer is not HTTP: {cause}")


def _another_server(transport: Transport) -> DaemonError:
    """For the rest of the run, this is the answer of the host."""
    failure = _not_a_daemon(transport.url)
    transport.answered(failure)
    return failure


def _not_a_daemon(url: str) -> DaemonError:
    return DaemonUnreachable(f"the server at {url} is not a Docker daemon")


def _check_api(url: str, api: str, daemon: str) -> None:
    try:
        version = tuple(int(part) for part in api.split("."))
    except ValueError:
        raise _not_a_daemon(url) from None
    if version < OLDEST_API:
        raise DaemonTooOld(
            f"{daemon} at {url} supports API {api} at most; cortexctl needs 1.41",
            next_step="upgrade it to Docker Engine 20.10 or later",
        )


def message_in(body: bytes) -> str:
    """The daemon's own message in the body of a refusal; empty if there is none."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
