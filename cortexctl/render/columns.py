"""The columns that a line takes on a terminal, and a line cut to them. Our own colours take none."""

from __future__ import annotations

import unicodedata

from cortexctl.render.style import STYLE

_END, _NO_STYLE = "...", "\x1b[0m"


def columns_of(line: str) -> int:
    """Wide characters take two columns, and marks on other characters none."""
    text = STYLE.sub("", line)
    return len(text) if text.isascii() else sum(map(_columns, text))


def cut_to(line: str, columns: int) -> str:
    """The line if it fits; else its beginning, with dots at its end."""
    if columns_of(line) <= columns:
        return line
    room = max(columns - len(_END), 0)
    fits = ""
    for at, part in enumerate(STYLE.split(line)):  # every second one is a style
        if at % 2:
            fits += part
            continue
        for character in part:
            room -= _columns(character)
            if room < 0:
                return fits + (_NO_STYLE if "\x1b" in fits else "") + _END[:columns]
            fits += character
    return fits


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
