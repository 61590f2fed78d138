"""The first request to a vLLM, by the task of its model."""

from __future__ import annotations

from collections.abc import Mapping

from cortexctl.engines.base import MAX_TOKENS, PROMPT, Otherwise, SmokeRequest

_NO_SUCH_PATH = 404
_NO_CHAT = r"chat[ _.]?template|not support (?:the )?chat completions"
"""vLLM's message (0.6.0 to 0.33.0) when a chat is sent to a model without a chat template."""
_TOKENS = ("usage", "completion_tokens")

COMPLETION = SmokeRequest(
    "/v1/completions",
    {"prompt": PROMPT, "max_tokens": MAX_TOKENS, "temperature": 0},
    "answered with {} tokens",
    expected=("choices", 0, "text"),
    shown=_TOKENS,
)
CHAT = SmokeRequest(
    "/v1/chat/completions",
    {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": MAX_TOKENS, "temperature": 0},
    "answered with {} tokens to a chat",
    expected=("choices", 0, "message"),
    shown=_TOKENS,
    otherwise=Otherwise(COMPLETION, pattern=_NO_CHAT, note=" to a completion, because it has no chat template"),
)
"""A chat, as clients send it; a model without a chat template supports completions only."""
_EMBEDDING = SmokeRequest(
    "/v1/embeddings",
    {"input": PROMPT},
    "answered with an embedding of {} numbers",
    shown=("data", 0, "embedding"),
    counts=True,
)
EMBEDDING = SmokeRequest(
    _EMBEDDING.path, _EMBEDDING.body, _EMBEDDING.text, shown=_EMBEDDING.shown, counts=True, has_dimensions=True
)
POOLING = SmokeRequest(
    "/pooling",
    {"input": PROMPT},
    "answered with pooled numbers",
    expected=("data", 0, "data"),
    otherwise=Otherwise(_EMBEDDING, status=_NO_SUCH_PATH),
)
"""Since 0.6.6; 0.6.5 returns every pooling model's numbers as an embedding."""
CLASSIFICATION = SmokeRequest(
    "/classify",
    {"input": PROMPT},
    "answered with the class {}",
    shown=("data", 0, "label"),
    otherwise=Otherwise(POOLING, status=_NO_SUCH_PATH),
)
"""Releases before 0.9.0 have no /classify; they return such a model's scores from /pooling."""
SCORE = SmokeRequest(
    "/v1/score", {"text_1": PROMPT, "text_2": PROMPT}, "answered with a score of {}", shown=("data", 0, "score")
)
TRANSCRIPTION = SmokeRequest(
    "/v1/audio/transcriptions",
    {"response_format": "json"},
    "answered one second of audio with {} characters",
    shown=("text",),
    counts=True,
    is_audio=True,
)
"""Since 0.7.3."""

SMOKE: Mapping[str, SmokeRequest] = {
    "": CHAT,
    "embed": EMBEDDING,
    "score": SCORE,
    "classify": CLASSIFICATION,
    "reward": POOLING,
    "transcription": TRANSCRIPTION,
}
