"""One HTTP request with one deadline for the whole answer, and what is wrong with an answer in plain words."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from cortexctl.errors import ProbeFailed

MAX_ANSWER = 4 * 2**20


class Declined(ProbeFailed):
    """An answer with another status than 200. `said` is the server's own message."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"status {status}: {said}")
        self.status = status
        self.said = said


@dataclass(frozen=True, slots=True)
class Question:
    """A request: `body` is sent as JSON, `form` and `file` (name, content) as a form."""

    url: str
    api_key: str | None = None
    method: str = "POST"
    body: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    file: tuple[str, bytes] | None = field(default=None, repr=False)


def ask(http: httpx.Client, question: Question, seconds: float) -> Any:
    """The JSON that is answered. Raises ProbeFailed; Declined where the server answers with an error."""
    content = b"".join(_answer(http, question, seconds))
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ProbeFailed("the answer is not JSON") from None


def ask_stream(http: httpx.Client, question: Question, seconds: float) -> list[tuple[float, Any]]:
    """(seconds since it was asked, JSON) of every server-sent event but the last, "[DONE]". Raises as `ask`."""
    began = time.monotonic()
    events = []
    rest = b""
    for piece in _answer(http, question, seconds):
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


def _answer(http: httpx.Client, question: Question, seconds: float) -> Iterator[bytes]:
    """The content in pieces, all of it within so many seconds and MAX_ANSWER bytes: httpx's own time-outs count
    between two reads, and a server that drips would never end.
    """
    end = time.monotonic() + seconds
    size = 0
    with _http_faults(), http.stream(**_request(question), timeout=seconds) as answer:
        if answer.status_code != httpx.codes.OK:
            raise Declined(answer.status_code, _said(_begin(answer.iter_bytes(), end)))
        for piece in answer.iter_bytes():
            size += len(piece)
            if time.monotonic() > end or size > MAX_ANSWER:
                raise httpx.ReadTimeout("it does not come to an end")
            yield piece


def _begin(pieces: Iterator[bytes], end: float) -> bytes:
    content = b""
    for piece in pieces:
        content += piece
        if time.monotonic() > end or len(content) > MAX_ANSWER:
            break
    return content


@contextmanager
def _http_faults() -> Iterator[None]:
    try:
        yield
    except httpx.HTTPError as cause:
        raise ProbeFailed(f"no answer ({type(cause).__name__})") from cause


def _request(question: Question) -> dict[str, Any]:
    """As httpx takes it."""
    asked: dict[str, Any] = {"method": question.method, "url": question.url}
    if question.api_key:
        asked["headers"] = {b"Authorization": b"Bearer " + question.api_key.encode()}
    if question.body is not None:
        asked["json"] = question.body
    if question.form is not None:
        asked["data"] = question.form
    if question.file is not None:
        asked["files"] = {"file": (*question.file, "audio/wav")}
    return asked


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
