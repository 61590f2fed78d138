# ruff: noqa: INP001 - separate scripts, not a package
"""Requests to the API of a code host: no redirects, a few retries, and a refusal is not the same as no answer."""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

TRIES = 4
TIMEOUT = 30
LONGEST_WAIT = 60
"""Seconds; also the wait that GitHub requires after a rate limit without a stated duration."""

T = TypeVar("T")


class Answer(NamedTuple):
    content: Any
    has_next_page: bool


class Refused(Exception):
    """The host has answered, and would answer the same again."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status} {message}".strip())
        self.status = status


class Busy(Exception):
    """The host may answer later: after `wait` seconds, if it states them."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would send the token to the new address."""

    def redirect_request(self, *_: Any) -> None:
        return None


def send(method: str, url: str, headers: Mapping[str, str], content: Any = None) -> Answer:
    """One request. Raises Refused or Busy."""
    sent = {"Content-Type": "application/json", "User-Agent": "cortexctl-plan", **headers}
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, sent, method=method)  # noqa: S310 - the pipeline defines its host
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=TIMEOUT) as answer:
            return Answer(json.loads(answer.read() or b"null"), 'rel="next"' in answer.headers.get("Link", ""))
    except urllib.error.HTTPError as cause:
        raise _meaning(cause) from cause
    except (OSError, http.client.HTTPException, ValueError) as cause:
        raise Busy(str(getattr(cause, "reason", cause))) from cause


def patiently(action: Callable[[], T]) -> T:
    """Repeats the whole action while the host is busy. So if a comment was written although the answer was an error, it
    is found, and not written twice.
    """
    for attempt in range(TRIES - 1):
        try:
            return action()
        except Busy as cause:
            time.sleep(min(LONGEST_WAIT, 2**attempt if cause.wait is None else cause.wait))
    return action()


def notice(message: str) -> None:
    """Information for the reader of the job that does not fail it."""
    _annotate("notice", message)


def error(message: str) -> None:
    _annotate("error", message)


def _annotate(kind: str, message: str) -> None:
    """GitHub shows such lines next to the job; a message of the host must not become a line of its own."""
    if os.environ.get("GITHUB_ACTIONS"):
        plain = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        sys.stdout.write(f"::{kind} title=cortexctl plan::{plain}\n")
    else:
        sys.stdout.write(f"{kind.capitalize()}: {' '.join(message.split())}\n")


def _meaning(cause: urllib.error.HTTPError) -> Refused | Busy:
    try:
        text = cause.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        text = ""
    message = _message(text)
    wait = cause.headers.get("Retry-After", "")
    limited = cause.code == 429 or (
        cause.code == 403
        and ("rate limit" in message.lower() or bool(wait) or cause.headers.get("X-RateLimit-Remaining") == "0")
    )
    if not limited and cause.code < 500:
        return Refused(cause.code, message)
    return Busy(
        f"HTTP {cause.code} {message}".strip(), int(wait) if wait.isdigit() else LONGEST_WAIT if limited else None
    )


def _message(text: str) -> str:
    """GitHub sends `message`, GitLab `message` or `error`. A proxy sends a page of HTML, which is dropped."""
    try:
        content = json.loads(text)
    except ValueError:
        return ""
    message = content.get("message") or content.get("error") if isinstance(content, dict) else ""
    return str(message or "")[:300]
