"""The lines of a log: which process and logger wrote them, which report errors, and which are the insides of a
traceback.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cortexctl.engines.log_bounds import LONGEST_LINE, searched
from cortexctl.text.shorten import shortened

_PREFIX = re.compile(
    r"^(?:[\w.-]+ +\| )?"  # docker compose
    r"(?:\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d) )?"  # docker logs --timestamps
    r"(?:\([A-Za-z_][\w ]*(?:=\d+ )?pid=\d+[^)]*\)[ \t]?)?"  # (EngineCore_DP0 pid=7), (VllmWorker rank=1 pid=7)
    r"(?:\[rank\d+\]: ?)?"
    r"(?:(?:ERROR|INFO|WARNING|CRITICAL|DEBUG) \d\d-\d\d \d\d:\d\d:\d\d \[?[\w./]+:\d+\] ?)?"
)
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_HARMLESS = re.compile(
    r"(?:^|[ )])(?:INFO|WARNING|DEBUG) \d\d-\d\d \d\d:\d\d:\d\d "  # vLLM
    r"|^(?:\(\w+ pid=\d+\) )?(?:INFO|WARNING|DEBUG): "  # uvicorn
    r"|\] (?:INFO|WARNING|DEBUG) [\w.]+:\d+: "  # Hugging Face
    r"|^(?:\[rank\d+\]:)?\[?[IWV]\d{3,4} \d\d:\d\d:\d\d"  # torch
    r"|\b\w*Warning: (?!CUDA initialization)|NCCL INFO|\d%\||Retrying in \d|thrown while requesting"
)
_ERROR_LINE = re.compile(r"Value error, |\b(?:\w+(?:Error|Exception)|error):\s|\bERROR\b|cannot |No such")
_NOT_THE_CAUSE = re.compile(r"For further information visit|See root cause above|(?<!\d)\d+ validation errors? for")
_NOISE = re.compile(r"Route: /|\"(?:GET|POST) /\S* HTTP/1\.[01]\" \d{3}")
_FRAME = re.compile(r"^(?:    |  File \"| *\^+$)|^Traceback \(most recent call last\)")


def last_error_line(log: Sequence[str]) -> str:
    """vLLM's own last error line, without its logger's prefix; if there is none, the last line with text.

    The very last line is often a help link or a reference to an earlier error; those are skipped.
    """
    with_text = [line for line in searched(log) if line.strip() and not _NOISE.search(line)]
    for line in reversed(with_text):
        if _ERROR_LINE.search(line) and not (_NOT_THE_CAUSE.search(line) or _HARMLESS.search(line)):
            return strip_prefix(line)
    return strip_prefix(with_text[-1]) if with_text else ""


def without_frames(log: Sequence[str]) -> list[str]:
    """The log's messages: without the insides of Python tracebacks, the list of routes and the access log."""
    return [line for line in log if line.strip() and not _is_internal(shortened(line, LONGEST_LINE))]


def strip_prefix(line: str) -> str:
    """The line without a prefix like '(EngineCore pid=7) ERROR 11-24 06:00:00 [core.py:1]'."""
    return unprefixed(line).strip()


def unprefixed(line: str) -> str:
    """As `strip_prefix`, but with the indentation, which separates a traceback's frames from pydantic's sentences."""
    return _PREFIX.sub("", _COLOUR.sub("", line), count=1).rstrip()


def may_show_cause(line: str) -> bool:
    """Whether a line can be evidence. vLLM prints many harmless warnings, and repeats its arguments and retries."""
    return bool(line.strip()) and not (_HARMLESS.search(line) or _NOISE.search(line) or _is_frame(line))


def _is_internal(line: str) -> bool:
    return _is_frame(line) or _NOISE.search(line) is not None


def _is_frame(line: str) -> bool:
    return bool(_FRAME.search(unprefixed(line)))
