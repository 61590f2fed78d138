"""The lines of a log as messages, with the level and the process that wrote each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cortexctl.dataclass import dataclass
from cortexctl.engines.log_bounds import LONGEST_LINE, MOST_LINES, MOST_TEXT
from cortexctl.engines.vllm.log.prefixes import COLOUR, LEVELS, PREFIX
from cortexctl.engines.vllm.log.records import record_in
from cortexctl.engines.vllm.log.unlisted_prefix import unlisted_prefix
from cortexctl.text.shorten import shortened

MOST_RECORDS = 8
"""The most records within each other, such as JSON in the JSON of a collector."""


@dataclass(frozen=True, slots=True)
class Line:
    """`text`: the message, with its indentation, which separates the frames of a traceback from its error. `level`:
    "error", "warning", "info", or "" without a header. `process`: EngineCore_DP0, or "". `source`: the name that Docker
    Compose and the like write before a line, or "".
    """

    text: str
    level: str = ""
    process: str = ""
    source: str = ""


def read_line(raw: str, *, longest: int = LONGEST_LINE) -> list[Line]:
    """The messages in one line of a log: one, except if a record contains a message of several lines."""
    return list(_read(raw, Line(""), longest, MOST_RECORDS))


def read_lines(log: Sequence[str], *, longest: int = LONGEST_LINE) -> list[Line]:
    """The messages at the end of a log, within the bounds of `log_bounds`."""
    lines = list(backwards(log, longest=longest))
    lines.reverse()
    foreign = unlisted_prefix([line.text for line in lines])
    return [_without(line, foreign, longest) for line in lines] if foreign else lines


def backwards(log: Sequence[str], *, longest: int = LONGEST_LINE) -> Iterator[Line]:
    """As `read_lines`, from the last message to the first; a caller may stop early."""
    size = number = 0
    for raw in reversed(log[-MOST_LINES:]):
        for line in reversed(read_line(raw, longest=longest)):
            size += len(line.text)
            number += 1
            if size > MOST_TEXT or number > MOST_LINES:
                return
            yield line


def _without(line: Line, foreign: re.Pattern[str], longest: int) -> Line:
    match = foreign.match(line.text)
    if match is None:
        return line
    inner = _peeled(line.text[match.end() :], line, longest)
    return replace(inner, text=inner.text.rstrip())


def _read(raw: str, outer: Line, longest: int, records: int) -> Iterator[Line]:
    """`outer`: the level and the names that the texts around this one give it. The innermost level counts."""
    line = _peeled(raw, outer, longest)
    start = line.text[:1]
    if records and (start == "{" or "=" in line.text[:12]) and (record := record_in(line.text)):
        around = replace(line, level=record.level or line.level)
        for part in record.message.rstrip("\r\n").splitlines():
            yield from _read(part, around, longest, records - 1)
        return
    yield replace(line, text=shortened(line.text, longest).rstrip())


def _peeled(raw: str, outer: Line, longest: int) -> Line:
    head, rest = raw[:longest].lstrip("\ufeff"), raw[longest:]
    if "[" in head:
        head = COLOUR.sub("", head)
    match = PREFIX.match(head)
    if match is None or not match.end():
        return replace(outer, text=head + rest)
    started = [(match.start(group), level) for group, level in LEVELS if match[group] is not None]
    return Line(
        head[match.end() :] + rest,
        max(started)[1] if started else outer.level,
        match["process"] or outer.process,
        match["source"] or outer.source,
    )
