"""HTTP questions to a model server, over the reach that is passed in: no proxy of the environment is used."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cortexctl.desired.stack import Smoke
from cortexctl.errors import PathFailed, ProbeFailed
from cortexctl.health.health_check import ask_health
from cortexctl.health.query import Declined, Question, ask, ask_stream, dig
from cortexctl.health.test_audio import one_second
from cortexctl.observed.health import Heard
from cortexctl.observed.speed import Speed
from cortexctl.reach import Reach

QUICK, SMOKE = 2.0, 120.0
"""Seconds for a whole answer. A first request may compile or allocate what the start left for later."""
MEASURED_TOKENS = 64
"""Tokens that a measured request makes: enough for a rate, and not long on a slow machine."""
MOST_TOKENS = 10**6
"""No honest answer to it has more."""
UNREACHED = "no connection"

_RELEASE = re.compile(r"\d+\.\d+\.\d+", re.ASCII)
_NO_CHAT = re.compile(r"chat[ _.]?template|not support (?:the )?chat completions", re.IGNORECASE)
"""What vLLM (0.6.0 to 0.33.0) says of a chat with a model that has no chat template."""
_NO_SUCH_PATH = 404


class HttpProber:
    """Implements `apply.protocols.Prober`."""

    def health(self, reach: Reach) -> str:
        """A starting vLLM refuses or resets the connection, a dead engine answers 503. Raises PathFailed."""
        answer = ask_health(reach, QUICK)
        if answer.heard is Heard.UNREACHED:
            raise PathFailed(answer.why)
        said = {Heard.HEALTHY: "", Heard.SILENT: "no answer", Heard.STATUS: f"status {answer.status}"}
        return said.get(answer.heard, UNREACHED)

    def served_names(self, reach: Reach, api_key: str | None) -> Sequence[str]:
        answer = ask(reach, Question("/v1/models", api_key, "GET"), QUICK)
        try:
            return [str(model["id"]) for model in answer["data"]]
        except (KeyError, TypeError):
            raise ProbeFailed("the answer lists no models") from None

    def version(self, reach: Reach) -> str:
        """The vLLM release that it says it is; empty where it does not say. A build between two counts as the later."""
        said = ask(reach, Question("/version", None, "GET"), QUICK)
        found = _RELEASE.match(str(said.get("version"))) if isinstance(said, dict) else None
        return found.group() if found else ""

    def smoke(self, reach: Reach, api_key: str | None, task: str, model: str, smoke: Smoke) -> str:
        about = _Server(reach, api_key, model)
        match task:
            case "embed":
                return about.embedding(smoke)
            case "score":
                answer = about.ask("/v1/score", text_1=smoke.prompt, text_2=smoke.prompt)
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
        """Of a completion, streamed: every generating model has those, with or without a chat template."""
        body = {
            "model": model,
            "prompt": smoke.prompt,
            "max_tokens": MEASURED_TOKENS,
            "ignore_eos": True,  # vLLM's own: it goes on where the model would stop
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        first, last, tokens = None, 0.0, None
        for at, event in ask_stream(reach, Question("/v1/completions", api_key, body=body), SMOKE):
            if isinstance(event, dict) and "error" in event:
                raise ProbeFailed(f"its stream broke off: {event['error']}")
            if dig(event, "choices"):
                first, last = (at if first is None else first), at
            tokens = dig(event, "usage", "completion_tokens") if event.get("usage") else tokens
        if first is None:
            raise ProbeFailed("it streamed no token")
        if not isinstance(tokens, int) or not 0 <= tokens <= MOST_TOKENS:
            raise ProbeFailed("its stream does not tell how many tokens it has")
        return Speed(first, tokens / last)


class _Server:
    """The first request, by what the model is for."""

    def __init__(self, reach: Reach, api_key: str | None, model: str) -> None:
        self._reach, self._api_key, self._model = reach, api_key, model

    def ask(self, path: str, **body: Any) -> Any:
        question = Question(path, self._api_key, body={"model": self._model, **body})
        return ask(self._reach, question, SMOKE)

    def chat(self, smoke: Smoke) -> str:
        """A chat, which is what clients want; a model without a chat template can do completions alone."""
        messages = [{"role": "user", "content": smoke.prompt}]
        try:
            answer = self.ask("/v1/chat/completions", messages=messages, max_tokens=smoke.max_tokens, temperature=0)
        except Declined as cause:
            if not _NO_CHAT.search(cause.said):
                raise
            return f"{self.completion(smoke)} to a completion, for it has no chat template"
        dig(answer, "choices", 0, "message")
        return f"answered with {dig(answer, 'usage', 'completion_tokens')} tokens to a chat"

    def completion(self, smoke: Smoke) -> str:
        answer = self.ask("/v1/completions", prompt=smoke.prompt, max_tokens=smoke.max_tokens, temperature=0)
        dig(answer, "choices", 0, "text")
        return f"answered with {dig(answer, 'usage', 'completion_tokens')} tokens"

    def embedding(self, smoke: Smoke) -> str:
        answer = self.ask("/v1/embeddings", input=smoke.prompt)
        size = _size(dig(answer, "data", 0, "embedding"))
        if smoke.dimensions is not None and size != smoke.dimensions:
            raise ProbeFailed(
                f"its embedding has {size} numbers, and gate.smoke.dimensions wants {smoke.dimensions}: "
                "it is another model, or the number is wrong"
            )
        return f"answered with an embedding of {size} numbers"

    def classification(self, smoke: Smoke) -> str:
        """Releases before 0.9.0 have no /classify, and answer such a model's numbers under /pooling."""
        try:
            answer = self.ask("/classify", input=smoke.prompt)
        except Declined as cause:
            if cause.status != _NO_SUCH_PATH:
                raise
            return self.pooling(smoke)
        return f"answered with the class {dig(answer, 'data', 0, 'label')}"

    def pooling(self, smoke: Smoke) -> str:
        """Since 0.6.6; 0.6.5 gives every pooling model's numbers as an embedding."""
        try:
            answer = self.ask("/pooling", input=smoke.prompt)
        except Declined as cause:
            if cause.status != _NO_SUCH_PATH:
                raise
            return self.embedding(Smoke(smoke.prompt))
        dig(answer, "data", 0, "data")
        return "answered with what it pooled"

    def transcription(self) -> str:
        """Since 0.7.3."""
        question = Question(
            "/v1/audio/transcriptions",
            self._api_key,
            form={"model": self._model, "response_format": "json"},
            file=("tone.wav", one_second()),
        )
        text = dig(ask(self._reach, question, SMOKE), "text")
        return f"answered a second of sound with {len(str(text))} characters"


def _size(value: Any) -> int:
    if not isinstance(value, list):
        raise ProbeFailed("the embedding is no list of numbers")
    return len(value)
