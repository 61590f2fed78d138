"""Reads memory numbers from vLLM's own log after a start: every line format of the releases from 0.6.0 on.

Most releases print the parts of the sum in one line per rank. Between 0.11 and 0.25 that line is a debug message, and
only weights, cache and tokens are printed. Several ranks print several lines: the tightest rank counts.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence

from cortexctl.engines.log_bounds import LONGEST_LINE
from cortexctl.engines.measurement import StartLog
from cortexctl.engines.vllm.log.line import read_line
from cortexctl.text.shorten import shortened
from cortexctl.text.units import GIB

MOST_LINES = 5_000
"""The most lines that are kept of those about memory or about the start of a server; a start has some dozens."""
MOST_STARTS = 32
"""This many of the last starts in a log are tried: several API servers of one engine start one after the other."""
_N = r"(-?\d{1,15}(?:\.\d{1,18})?(?:e-?\d{1,2})?)"
_G = rf"{_N} ?G[iI]?[bB]"

_SERVER = re.compile(r"vLLM API server version|█ +version \d")
"""The first line of a server: lines before it belong to an earlier start."""
_VERSION = re.compile(r"LLM engine \(v(\d[^)]{0,80})\)|API server version (\d\S*)")
_LOADED = re.compile(rf"Model loading took {_G}(?: memory)? and {_N} seconds|Loading model weights took {_G}")
_LOAD_TIME = re.compile(rf"Loading (?:model )?weights took {_N} seconds")
_SPLIT = re.compile(
    rf"model weights take {_G}; non_torch_memory takes {_G}; PyTorch activation peak memory takes {_G}; "
    rf"the rest of the memory reserved for KV Cache is {_G}"
)  # V0, 0.6.5 to 0.10.2
_REQUESTED = re.compile(rf"total_gpu_memory \({_G}\) x gpu_memory_utilization \({_N}\) = {_G}")
_RESULTS = re.compile(
    rf"Memory profiling results: total_gpu_memory={_G} initial_memory_usage={_G} peak_torch_memory={_G}"
    rf".* non_torch_memory={_G} kv_cache_size={_G} gpu_memory_utilization={_N}"
)  # V0, 0.6.4
_USAGE = re.compile(
    rf"Free memory on device \({_N}/{_N} GiB\) on startup\. Desired GPU memory utilization is \({_N}, {_G}\)\. "
    rf"Actual usage is (?:{_G} for weight|{_G} for consumed memory \(weights \+ non-torch\)), "
    rf"{_G} for peak activation, (?:{_G} for non-torch memory, )?and {_G} for CUDAGraph memory"
)  # V1: 0.10.2 on, a debug message from 0.11.1 to 0.25; weights and the rest in one number from 0.27 on
_IN_USE = re.compile(rf"Current kv cache memory in use is (?:(\d{{1,18}}) bytes|{_G})")
_PROFILE = re.compile(
    rf"Memory profiling takes .*torch peak memory increase: {_G}; non-torch forward increase memory: {_G}; "
    rf"weights memory: {_G}"
)  # V1, a debug message
_AVAILABLE = re.compile(rf"Available KV cache memory: {_G}|reserved {_G} memory for KV Cache")
_CPU = re.compile(rf"(?:Explicitly|Auto) set \({_N}/{_N}\) GiB for KV cache(?:.* with {_G} requested memory)?")
_CAPTURED = re.compile(rf"Graph capturing finished in {_N} secs, took {_G}")
_ESTIMATED = re.compile(
    rf"Estimated CUDA graph memory: {_G} total|CUDA graph pool memory: {_G} \(actual\), {_G} \(estimated\)"
)
_CHARGED = re.compile(r"CUDA graph memory profiling is enabled")
_BLOCKS = re.compile(r"# \w+ blocks: (\d{1,15})|after num_gpu_blocks is: (\d{1,15})")
_TOKENS = re.compile(r"KV cache size: (\d[\d,]{0,20}) tokens")
_CONCURRENCY = re.compile(rf"Maximum concurrency for (\d[\d,]{{0,20}}) tokens per request: {_N}x")
_INIT = re.compile(rf"init engine \(profile, create kv cache, warmup model\) took {_N} s")

_RELEVANT = tuple(value for value in globals().values() if isinstance(value, re.Pattern))


def read_start_log(log: Iterable[str]) -> StartLog:
    """The last conclusive start in the log. Lines that are not about memory are ignored."""
    cut = (text for line in log for text in _messages(line))
    relevant = list(deque((line for line in cut if any(p.search(line) for p in _RELEVANT)), MOST_LINES))
    starts = [i for i, line in enumerate(relevant) if _SERVER.search(line)]
    for begin in reversed(starts[-MOST_STARTS:]):  # of several API servers the last may start when the engine is ready
        if (usage := _read(relevant[begin:])).is_conclusive:
            return usage
    return _read(relevant)


def _messages(line: str) -> list[str]:
    """The numbers are found behind any prefix; only a record must be read, because its text is escaped."""
    begin = line[:LONGEST_LINE]
    if ("{" in begin and '"' in begin) or 'msg="' in begin:
        return [message.text for message in read_line(line)]
    return [shortened(line, LONGEST_LINE)]


def _read(lines: Sequence[str]) -> StartLog:
    loaded, read, captured = (_all(pattern, lines) for pattern in (_LOADED, _LOAD_TIME, _CAPTURED))
    weights = _most(g[0] or g[2] for g in loaded)
    charged = _charged(lines, captured=bool(captured))
    parts = _sum(lines, weights, charged)
    if charged is None and parts.get("peak") is not None:  # then the log has no other number
        charged = 0.0
    versions = _all(_VERSION, lines)
    cpu = _first(_CPU, lines)
    available = _least([*(g[0] or g[1] for g in _all(_AVAILABLE, lines)), _text(cpu[0])])
    exactly = _least(str(int(g[0]) / GIB) if g[0] else g[1] for g in _all(_IN_USE, lines))
    blocks = _least(g[0] or g[1] for g in _all(_BLOCKS, lines))
    tokens = _least(g[0].replace(",", "") for g in _all(_TOKENS, lines))
    at_once = _all(_CONCURRENCY, lines)
    length, concurrency = min(at_once, key=lambda g: float(g[1])) if at_once else ("", "")
    return StartLog(
        weights_gib=weights if weights is not None else parts.get("weights"),
        non_torch_gib=_round(parts.get("other")),
        transient_gib=_round(parts.get("peak")),
        graphs_gib=charged,
        graphs_captured_gib=_most(g[1] for g in captured),
        requested_gib=_round(parts.get("requested") or cpu[2]),
        total_gib=parts.get("total") or cpu[1],
        free_gib=parts.get("free"),
        available_kv_gib=next((v for v in (exactly, available, parts.get("available")) if v is not None), None),
        num_gpu_blocks=None if blocks is None else int(blocks),
        kv_cache_tokens=None if tokens is None else int(tokens),
        max_concurrency=float(concurrency) if concurrency else None,
        concurrency_len=int(length.replace(",", "")) if length else None,
        vllm_version=versions[0][0] or versions[0][1] if versions else None,
        load_seconds=_most([*(g[1] for g in loaded), *(g[0] for g in read)]),
        read_seconds=_most(g[0] for g in read),
        init_seconds=_most(g[0] for g in _all(_INIT, lines)),
    )


def _sum(lines: Sequence[str], weights: float | None, charged: float | None) -> dict[str, float | None]:
    """The tightest rank's parts, as far as a line separates them."""
    if split := _all(_SPLIT, lines):
        weights_gib, other, peak, rest = (float(v) for v in min(split, key=lambda g: float(g[3])))
        total, _, requested = _first(_REQUESTED, lines)
        parts: dict[str, float | None] = {"weights": weights_gib, "other": other, "peak": peak, "available": rest}
        return parts | {"total": total, "requested": requested}
    if results := _all(_RESULTS, lines):
        total, _, peak, other, rest, share = (float(v) for v in min(results, key=lambda g: float(g[4])))
        alone = None if weights is None else peak - weights
        return {"other": other, "peak": alone, "available": rest, "total": total, "requested": total * share}
    if usage := _all(_USAGE, lines):
        return _of_usage(max(usage, key=_spent), weights, charged)
    if profiled := _all(_PROFILE, lines):
        peak, other, weights_gib = (float(v) for v in max(profiled, key=lambda g: sum(float(v) for v in g)))
        return {"weights": weights_gib, "other": other, "peak": peak}
    return {}


