"""The lines of a log that report errors, and those that only point to another line or warn."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cortexctl.engines.vllm.log.line import Line, read_line, read_lines
from cortexctl.engines.vllm.log.starts import last_start
from cortexctl.engines.vllm.log.tracebacks import frames

_HARMLESS = re.compile(
    r"(?:^|[ )\]])(?:INFO|WARNING|DEBUG) \d\d-\d\d \d\d:\d\d:\d\d "  # a header behind a text that is not known
    r"|^[^a-z]{0,60}\b(?<!NCCL )(?:INFO|WARNING|WARN|DEBUG)\b[^\w]"
    r"|^(?:[\w.]{1,40} )?(?:warning|[Nn]ote|NOTE|info) ?: "  # compilers
    r"|^\s*warnings\.warn\(|^\W{0,4}\u26a0"
    r"|\b\w*Warning: (?!CUDA initialization)|NCCL (?:INFO|TRACE)|\d%\||Retrying in \d|thrown while requesting"
)
_ERROR_LINE = re.compile(r"Value error, |\b(?:\w+(?:Error|Exception)|error):\s|\bERROR\b|cannot |No such")
_POINTER = re.compile(
    r"For further information visit|To enable traceback see|(?<!\d)\d+ validation errors? for|^Process [\w:.-]+:$"
    r"|[Ss]ee (?:the )?(?:root cause|stack ?trace|traceback|errors?|logs?|messages?)\b.{0,40}\b(?:above"
    r"|for the root|for root)"
    r"|(?:stack ?trace|traceback|logs?|errors?|messages?) above"
    r"|above for (?:the |more )?(?:root|details|information|error)"
    r"|Failed core proc|(?:Engine core|WorkerProc|Engine) initialization failed|Engine process failed to start"
    r"|(?:EngineCore|Engine core|WorkerProc|Worker) (?:failed to start|hit an exception|encountered an? )"
    r"|EngineDeadError|died unexpectedly|direct cause of the following|During handling of the above"
    r"|^[^a-z]{0,20}[Ss]hutting down|leaked (?:semaphore|shared_memory)|destroy_process_group"
)
"""Lines that name no error, but another line, another process or a page."""
_NOISE = re.compile(r"Route: /|\"(?:GET|POST) /\S* HTTP/1\.[01]\" \d{3}")


def evidence(lines: Sequence[Line]) -> list[bool]:
    """For each line whether it can be evidence. vLLM and its libraries print many harmless warnings, and they repeat
    arguments and retries; the source in a traceback contains the texts of other errors.
    """
    return [
        not is_frame
        and line.level not in {"info", "warning"}
        and bool(line.text.strip())
        and not (_HARMLESS.search(line.text) or _NOISE.search(line.text))
        for line, is_frame in zip(lines, frames(lines), strict=True)
    ]


def last_error_line(log: Sequence[str]) -> str:
    """vLLM's own last error line, without what precedes it; if there is none, the last line with text.

    The very last line is often a help link or a reference to an earlier error; those are skipped.
    """
    lines = last_start(read_lines(log))
    inside = frames(lines)
    messages = [
        line
        for line, is_frame in zip(lines, inside, strict=True)
        if line.text.strip() and not is_frame and not _NOISE.search(line.text) and not _POINTER.search(line.text)
    ]
    for line in reversed(messages):
        if _reports_error(line):
            return line.text.strip()
    return messages[-1].text.strip() if messages else ""


def without_frames(log: Sequence[str]) -> list[str]:
    """The log's messages: without the insides of Python tracebacks, the list of routes and the access log."""
    read = [(raw, line) for raw in log if raw.strip() for line in read_line(raw)[:1]]
    inside = frames([line for _, line in read])
    return [
        raw
        for (raw, line), is_frame in zip(read, inside, strict=True)
        if line.text.strip() and not is_frame and not _NOISE.search(line.text)
    ]


def _reports_error(line: Line) -> bool:
    if line.level in {"info", "warning"} or _HARMLESS.search(line.text):
        return False
    return line.level == "error" or _ERROR_LINE.search(line.text) is not None
