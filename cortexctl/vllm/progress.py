"""What a starting vLLM is doing, read from its log lines."""

from __future__ import annotations

import re
from collections.abc import Sequence

SERVER_UP = "server up"

_STAGES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"Available routes are|Application startup complete"), SERVER_UP),
    (re.compile(r"Graph capturing finished|init engine .*took"), "engine ready"),
    (re.compile(r"Capturing CUDA graph[^:]*:\s*(\d+)%"), "capturing graphs {}%"),
    (re.compile(r"Capturing (?:CUDA|cuda) ?graph"), "capturing graphs"),
    (re.compile(r"GPU KV cache size|CPU KV cache size|# (?:GPU|CPU|cpu) blocks"), "KV cache allocated"),
    (
        re.compile(r"Dynamo bytecode transform|Compiling a graph|compiled graph|torch\.compile (?:takes|took)"),
        "compiling",
    ),
    (re.compile(r"Loading weights took|Model loading took"), "weights loaded"),
    (re.compile(r"(?:Loading|loading) .*checkpoint shards:\s*(\d+)%"), "loading weights {}%"),
    (re.compile(r"Starting to load model"), "loading weights"),
    (re.compile(r"Downloading|Fetching \d+ files"), "downloading the model"),
    (re.compile(r"Initializing a V\d|Resolved architecture"), "engine starting"),
)


def stage(log: Sequence[str]) -> str:
    """The latest stage that the log shows, with a percentage where vLLM gives one; '' before the first."""
    for line in reversed(log):
        for pattern, text in _STAGES:
            match = pattern.search(line)
            if match:
                return text.format(*match.groups())
    return ""
