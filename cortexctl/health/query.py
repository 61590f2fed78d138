"""One request to a server, its answer as JSON, and errors in plain language."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import field
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.errors import NotListening, PathFailed, ProbeFailed
from cortexctl.health.exchange import Request, answer_to
from cortexctl.health.health_check import CONNECTS
from cortexctl.reach import Reach, Stream

MAX_ANSWER = 4 * 2**20
_OK = 200


class Declined(ProbeFailed):
    """An answer with a status other than 200. `text` is the server's own message."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"status {status}: {text}")
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request: `body` is sent as JSON, `form_fields` and `file` (name, content) as a form."""

    path: str
    api_key: str | None = field(default=None, repr=False)
    method: str = "POST"
    body: Mapping[str, Any] | None = None
    form_fields: Mapping[str, str] | None = None
    file: tuple[str, bytes] | None = field(default=None, repr=False)


def call_api(reach: Reach, request: ApiRequest, seconds: float) -> Any:
    """The answer's JSON. Raises ProbeFailed; Declined if the server answers with an error; PathFailed if the request
    cannot be sent at all.
    """
    with _answer(reach, request, seconds) as pieces:
        content = b"".join(pieces)
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ProbeFailed("the answer is not JSON") from None


def call_api_streamed(reach: Reach, request: ApiRequest, seconds: float) -> list[tuple[float, Any]]:
    """(seconds since the request, JSON) of every server-sent event but the last, "[DONE]". Raises as `call_api`."""
    began = time.monotonic()
    events = []
    rest = b""
    with _answer(reach, request, seconds) as pieces:
        for piece in pieces:
            at = time.monotonic() - began
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                data = line.strip().removeprefix(b"data:").strip() if line.startswith(b"data:") else b""
                if not data or data == b"[DONE]":
                    continue
                try:
                    events.append((at, json.loads(data)))
                except (ValueError, RecursionError):
                    raise ProbeFailed("an event of the answer is not JSON") from None
    return events


@contextmanager
def _answer(reach: Reach, request: ApiRequest, seconds: float) -> Iterator[Iterator[bytes]]:
    """The content in pieces, all within this many seconds and MAX_ANSWER bytes."""
    stream = _connection(reach, max(seconds, CONNECTS))
    end = time.monotonic() + seconds
    with _faults_of_the_server(), closing(stream):
        status, pieces = answer_to(stream, _http_request(request), end, MAX_ANSWER)
        if status != _OK:
            raise Declined(status, _error_text(b"".join(pieces)))
        yield pieces


def _connection(reach: Reach, seconds: float) -> Stream:
    """A failure here is not the server's fault, unless nothing listens at its port."""
    try:
        return reach.connect(seconds)
    except NotListening as cause:
        raise ProbeFailed(f"no answer ({cause.message})") from cause
    except TimeoutError as cause:
        raise PathFailed(f"no connection within {seconds:g} s") from cause
    except OSError as cause:
        raise PathFailed(f"no connection ({cause.strerror or 'it was closed'})") from cause


@contextmanager
def _faults_of_the_server() -> Iterator[None]:
    try:
        yield
    except TimeoutError as cause:
        raise ProbeFailed("no answer in time") from cause
    except OSError as cause:
        raise ProbeFailed("no answer (the server closed the connection)") from cause


def _http_request(request: ApiRequest) -> Request:
    headers = [(b"Authorization", f"Bearer {request.api_key}".encode())] if request.api_key else []
    content = b""
    if request.body is not None:
        headers.append((b"Content-Type", b"application/json"))
        content = json.dumps(request.body).encode()
    elif request.form_fields is not None or request.file is not None:
        kind, content = _encoded_form(request)
        headers.append((b"Content-Type", kind.encode()))
    return Request(request.method, request.path, headers, content)


def _encoded_form(request: ApiRequest) -> tuple[str, bytes]:
    """A form with a file, as browsers send it; httpx encodes it."""
    import httpx

    files = {"file": (*request.file, "audio/wav")} if request.file is not None else None
    laid_out = httpx.Request("POST", "http://localhost/", data=dict(request.form_fields or {}), files=files)
    return laid_out.headers["Content-Type"], laid_out.read()


def dig(value: Any, *path: str | int) -> Any:
    """The part of an answer at `path`. Raises ProbeFailed, which names the path."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            raise ProbeFailed(f"the answer has no {'.'.join(str(p) for p in path)}") from None
    return value


def _error_text(content: bytes) -> str:
    """vLLM's own message. Its errors have two shapes; those of its web framework have a third."""
    try:
        document = json.loads(content)
        error = document.get("error", document.get("detail", document))
        text = error.get("message", document.get("detail")) if isinstance(error, dict) else error
        return str(text or document.get("message") or error)
    except (ValueError, AttributeError, RecursionError):
        return content[:200].decode(errors="replace").strip() or "no text"
