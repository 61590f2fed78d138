"""Colour, if the reader can see it. Colour never carries information alone."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cortexctl.dataclass import dataclass

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
_ONE = "|".join(_CODES.values())
STYLE = re.compile(rf"(\x1b\[(?:0|(?:{_ONE})(?:;(?:{_ONE}))*)m)")
"""The codes that Ink writes, and no others."""


@dataclass(frozen=True, slots=True)
class Ink:
    """Wraps text in ANSI codes when `enabled`; returns it unchanged otherwise."""

    enabled: bool

    def __call__(self, text: str, *styles: str) -> str:
        if not self.enabled or not text or not styles:
            return text
        codes = ";".join(_CODES[s] for s in styles)
        return f"\x1b[{codes}m{text}\x1b[0m"


def ink_for(*, is_terminal: bool, environ: Mapping[str, str], no_color: bool) -> Ink:
    """By the conventions: NO_COLOR wins, FORCE_COLOR next, then whether the stream is a terminal."""
    if no_color or environ.get("NO_COLOR"):
        return Ink(enabled=False)
    return Ink(bool(environ.get("FORCE_COLOR")) or (is_terminal and environ.get("TERM") != "dumb"))
