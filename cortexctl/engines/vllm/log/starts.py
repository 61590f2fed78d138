"""The starts in a log: which lines belong to the last one, and whether it serves."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cortexctl.engines.vllm.log.line import Line
from cortexctl.engines.vllm.log.tracebacks import frames

_BANNER = re.compile(r"vLLM (?:API )?server version|^NVIDIA Release \d|^[ ▄█▀▌▐]{0,60}version \d{1,4}\.\d")
_UP = ("Application startup complete", "Uvicorn running on")
_ALIVE = re.compile(
    r"\"(?:GET|POST) /\S{0,500} HTTP/\d\.\d\" [1-4]\d\d|Avg prompt throughput|Application startup complete"
    r"|Uvicorn running on|Starting vLLM API server(?: \d+)? on "
)
_DEAD = re.compile(
    r"Shutting down|Application shutdown complete|Finished server process|EngineDeadError"
    r"|EngineCore encountered an issue|died unexpectedly|Received signal|SIGTERM|Segfault encountered"
    r"|Fatal Python error|Watchdog caught|Application startup failed"
)
_ERROR = re.compile(r"^[\w.]{1,200}(?:Error|Exception|Interrupt)\b(?::|$)|^(?:Killed|Aborted|Segmentation fault)\b")


_END = re.compile(
    r"Engine core initialization failed|Engine process failed to start|Application shutdown complete"
    r"|Finished server process|^vllm(?: serve)?: error: |^api_server\.py: error: "
)
_ENDS = ("failed", "complete", "Finished", "error: ")
"""One of them is in each line that _END matches; most lines have none."""
_IMPORTS = re.compile(
    r"(?:Automatically detected|No) platform|Available plugins for group|^Traceback \(most recent call"
)
"""What a server prints before its banner, and the engine's processes too."""
_IS_VLLM = re.compile(
    r"vLLM (?:API )?server version|packages/vllm/|bin/vllm\b|vllm\.(?:entrypoints|v1|engine)|^vllm(?: serve)?: error: "
    r"|^usage: (?:vllm|api_server)"
)
_FURTHER_SERVER = re.compile(r"ApiServer_[1-9]")
"""With --api-server-count, each server may print a banner when the engine is ready."""


def begins(line: Line) -> bool:
    """Whether a start begins with this line: the banner, or the parser's refusal before it."""
    if line.text.startswith(("usage: vllm", "usage: api_server")):
        return True
    return _BANNER.search(line.text) is not None and not _FURTHER_SERVER.match(line.process)


def last_start(lines: Sequence[Line]) -> list[Line]:
    """The lines since the last start of each container: Docker keeps the lines of earlier starts in the same log.

    Containers are separate if their names precede the lines, as in the log of a Compose project.
    """
    lines = _without_other_programs(lines)
    beginning = _beginnings(lines)
    return [line for index, line in enumerate(lines) if index >= beginning.get(line.source, 0)]


def _without_other_programs(lines: Sequence[Line]) -> Sequence[Line]:
    """The lines of a Compose project without those of containers in which vLLM does not run, if it runs in any."""
    sources = {line.source for line in lines}
    if len(sources - {""}) < 2:
        return lines
    own = {line.source for line in lines if line.source and (line.process or _IS_VLLM.search(line.text))}
    return [line for line in lines if not line.source or line.source in own] if own else lines


def _beginnings(lines: Sequence[Line]) -> dict[str, int]:
    """Container -> the index of the first line of its last start. A start may fail before its banner."""
    beginning: dict[str, int] = {}
    ended: set[str] = set()
    for index, line in enumerate(lines):
        imports = not line.process and line.source in ended and _IMPORTS.search(line.text)
        if imports or begins(line):
            beginning[line.source] = index
            ended.discard(line.source)
        elif any(sign in line.text for sign in _ENDS) and _END.search(line.text):
            ended.add(line.source)
    return beginning


def is_up(line: Line) -> bool:
    """Whether a server reports with this line that it is up."""
    return any(sign in line.text for sign in _UP)


def since_up(lines: Sequence[Line]) -> list[bool]:
    """For each line whether it follows the last line with which its server is up, if it was ever up: no error before
    that kept it from serving.
    """
    up = {line.source: index + 1 for index, line in enumerate(lines) if is_up(line)}
    return [index >= up.get(line.source, 0) for index, line in enumerate(lines)]


def serves(lines: Sequence[Line]) -> bool:
    """Whether the last start of each container in the log is up, and neither an error nor an end follows."""
    start = last_start(lines)
    inside = frames(start)
    alive: dict[str, bool] = {}
    for line, is_inside in zip(start, inside, strict=True):
        if _ALIVE.search(line.text):
            alive[line.source] = True
        elif begins(line) or (not is_inside and _ends(line)):
            alive[line.source] = False
    containers = {line.source for line in start if line.source}
    return bool(alive) and all(alive.values()) and containers <= alive.keys()


def _ends(line: Line) -> bool:
    if line.level == "warning":
        return False
    return line.level == "error" or _DEAD.search(line.text) is not None or _ERROR.search(line.text) is not None
