"""The rows of the table: a regex for the log's lines, and the message if it matches."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from cortexctl.dataclass import dataclass

Message = tuple[str, str]
"""Cause and fix."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """`explain` gets the match and all lines before it. `vague`: the pattern can have several causes, so exact ones are
    tried first.
    """

    name: str
    regex: re.Pattern[str]
    explain: Callable[[re.Match[str], Sequence[str]], Message]
    vague: bool = False


def fixed(name: str, regex: str, cause: str, fix: str, *, vague: bool = False) -> Pattern:
    r"""A row with a fixed message; \1 and the like stand for the groups of the regex."""
    return Pattern(name, compiled(regex), lambda m, _: (_expand(m, cause), _expand(m, fix)), vague)


def computed(name: str, regex: str, explain: Callable[[re.Match[str]], Message], *, vague: bool = False) -> Pattern:
    """A row whose message is computed from the groups of the regex."""
    return Pattern(name, compiled(regex), lambda m, _: explain(m), vague)


def compiled(regex: str) -> re.Pattern[str]:
    """For joined lines: a negated character class ends at the end of a line, as "." does. Otherwise one line with the
    pattern's first word would be searched to the end of the log, and so would the next.
    """
    return re.compile(re.sub(r"(?<!\\)\[\^", r"[^\\n", regex), re.MULTILINE)


def _expand(match: re.Match[str], template: str) -> str:
    """A group without a match leaves no gap."""
    return re.sub(r" ?\(\)| +(?=[ :;,.]|$)", "", match.expand(template))
