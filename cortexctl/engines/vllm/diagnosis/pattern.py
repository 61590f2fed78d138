"""What the table is made of: a regex over the log's lines, and what is said when it is found."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Said = tuple[str, str]
"""Cause and fix."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """`explain` gets the match and all lines before it. `vague`: it can have several causes, so exact ones go first."""

    name: str
    regex: re.Pattern[str]
    explain: Callable[[re.Match[str], Sequence[str]], Said]
    vague: bool = False


def said(name: str, regex: str, cause: str, fix: str, *, vague: bool = False) -> Pattern:
    r"""Fixed words; \1 and the like stand for what the regex caught."""
    return Pattern(name, compiled(regex), lambda m, _: (_expand(m, cause), _expand(m, fix)), vague)


def computed(name: str, regex: str, explain: Callable[[re.Match[str]], Said], *, vague: bool = False) -> Pattern:
    """Words that are worked out from what the regex caught."""
    return Pattern(name, compiled(regex), lambda m, _: explain(m), vague)


def compiled(regex: str) -> re.Pattern[str]:
    """For lines that are joined: what may be any character but some ends at a line's end, as "." does. Else one line
    with the pattern's first word on it would be searched on to the end of the log, and so the next.
    """
    return re.compile(re.sub(r"(?<!\\)\[\^", r"[^\\n", regex), re.MULTILINE)


def _expand(match: re.Match[str], template: str) -> str:
    """What the regex did not catch leaves no gap."""
    return re.sub(r" ?\(\)| +(?=[ :;,.]|$)", "", match.expand(template))
