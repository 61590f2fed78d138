# ruff: noqa: INP001 - scripts beside each other, not a package
"""Asking a code host's API: no redirects, a few tries, and what it answers told apart from that it does not answer."""

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
"""Seconds; also what GitHub wants after a limit of which it does not say how long it holds."""

T = TypeVar("T")


class Answer(NamedTuple):
    content: Any
    has_next_page: bool


class Refused(Exception):
    """The host has answered, and would answer the same again."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"HTTP {status} {said}".strip())
        self.status = status


class Busy(Exception):
    """The host may answer in a while: after `wait` seconds, where it says so."""

    def __init__(self, said: str, wait: float | None = None) -> None:
        super().__init__(said)
        self.wait = wait


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would carry the token along to wherever it is sent."""

    def redirect_request(self, *_: Any) -> None:
        return None


def ask(method: str, url: str, headers: Mapping[str, str], content: Any = None) -> Answer:
    """One request. Raises Refused or Busy."""
    sent = {"Content-Type": "application/json", "User-Agent": "cortexctl-plan", **headers}
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, sent, method=method)  # noqa: S310 - the pipeline says where its host is
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=TIMEOUT) as answer:
            return Answer(json.loads(answer.read() or b"null"), 'rel="next"' in answer.headers.get("Link", ""))
    except urllib.error.HTTPError as cause:
        raise _meaning(cause) from cause
    except (OSError, http.client.HTTPException, ValueError) as cause:
        raise Busy(str(getattr(cause, "reason", cause))) from cause


def patiently(action: Callable[[], T]) -> T:
    """Does it again while the host is busy. The whole of it: what was written although the answer was an error is then
    found, and not written twice.
    """
    for attempt in range(TRIES - 1):
        try:
            return action()
        except Busy as cause:
            time.sleep(min(LONGEST_WAIT, 2**attempt if cause.wait is None else cause.wait))
    return action()


def notice(said: str) -> None:
    """What a reader of the job should know, and the job does not fail for."""
    _say("notice", said)


def error(said: str) -> None:
    _say("error", said)


def _say(kind: str, said: str) -> None:
    """GitHub shows such lines beside the job; what the host said must not become a line of its own there."""
    if os.environ.get("GITHUB_ACTIONS"):
        plain = said.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        sys.stdout.write(f"::{kind} title=cortexctl plan::{plain}\n")
    else:
        sys.stdout.write(f"{kind.capitalize()}: {' '.join(said.split())}\n")


def _meaning(cause: urllib.error.HTTPError) -> Refused | Busy:
    try:
        text = cause.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        text = ""
    said = _message(text)
    wait = cause.headers.get("Retry-After", "")
    limited = cause.code == 429 or (
        cause.code == 403
        and ("rate limit" in said.lower() or bool(wait) or cause.headers.get("X-RateLimit-Remaining") == "0")
    )
    if not limited and cause.code < 500:
        return Refused(cause.code, said)
    return Busy(f"HTTP {cause.code} {said}".strip(), int(wait) if wait.isdigit() else LONGEST_WAIT if limited else None)


def _message(text: str) -> str:
    """GitHub says `message`, GitLab `message` or `error`; a proxy says a page of HTML, which nobody wants to read."""
    try:
        content = json.loads(text)
    except ValueError:
        return ""
    said = content.get("message") or content.get("error") if isinstance(content, dict) else ""
    return str(said or "")[:300]
