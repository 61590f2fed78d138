"""HTTP requests to a model server, over the given reach; the environment's proxies are not used."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Smoke
from cortexctl.engines.base import MAX_TOKENS, PROMPT, Contract, Otherwise, SmokeRequest
from cortexctl.errors import PathFailed, ProbeFailed
from cortexctl.health.health_check import QUICK, query_health
from cortexctl.health.query import ApiRequest, Declined, call_api, call_api_streamed, dig
from cortexctl.health.test_audio import one_second
from cortexctl.observed.health import HealthOutcome, Speed
from cortexctl.reach import Reach

SMOKE = 120.0
"""Seconds for a whole answer. A first request may compile or allocate what the start left for later."""
MEASURED_TOKENS = 64
"""Tokens of a measured request: enough for a rate, and quick on a slow machine."""
MOST_TOKENS = 10**6
"""No plausible answer has more."""

_RELEASE = re.compile(r"\d+\.\d+\.\d+", re.ASCII)


@dataclass(frozen=True, slots=True)
class HttpProber:
    """Implements `apply.protocols.Prober` for the servers of one engine, by its contract."""

    contract: Contract

    def health(self, reach: Reach) -> str:
        """A starting server refuses or resets the connection. Raises PathFailed."""
        answer = query_health(reach, QUICK, self.contract.health)
        if answer.outcome is HealthOutcome.UNREACHED:
            raise PathFailed(answer.why)
        return answer.text

    def served_names(self, reach: Reach, api_key: str | None) -> Sequence[str]:
        answer = call_api(reach, ApiRequest(self.contract.models, api_key, "GET"), QUICK)
        try:
            return [str(model["id"]) for model in answer["data"]]
        except (KeyError, TypeError):
            raise ProbeFailed("the answer lists no models") from None

    def version(self, reach: Reach) -> str:
        """The vLLM release that the server reports; empty if it reports none. A build between two releases counts as
        the later one.
        """
        answer = call_api(reach, ApiRequest(self.contract.version, None, "GET"), QUICK)
        release = _RELEASE.match(str(answer.get("version"))) if isinstance(answer, dict) else None
        return release.group() if release else ""

    def smoke(self, reach: Reach, api_key: str | None, task: str, model: str, smoke: Smoke) -> str:
        requests = self.contract.smoke
        return _send_smoke(reach, api_key, model, smoke, requests.get(task) or requests[""])

    def speed(self, reach: Reach, api_key: str | None, model: str, smoke: Smoke) -> Speed:
        """The speed of a streamed completion: every generating model has that endpoint, with or without a chat
        template.
        """
        body = {
            "model": model,
            "prompt": smoke.prompt,
            "max_tokens": MEASURED_TOKENS,
            **self.contract.speed,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        first, last, tokens = None, 0.0, None
        for at, event in call_api_streamed(reach, ApiRequest(self.contract.completions, api_key, body=body), SMOKE):
            if isinstance(event, dict) and "error" in event:
                raise ProbeFailed(f"its stream ended with an error: {event['error']}")
            if dig(event, "choices"):
                first, last = (at if first is None else first), at
            tokens = dig(event, "usage", "completion_tokens") if event.get("usage") else tokens
        if first is None:
            raise ProbeFailed("it streamed no token")
        if not isinstance(tokens, int) or not 0 <= tokens <= MOST_TOKENS:
            raise ProbeFailed("the streamed response has no token usage")
        return Speed(first, tokens / last)


def _send_smoke(reach: Reach, api_key: str | None, model: str, smoke: Smoke, request: SmokeRequest) -> str:
    """What the server answered, in a few words. Raises ProbeFailed."""
    try:
        answer = call_api(reach, _api_request(api_key, model, smoke, request), SMOKE)
    except Declined as cause:
        other = request.otherwise
        if other is None or not _is_meant(other, cause):
            raise
        return _send_smoke(reach, api_key, model, smoke, other.request) + other.note
    if request.expected:
        dig(answer, *request.expected)
    if not request.shown:
        return request.text
    shown = dig(answer, *request.shown)
    if request.counts:
        shown = _size(shown)
        if request.has_dimensions and smoke.dimensions is not None and shown != smoke.dimensions:
            raise ProbeFailed(
                f"its embedding has {shown} numbers, but gate.smoke.dimensions is {smoke.dimensions}: it is a "
                "different model, or the number is wrong"
            )
    return request.text.format(shown)


def _is_meant(other: Otherwise, cause: Declined) -> bool:
    if other.status is not None:
        return cause.status == other.status
    return re.search(other.pattern, cause.text, re.IGNORECASE) is not None


def _api_request(api_key: str | None, model: str, smoke: Smoke, request: SmokeRequest) -> ApiRequest:
    body = {"model": model, **_filled(request.body, {PROMPT: smoke.prompt, MAX_TOKENS: smoke.max_tokens})}
    if request.is_audio:
        return ApiRequest(request.path, api_key, form_fields=body, file=("tone.wav", one_second()))
    return ApiRequest(request.path, api_key, body=body)


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    """The body with the values of the gate's policy in the places that are named for them."""
    if isinstance(value, Mapping):
        return {key: _filled(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, values) for inner in value]
    return values.get(value, value) if isinstance(value, str) else value


def _size(value: Any) -> int:
    if not isinstance(value, list | str):
        raise ProbeFailed("the embedding is not a list of numbers")
    return len(value)
