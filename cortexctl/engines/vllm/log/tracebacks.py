"""The insides of Python tracebacks: places and source lines, which may contain any text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cortexctl.engines.vllm.log.line import Line

_FRAME = re.compile(
    r"^(?:    |\t|[ ]*File \"[^\"]{1,2000}\", line \d|[ ]*[~^]+[ ]*$|[ ]*\[Previous line repeated)"
    r"|^[ ]*(?:[+][ ])?(?:Exception Group )?Traceback \(most recent call last\)|^[ ]*[+]-[+-]+|^[ ]*[│╭╰❱]"
    r"|^[ ]*raise [\w.]{1,200}(?:\(|$)|^[ ]*(?:return|await|yield) (?:await )?[\w.]{1,200}\("
    r"|^[ ]*(?:self|cls)\.\w{1,100}[.(= ]"
)
_PLACE = re.compile(r"^[ ]*File \"[^\"]{1,2000}\", line \d{1,9}, in ")
_NOT_SOURCE = re.compile(
    r"^(?:File \"|Traceback \(most|[A-Za-z_][\w.]{0,200}(?::[ ]|$)|During handling|The above exception)"
)


def frames(lines: Sequence[Line]) -> list[bool]:
    """For each line whether it is the inside of a traceback, also if a collector removed the indentation."""
    inside: list[bool] = []
    placed: set[tuple[str, str]] = set()
    """Writers whose last line was the place of a frame: a line of source may follow."""
    for line in lines:
        writer = (line.process, line.level)
        is_source = writer in placed and not _NOT_SOURCE.search(line.text)
        placed.discard(writer)
        if 'File "' in line.text and _PLACE.search(line.text):
            placed.add(writer)
        inside.append(is_source or is_frame(line.text))
    return inside


def is_frame(text: str) -> bool:
    """Whether the line alone shows that it is the inside of a traceback."""
    return _FRAME.search(text) is not None
