"""One question to a daemon, and its answer: a GET with the standard library. There is nothing here that could write.

docker-py would need 40 times the CPU for it (and a quarter of a second to import).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from cortexctl.decoding.readers import NotAsExpected, Reader
from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonRefused, DaemonTooOld, DaemonUnreachable
from cortexctl.hosts.transport import connected, unreachable
from cortexctl.observed.daemon_json import read_answer

OLDEST_API = (1, 41)
"""Docker Engine 20.10."""
TIMEOUT = 10.0
"""Seconds without an answer after which a host counts as unreachable."""
WHOLE_ANSWER = 30.0
"""Seconds for the whole of an answer: a daemon that drips would never end."""
LARGEST_ANSWER = 256 * 2**20
"""Bytes. 5,000 containers with long labels are a tenth of it."""
OK = 200
NOT_FOUND = 404


def ask(host: Host, path: str, shape: Reader, *, timeout: float = TIMEOUT) -> Any:
    """What a daemon answers to a GET. Raises DaemonError, also for what is not of the `shape`."""
    try:
        return shape(read_answer(get(host.docker, path, timeout=timeout).body))
    except NotAsExpected as cause:
        raise DaemonRefused(f"{host.docker}: its answer to {path} cannot be read: {cause}") from None


def ask_for(host: Host, path: str, shape: Reader, *, timeout: float = TIMEOUT) -> Any:
    """The same; None when there is no such thing."""
    try:
        return ask(host, path, shape, timeout=timeout)
    except DaemonRefused as cause:
        if cause.status == NOT_FOUND:
            return None
        raise


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of a 200 answer, and what its headers say of the daemon."""

    body: bytes
    daemon: str
    api: str
    date: str = ""
    """The daemon's own time, as HTTP writes it."""


def get(docker: str, path: str, *, timeout: float = TIMEOUT) -> Answer:
    """GET over the daemon's socket. HTTP/1.0: no chunks, and the daemon closes at the end.

    No version in the path, so that every daemon answers with its own; the headers tell which that is.
    Raises DaemonUnreachable, DaemonForbidden, DaemonTooOld, DaemonRefused.
    """
    headers, status, body = exchange(docker, f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode(), timeout)
    api = headers.get("api-version", "")
    _check_api(docker, api, headers.get("server", "a daemon without a name"))
    if status != OK:
        raise DaemonRefused(f"{docker}: {message_in(body) or f'status {status}'}", status=status)
    return Answer(body, headers.get("server", ""), api, headers.get("date", ""))


def daemon_time(docker: str) -> float:
    """Seconds since the epoch by the daemon's own clock: what two machines can agree on. Raises DaemonError."""
    date = get(docker, "/_ping").date
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return time.time()


def exchange(docker: str, request: bytes, timeout: float) -> tuple[dict[str, str], int, bytes]:
    """The headers, the status and the body of an answer to one HTTP/1.0 request. `timeout`: seconds without a word from
    the daemon; the whole of an answer may take WHOLE_ANSWER seconds and LARGEST_ANSWER bytes.

    Raises DaemonUnreachable and DaemonForbidden.
    """
    raw = bytearray()
    end = time.monotonic() + max(timeout, WHOLE_ANSWER)
    with connected(docker, timeout) as connection:
        try:
            connection.sendall(request)
            while part := connection.recv(1 << 20):
                raw += part
                left = end - time.monotonic()
                if left <= 0 or len(raw) > LARGEST_ANSWER:
                    raise TimeoutError
                connection.settimeout(min(timeout, left))
        except OSError as cause:
            raise unreachable(docker, cause) from cause
    head, _, body = bytes(raw).partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if not lines[0].startswith("HTTP/") or len(words) < 2 or not (words[1].isascii() and words[1].isdigit()):
        raise DaemonUnreachable(f"what answers at {docker} is not a Docker daemon")
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
    return headers, int(words[1][:4]), body


def _check_api(docker: str, api: str, daemon: str) -> None:
    try:
        version = tuple(int(part) for part in api.split("."))
    except ValueError:
        raise DaemonUnreachable(f"what answers at {docker} is not a Docker daemon") from None
    if version < OLDEST_API:
        raise DaemonTooOld(
            f"{daemon} at {docker} speaks API {api}; cortexctl needs 1.41",
            next_step="upgrade it to Docker Engine 20.10 or later",
        )


def message_in(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
