"""HTTP requests to a model server, over the given reach; the environment's proxies are not used."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cortexctl.desired.stack import Smoke
from cortexctl.errors import PathFailed, ProbeFailed
from cortexctl.health.health_check import query_health
from cortexctl.health.query import ApiRequest, Declined, call_api, call_api_streamed, dig
from cortexctl.health.test_audio import one_second
from cortexctl.observed.health import HealthOutcome, Speed
from cortexctl.reach import Reach

QUICK, SMOKE = 2.0, 120.0
"""Seconds for a whole answer. A first request may compile or allocate what the start left for later."""
MEASURED_TOKENS = 64
"""Tokens of a measured request: enough for a rate, and quick on a slow machine."""
MOST_TOKENS = 10**6
"""No plausible answer has more."""

_RELEASE = re.compile(r"\d+\.\d+\.\d+", re.ASCII)
_NO_CHAT = re.compile(r"chat[ _.]?template|not support (?:the )?chat completions", re.IGNORECASE)
"""vLLM's message (0.6.0 to 0.33.0) when a chat is sent to a model without a chat template."""
_NO_SUCH_PATH = 404


class HttpProber:
    """Implements `apply.protocols.Prober`."""

    def health(self, reach: Reach) -> str:
        """A starting vLLM refuses or resets the connection, a dead engine answers 503. Raises PathFailed."""
        answer = query_health(reach, QUICK)
        if answer.outcome is HealthOutcome.UNREACHED:
            raise PathFailed(answer.why)
        return answer.text

    def served_names(self, reach: Reach, api_key: str | None) -> Sequence[str]:
        answer = call_api(reach, ApiRequest("/v1/models", api_key, "GET"), QUICK)
        try:
            return [str(model["id"]) for model in answer["data"]]
        except (KeyError, TypeError):
            raise ProbeFailed("the answer lists no models") from None

    def version(self, reach: Reach) -> str:
        """The vLLM release that the server reports; empty if it reports none. A build between two releases counts as
        the later one.
        """
        answer = call_api(reach, ApiRequest("/version", None, "GET"), QUICK)
        release = _RELEASE.match(str(answer.get("version"))) if isinstance(answer, dict) else None
        return release.group() if release else ""

    def smoke(self, reach: Reach, api_key: str | None, task: str, model: str, smoke: Smoke) -> str:
        about = _Server(reach, api_key, model)
        match task:
            case "embed":
                return about.embedding(smoke)
            case "score":
                answer = about.call("/v1/score", text_1=smoke.prompt, text_2=smoke.prompt)
                return f"answered with a score of {dig(answer, 'data', 0, 'score')}"
            case "classify":
                return about.classification(smoke)
            case "reward":
                return about.pooling(smoke)
            case "transcription":
                return about.transcription()
            case _:
                return about.chat(smoke)

    def speed(self, reach: Reach, api_key: str | None, model: str, smoke: Smoke) -> Speed:
        """The speed of a streamed completion: every generating model has that endpoint, with or without a chat
        template.
        """
        body = {
            "model": model,
            "prompt": smoke.prompt,
            "max_tokens": MEASURED_TOKENS,
            "ignore_eos": True,  # vLLM's own option: it continues where the model would stop
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        first, last, tokens = None, 0.0, None
        for at, event in call_api_streamed(reach, ApiRequest("/v1/completions", api_key, body=body), SMOKE):
            if isinstance(event, dict) and "error" in event:
                raise ProbeFailed(f"its stream broke off: {event['error']}")
            if dig(event, "choices"):
                first, last = (at if first is None else first), at
            tokens = dig(event, "usage", "completion_tokens") if event.get("usage") else tokens
        if first is None:
            raise ProbeFailed("it streamed no token")
        if not isinstance(tokens, int) or not 0 <= tokens <= MOST_TOKENS:
            raise ProbeFailed("the streamed response has no token usage")
        return Speed(first, tokens / last)


class _Server:
    """The first request, chosen by the model's task."""

    def __init__(self, reach: Reach, api_key: str | None, model: str) -> None:
        self._reach, self._api_key, self._model = reach, api_key, model

    def call(self, path: str, **body: Any) -> Any:
        request = ApiRequest(path, self._api_key, body={"model": self._model, **body})
        return call_api(self._reach, request, SMOKE)

    def chat(self, smoke: Smoke) -> str:
        """A chat, as clients send it; a model without a chat template supports completions only."""
        messages = [{"role": "user", "content": smoke.prompt}]
        try:
            answer = self.call("/v1/chat/completions", messages=messages, max_tokens=smoke.max_tokens, temperature=0)
        except Declined as cause:
            if not _NO_CHAT.search(cause.text):
                raise
            return f"{self.completion(smoke)} to a completion, because it has no chat template"
        dig(answer, "choices", 0, "message")
        return f"answered with {dig(answer, 'usage', 'completion_tokens')} tokens to a chat"

    def completion(self, smoke: Smoke) -> str:
        answer = self.call("/v1/completions", prompt=smoke.prompt, max_tokens=smoke.max_tokens, temperature=0)
        dig(answer, "choices", 0, "text")
        return f"answered with {dig(answer, 'usage', 'completion_tokens')} tokens"

    def embedding(self, smoke: Smoke) -> str:
        answer = self.call("/v1/embeddings", input=smoke.prompt)
        size = _size(dig(answer, "data", 0, "embedding"))
        if smoke.dimensions is not None and size != smoke.dimensions:
            raise ProbeFailed(
                f"its embedding has {size} numbers, but gate.smoke.dimensions is {smoke.dimensions}: it is a "
                "different model, or the number is wrong"
            )
        return f"answered with an embedding of {size} numbers"

    def classification(self, smoke: Smoke) -> str:
        """Releases before 0.9.0 have no /classify; they return such a model's scores from /pooling."""
        try:
            answer = self.call("/classify", input=smoke.prompt)
        except Declined as cause:
            if cause.status != _NO_SUCH_PATH:
                raise
            return self.pooling(smoke)
        return f"answered with the class {dig(answer, 'data', 0, 'label')}"

    def pooling(self, smoke: Smoke) -> str:
        """Since 0.6.6; 0.6.5 returns every pooling model's numbers as an embedding."""
        try:
            answer = self.call("/pooling", input=smoke.prompt)
        except Declined as cause:
            if cause.status != _NO_SUCH_PATH:
                raise
            return self.embedding(Smoke(smoke.prompt))
        dig(answer, "data", 0, "data")
        return "answered with pooled numbers"

    def transcription(self) -> str:
        """Since 0.7.3."""
        request = ApiRequest(
            "/v1/audio/transcriptions",
            self._api_key,
            form_fields={"model": self._model, "response_format": "json"},
            file=("tone.wav", one_second()),
        )
        text = dig(call_api(self._reach, request, SMOKE), "text")
        return f"answered one second of audio with {len(str(text))} characters"


def _size(value: Any) -> int:
    if not isinstance(value, list):
        raise ProbeFailed("the embedding is not a list of numbers")
    return len(value)
