"""A text before the lines that no list has: the lines of one log show it, because it precedes texts of a known form."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

MOST_SHAPES = 8
_BEFORE_HEADER = re.compile(
    r"^([^%\n]{1,120}?)(?=\((?:EngineCore|APIServer|ApiServer|Worker|VllmWorker)\w{0,40} pid=\d|"
    r"(?:ERROR|INFO|WARNING|DEBUG) \d\d-\d\d \d\d:\d\d:\d\d )"
)
_BEFORE_TRACEBACK = re.compile(
    r"^(?! {0,2}File )([^%\"\n]{1,120}?)(?=(?: {2})?File \"[^\"\n]{1,1000}\", line \d{1,9}, in \S{1,200}$"
    r"|Traceback \(most recent call last\):$|pydantic_core\._pydantic_core\.ValidationError: )"
)
_DIGITS = re.compile(r"\d+")


def unlisted_prefix(texts: Sequence[str]) -> re.Pattern[str] | None:
    """What precedes several of vLLM's headers or the lines of a traceback; any digits in it may differ. None if there
    is no such text.
    """
    headers = _shapes(_BEFORE_HEADER, [text for text in texts if "pid=" in text or ":" in text])
    shapes = [shape for shape, count in headers.most_common(MOST_SHAPES) if count > 1]
    tracebacks = _shapes(
        _BEFORE_TRACEBACK, [text for text in texts if text.endswith(":") or 'File "' in text or "pydantic_core" in text]
    )
    shapes += [shape for shape, _ in tracebacks.most_common(MOST_SHAPES) if shape.strip() and shape not in shapes]
    if not shapes:
        return None
    longest_first = sorted(shapes, key=len, reverse=True)
    return re.compile("|".join(re.escape(shape).replace("0", r"\d{1,20}") for shape in longest_first))


def _shapes(pattern: re.Pattern[str], texts: Sequence[str]) -> Counter[str]:
    return Counter(_DIGITS.sub("0", match[1]) for text in texts if (match := pattern.match(text)))
