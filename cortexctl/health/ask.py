"""One question to a server: is it healthy? Over a socket, for the whole answer has one deadline and is one line.

A starting vLLM refuses or resets the connection, a dead engine answers 503, a hung one takes the question and is
silent.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from cortexctl.observed.health import Answer, Heard

PARALLEL = 64
"""Questions at a time: each is a socket that waits."""
_LINE = 4096
_OK = 200


def ask_all(endpoints: Iterable[str], seconds: float) -> Mapping[str, Answer]:
    """Each endpoint (http://HOST:PORT) once, many at a time, each for so many seconds at the most."""
    wanted = sorted(set(endpoints))
    if not wanted:
        return {}
    with ThreadPoolExecutor(max_workers=min(PARALLEL, len(wanted))) as pool:
        return dict(zip(wanted, pool.map(lambda e: ask_health(e, seconds), wanted), strict=True))


def ask_health(endpoint: str, seconds: float) -> Answer:
    """GET /health. What goes wrong is an answer, too."""
    end = time.monotonic() + seconds
    url = urlsplit(endpoint)
    try:
        connection = socket.create_connection((url.hostname or "", url.port or 80), timeout=seconds)
    except ConnectionRefusedError:
        return Answer(Heard.REFUSED)
    except OSError:
        return Answer(Heard.UNREACHED)
    with connection:
        try:
            return _answer(connection, url.netloc, end)
        except TimeoutError:
            return Answer(Heard.SILENT)
        except OSError:
            return Answer(Heard.RESET)


def _answer(connection: socket.socket, host: str, end: float) -> Answer:
    connection.sendall(f"GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    got = b""
    while b"\r\n" not in got and len(got) < _LINE:
        left = end - time.monotonic()
        if left <= 0:
            return Answer(Heard.SILENT)
        connection.settimeout(left)
        piece = connection.recv(_LINE)
        if not piece:
            return Answer(Heard.RESET)
        got += piece
    words = got.split(b"\r\n", 1)[0].split(b" ")
    if not got.startswith(b"HTTP/") or len(words) < 2 or not words[1].isdigit():
        return Answer(Heard.STATUS)
    status = int(words[1])
    return Answer(Heard.HEALTHY if status == _OK else Heard.STATUS, status)
