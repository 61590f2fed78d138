"""The stage of a starting vLLM, read from its log lines, and whether it progresses."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cortexctl.engines.vllm.log.line import backwards
from cortexctl.engines.vllm.log.starts import begins

SERVER_UP = "server up"
LONGEST_SIGN = 1_000
"""The most characters of a line that are searched for progress: a progress bar is short, and a start is read many
times.
"""

# From the end of a start to its beginning. {} is the percentage of the line. Releases 0.6.0 to 0.32.0.
_STAGES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"Available routes are|Application startup complete"), SERVER_UP),
    (
        re.compile(r"init engine .{0,200}took|Starting vLLM (?:API )?server"),
        "engine ready",
    ),
    (re.compile(r"Graph capturing finished"), "graphs captured"),
    (re.compile(r"Capturing [^:|]{0,60}(?:CUDA|cuda) ?graph[^:|]{0,80}:\s*(\d{1,3})%"), "capturing graphs {}%"),
    (
        re.compile(r"Capturing (?:the model for )?(?:CUDA|cuda) ?graph|Profiling CUDA graph memory"),
        "capturing graphs",
    ),
    (
        re.compile(r"(?:[Ww]armup|Pre-compiling)\b[^|%]{0,120}:\s*(\d{1,3})%|Compiling CuTeDSL kernels:\s*(\d{1,3})%"),
        "warming up kernels {}%",
    ),
    (
        re.compile(r"Warming up (?!chat|the chat|sleep)|JIT kernel warmup start|Autotuning process starts"),
        "warming up kernels",
    ),
    (re.compile(r"(?:GPU|CPU) KV cache size|# (?:GPU|CPU|CUDA|cuda|cpu|gpu) blocks"), "KV cache allocated"),
    (
        re.compile(r"Memory profiling takes|Initial profiling/warmup run took|Available KV cache memory"),
        "profiling memory",
    ),
    (
        re.compile(
            r"Dynamo bytecode transform|Compiling a graph|(?:Cache|cached) the graph|compiled graph|AOT compil"
            r"|[Ss]tarting torch\.compile|torch\.compile (?:takes|took|and)|Using cache directory: .* for vLLM's "
            r"torch\.compile"
        ),
        "compiling",
    ),
    (re.compile(r"Loading (?:model )?weights took|Model loading took"), "weights loaded"),
    (
        re.compile(r"\b[Ll]oading .{0,120}shards:\s*(\d{1,3})%|Loading safetensors using .{0,120}:\s*(\d{1,3})%"),
        "loading weights {}%",
    ),
    (re.compile(r"Starting to load model|Loading weights with"), "loading weights"),
    (
        re.compile(
            r"(?:Fetching \d+ files|Downloading \w+):\s*(\d{1,3})%|\.(?:safetensors|bin|gguf|pt|pth): +(\d{1,3})%"
        ),
        "downloading the model {}%",
    ),
    (
        re.compile(r"Downloading|Fetching \d+ files|Time spent downloading weights"),
        "downloading the model",
    ),
    (re.compile(r"Initializing (?:a V\d|an) LLM engine|Resolved architecture"), "engine starting"),
)
_CLOCK = re.compile(r" ?\[\d+:\d\d.*$|\b\d\d-\d\d \d\d:\d\d:\d\d\b")


def stage(log: Sequence[str]) -> str:
    """The latest stage in the log, with a percentage if vLLM gives one; '' before the first."""
    return latest(log)[0]


def advanced(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether the later reading of a log shows progress compared with the earlier one.

    Progress is a line that names a stage. A bar that is redrawn with a new clock and the same count is not progress,
    and neither are warnings that it still waits.
    """
    now = latest(after)
    return now[0] != "" and now != latest(before)


def latest(log: Sequence[str]) -> tuple[str, str]:
    """The latest stage of the last start, and its line without the clock."""
    for line in backwards(log, longest=LONGEST_SIGN):
        for pattern, text in _STAGES:
            match = pattern.search(line.text)
            if match:
                percent = next((group for group in match.groups() if group), "")
                return text.format(percent), _CLOCK.sub("", line.text)
        if begins(line):
            break
    return "", ""
