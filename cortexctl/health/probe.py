"""HTTP questions to a model server. Local certificates and proxies of the environment are left out of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from typing import Any

import httpx

from cortexctl.errors import ProbeFailed
from cortexctl.health.ask import ask_health
from cortexctl.observed.health import Heard
from cortexctl.spec.desired import Smoke

QUICK, SMOKE = 2.0, 120.0
"""Seconds for a whole answer. A first request may compile or allocate what the start left for later."""


_RELEASE = re.compile(r"\d+\.\d+\.\d+", re.ASCII)
MAX_ANSWER = 4 * 2**20
UNREACHED = "no connection"


class HttpProber:
    """Implements `apply.protocols.Prober`."""

    def __init__(self) -> None:
        self._http = httpx.Client(trust_env=False)

    def close(self) -> None:
        self._http.close()

    def health(self, endpoint: str) -> str:
        """A starting vLLM refuses or resets the connection, a dead engine answers 503."""
        answer = ask_health(endpoint, QUICK)
        said = {Heard.HEALTHY: "", Heard.SILENT: "no answer", Heard.STATUS: f"status {answer.status}"}
        return said.get(answer.heard, UNREACHED)

    def served_names(self, endpoint: str, api_key: str | None) -> Sequence[str]:
        answer = self._ask("GET", f"{endpoint}/v1/models", api_key, None, QUICK)
        try:
            return [str(model["id"]) for model in answer["data"]]
        except (KeyError, TypeError):
            raise ProbeFailed("the answer lists no models") from None

    def version(self, endpoint: str) -> str:
        """The vLLM release that it says it is; empty where it does not say. A build between two counts as the later."""
        said = self._ask("GET", f"{endpoint}/version", None, None, QUICK)
        found = _RELEASE.match(str(said.get("version"))) if isinstance(said, dict) else None
        return found.group() if found else ""

    def smoke(self, endpoint: str, api_key: str | None, task: str, model: str, smoke: Smoke) -> str:
        match task:
            case "embed" | "reward":
                body = {"model": model, "input": smoke.prompt}
                answer = self._ask("POST", f"{endpoint}/v1/embeddings", api_key, body, SMOKE)
                return f"answered with an embedding of {_size(_dig(answer, 'data', 0, 'embedding'))} numbers"
            case "score":
                body = {"model": model, "text_1": smoke.prompt, "text_2": smoke.prompt}
                answer = self._ask("POST", f"{endpoint}/v1/score", api_key, body, SMOKE)
                return f"answered with a score of {_dig(answer, 'data', 0, 'score')}"
            case "classify":
                body = {"model": model, "input": smoke.prompt}
                answer = self._ask("POST", f"{endpoint}/classify", api_key, body, SMOKE)
                return f"answered with the class {_dig(answer, 'data', 0, 'label')}"
            case _:
                return self._generate(endpoint, api_key, model, smoke)

    def _generate(self, endpoint: str, api_key: str | None, model: str, smoke: Smoke) -> str:
        """A completion, which every generating model has; chat needs a template that not all bring."""
        body = {"model": model, "prompt": smoke.prompt, "max_tokens": smoke.max_tokens, "temperature": 0}
        answer = self._ask("POST", f"{endpoint}/v1/completions", api_key, body, SMOKE)
        _dig(answer, "choices", 0, "text")
        return f"answered with {_dig(answer, 'usage', 'completion_tokens')} tokens"

    def _ask(self, method: str, url: str, api_key: str | None, body: dict[str, Any] | None, timeout: float) -> Any:
        try:
            status, content = self._bounded(method, url, timeout, api_key, body)
        except httpx.HTTPError as cause:
            raise ProbeFailed(f"no answer ({type(cause).__name__})") from cause
        if status != httpx.codes.OK:
            raise ProbeFailed(f"status {status}: {_said(content)}")
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise ProbeFailed("the answer is not JSON") from None

    def _bounded(
        self, method: str, url: str, seconds: float, api_key: str | None = None, body: dict[str, Any] | None = None
    ) -> tuple[int, bytes]:
        """(status, content), all of it within so many seconds and MAX_ANSWER bytes: httpx's own time-outs count
        between two reads, and a server that drips would never end.
        """
        headers = {b"Authorization": b"Bearer " + api_key.encode()} if api_key else None
        end = time.monotonic() + seconds
        content = b""
        with self._http.stream(method, url, json=body, headers=headers, timeout=seconds) as answer:
            for piece in answer.iter_bytes():
                content += piece
                if time.monotonic() > end or len(content) > MAX_ANSWER:
                    raise httpx.ReadTimeout("it does not come to an end")
            return answer.status_code, content


def _size(value: Any) -> int:
    if not isinstance(value, list):
        raise ProbeFailed("the embedding is no list of numbers")
    return len(value)


def _dig(value: Any, *path: str | int) -> Any:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            raise ProbeFailed(f"the answer has no {'.'.join(str(p) for p in path)}") from None
    return value


def _said(content: bytes) -> str:
    """vLLM's own message; its errors come in two shapes."""
    try:
        error = json.loads(content)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError, RecursionError):
        return content[:200].decode(errors="replace").strip() or "no text"
