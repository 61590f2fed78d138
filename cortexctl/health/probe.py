"""HTTP questions to a model server. Local certificates and proxies of the environment are left out of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx

from cortexctl.errors import ProbeFailed
from cortexctl.spec.desired import Smoke

QUICK = httpx.Timeout(2.0)
SMOKE = httpx.Timeout(120.0, connect=5.0)
"""A first request may compile or allocate what the start left for later."""


UNREACHED = "no connection"


class HttpProber:
    """Implements `apply.protocols.Prober`."""

    def __init__(self) -> None:
        self._http = httpx.Client(trust_env=False, timeout=QUICK)

    def close(self) -> None:
        self._http.close()

    def health(self, endpoint: str) -> str:
        """A starting vLLM refuses or resets the connection, a dead engine answers 503."""
        try:
            status = self._http.get(f"{endpoint}/health").status_code
        except httpx.TimeoutException:
            return "no answer"
        except httpx.HTTPError:
            return UNREACHED
        return "" if status == httpx.codes.OK else f"status {status}"

    def served_names(self, endpoint: str, api_key: str | None) -> Sequence[str]:
        answer = self._ask("GET", f"{endpoint}/v1/models", api_key, None, QUICK)
        try:
            return [str(model["id"]) for model in answer["data"]]
        except (KeyError, TypeError):
            raise ProbeFailed("the answer lists no models") from None

    def smoke(self, endpoint: str, api_key: str | None, task: str, model: str, smoke: Smoke) -> str:
        match task:
            case "embed" | "reward":
                body = {"model": model, "input": smoke.prompt}
                answer = self._ask("POST", f"{endpoint}/v1/embeddings", api_key, body, SMOKE)
                return f"answered with an embedding of {len(_dig(answer, 'data', 0, 'embedding'))} numbers"
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

    def _ask(
        self, method: str, url: str, api_key: str | None, body: dict[str, Any] | None, timeout: httpx.Timeout
    ) -> Any:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        try:
            answer = self._http.request(method, url, json=body, headers=headers, timeout=timeout)
        except httpx.HTTPError as cause:
            raise ProbeFailed(f"no answer ({type(cause).__name__})") from cause
        if answer.status_code != httpx.codes.OK:
            raise ProbeFailed(f"status {answer.status_code}: {_said(answer)}")
        try:
            return answer.json()
        except ValueError:
            raise ProbeFailed("the answer is not JSON") from None


def _dig(value: Any, *path: str | int) -> Any:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            raise ProbeFailed(f"the answer has no {'.'.join(str(p) for p in path)}") from None
    return value


def _said(answer: httpx.Response) -> str:
    """vLLM's own message; its errors come in two shapes."""
    try:
        error = answer.json()["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return answer.text[:200].strip() or answer.reason_phrase
