"""One question to a server, its answer as JSON, and what is wrong with an answer in plain words."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from cortexctl.errors import NobodyListens, PathFailed, ProbeFailed
from cortexctl.health.exchange import Request, answer_to
from cortexctl.health.health_check import CONNECTS
from cortexctl.reach import Reach, Stream

MAX_ANSWER = 4 * 2**20
_OK = 200


class Declined(ProbeFailed):
    """An answer with another status than 200. `said` is the server's own message."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"status {status}: {said}")
        self.status = status
        self.said = said


@dataclass(frozen=True, slots=True)
class Question:
    """A request: `body` is sent as JSON, `form` and `file` (name, content) as a form."""

    path: str
    api_key: str | None = field(default=None, repr=False)
    method: str = "POST"
    body: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    file: tuple[str, bytes] | None = field(default=None, repr=False)


def ask(reach: Reach, question: Question, seconds: float) -> Any:
    """The JSON that is answered. Raises ProbeFailed; Declined where the server answers with an error; PathFailed where
    it cannot be asked at all.
    """
    with _answer(reach, question, seconds) as pieces:
        content = b"".join(pieces)
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ProbeFailed("the answer is not JSON") from None


def ask_stream(reach: Reach, question: Question, seconds: float) -> list[tuple[float, Any]]:
    """(seconds since it was asked, JSON) of every server-sent event but the last, "[DONE]". Raises as `ask`."""
    began = time.monotonic()
    events = []
    rest = b""
    with _answer(reach, question, seconds) as pieces:
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
def _answer(reach: Reach, question: Question, seconds: float) -> Iterator[Iterator[bytes]]:
    """The content in pieces, all of it within so many seconds and MAX_ANSWER bytes."""
    stream = _connection(reach, max(seconds, CONNECTS))
    end = time.monotonic() + seconds
    with _faults_of_the_server(), closing(stream):
        status, pieces = answer_to(stream, _request(question), end, MAX_ANSWER)
        if status != _OK:
            raise Declined(status, _said(b"".join(pieces)))
        yield pieces


def _connection(reach: Reach, seconds: float) -> Stream:
    """What goes wrong here is no fault of the server, unless nobody listens."""
    try:
        return reach.connect(seconds)
    except NobodyListens as cause:
        raise ProbeFailed(f"no answer ({cause.message})") from cause
    except TimeoutError as cause:
        raise PathFailed(f"no connection within {seconds:g} s") from cause
    except OSError as cause:
        raise PathFailed(f"no connection ({cause.strerror or 'it broke off'})") from cause


@contextmanager
def _faults_of_the_server() -> Iterator[None]:
    try:
        yield
    except TimeoutError as cause:
        raise ProbeFailed("no answer in time") from cause
    except OSError as cause:
        raise ProbeFailed("no answer (it hung up)") from cause


def _request(question: Question) -> Request:
    headers = [(b"Authorization", f"Bearer {question.api_key}".encode())] if question.api_key else []
    content = b""
    if question.body is not None:
        headers.append((b"Content-Type", b"application/json"))
        content = json.dumps(question.body).encode()
    elif question.form is not None or question.file is not None:
        kind, content = _form(question)
        headers.append((b"Content-Type", kind.encode()))
    return Request(question.method, question.path, headers, content)


def _form(question: Question) -> tuple[str, bytes]:
    """As browsers send files. httpx lays it out."""
    import httpx

    files = {"file": (*question.file, "audio/wav")} if question.file is not None else None
    laid_out = httpx.Request("POST", "http://localhost/", data=dict(question.form or {}), files=files)
    return laid_out.headers["Content-Type"], laid_out.read()


def dig(value: Any, *path: str | int) -> Any:
    """The part of an answer at `path`. Raises ProbeFailed that names the path."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            raise ProbeFailed(f"the answer has no {'.'.join(str(p) for p in path)}") from None
    return value


def _said(content: bytes) -> str:
    """vLLM's own message; its errors come in two shapes, and those of its web framework in a third."""
    try:
        document = json.loads(content)
        error = document.get("error", document.get("detail", document))
        said = error.get("message", document.get("detail")) if isinstance(error, dict) else error
        return str(said or document.get("message") or error)
    except (ValueError, AttributeError, RecursionError):
        return content[:200].decode(errors="replace").strip() or "no text"