def _of_usage(usage: tuple[str, ...], weights: float | None, charged: float | None) -> dict[str, float | None]:
    """One rank's sum. From 0.27 on its peak includes the memory charged for graphs."""
    free, total, _, requested, alone, consumed, peak, other, _ = usage
    parts: dict[str, float | None] = {"free": float(free), "total": float(total), "requested": float(requested)}
    if alone:
        return parts | {"weights": float(alone), "peak": float(peak), "other": float(other) if other else None}
    parts["peak"] = max(0.0, float(peak) - (charged or 0.0))
    return parts | {"other": None if weights is None else float(consumed) - weights}


def _spent(usage: tuple[str, ...]) -> float:
    return sum(float(v) for v in usage[4:8] if v)


def _charged(lines: Sequence[str], *, captured: bool) -> float | None:
    """Graphs are captured after the cache is allocated; only an estimate that the log counts has reduced the cache."""
    estimated = _most(g[0] or g[2] for g in _all(_ESTIMATED, lines))
    if estimated is not None:
        return estimated if any(_CHARGED.search(line) for line in lines) else 0.0
    return 0.0 if captured else None


def _all(pattern: re.Pattern[str], lines: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(g or "" for g in m.groups()) for m in map(pattern.search, lines) if m]


def _first(pattern: re.Pattern[str], lines: Sequence[str]) -> tuple[float | None, ...]:
    """The groups of the first line that matches, as numbers; all None if no line does."""
    for line in lines:
        if match := pattern.search(line):
            return tuple(float(g) if g else None for g in match.groups())
    return (None,) * pattern.groups


def _most(texts: Iterable[str]) -> float | None:
    return max((float(t) for t in texts if t), default=None)


def _least(texts: Iterable[str]) -> float | None:
    return min((float(t) for t in texts if t), default=None)


def _text(value: float | None) -> str:
    return "" if value is None else str(value)


def _round(value: float | None) -> float | None:
    """As many digits as a log has: differences of its numbers have more."""
    return None if value is None else round(value, 4)
