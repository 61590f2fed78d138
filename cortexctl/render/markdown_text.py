"""Foreign text inside Markdown: it cannot start or end any markup, and it notifies no user.

Code hosts read Markdown twice: once as syntax, and then the resulting text again, for mentions, references and
addresses. A character that is written as an entity is not syntax. A zero-width space splits text that the second
reading would join. Inside code neither is needed.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import quote

from cortexctl.render.sanitise import visible

_GAP = "\N{ZERO WIDTH SPACE}"
_ENTITIES = {ord(c): f"&#{ord(c)};" for c in "&<>|\\`[]*_~$"} | {ord(_GAP): "&#8203;"}
_JOINED = re.compile(
    r"""(?<=[@#!~%$&^])(?=[\w"])     # @user  #1  !1  ~label  %milestone
      | (?<=:)(?=/)                  # https://
      | (?<=:)(?=[a-z0-9_+-]+(?::|$))  # :emoji:
      | (?<=[wW]{3})(?=\.)           # www.
      | (?<=[A-Z]-)(?=\d)            # GH-1, PROJECT-1
    """,
    re.VERBOSE,
)
_COMMIT = re.compile(r"\b[0-9a-fA-F]{7,}\b")
_EDGES = re.compile(r"^ | $")
_TAME = re.compile(r"[^`|\\\s](?:[^`|\\]*[^`|\\\s])?")
_RUN = re.compile(r"`+|~+")
_LEAST_FENCE = 3
_MARKER_LENGTH = 100


def text(foreign: str, most: int = 400) -> str:
    """The text without markup, for a paragraph, a table cell, a list or an HTML block."""
    apart = _COMMIT.sub(_in_sixes, _JOINED.sub(_GAP, visible(clip(foreign, most))))
    return _EDGES.sub("&#32;", apart.translate(_ENTITIES))


def code(foreign: str, most: int = 120) -> str:
    """The text as a code span, for the same places except an HTML block. Otherwise `text` in a code element."""
    shown = visible(clip(foreign, most))
    if _TAME.fullmatch(shown):
        return f"`{shown}`"
    return f"<code>{text(shown, most * 2)}</code>"


def fenced(lines: Iterable[str], language: str) -> str:
    """A code block whose fence is longer than any run of backticks or tildes in it."""
    body = [visible(line) for line in lines]
    longest = max((len(run) for line in body for run in _RUN.findall(line)), default=0)
    fence = "`" * max(_LEAST_FENCE, longest + 1)
    return "\n".join([fence + language, *body, fence])


def marker(**values: str) -> str:
    """The hidden line that identifies the comment. The same values give the same line."""
    pairs = " ".join(f"{name}={_in_comment(value)}" for name, value in values.items())
    return f"<!-- cortexctl:plan {pairs} -->"


def clip(foreign: str, most: int) -> str:
    """About `most` characters at most, and the number of omitted ones. Combined characters are not split."""
    if len(foreign) <= most:
        return foreign
    end = most
    while end > most // 2 and (_hangs_on(foreign[end]) or foreign[end - 1] == "\N{ZERO WIDTH JOINER}"):
        end -= 1
    return f"{foreign[:end]}… ({len(foreign) - end} characters more)"


def _in_sixes(run: re.Match[str]) -> str:
    """Code hosts treat seven or more hexadecimal digits as a commit."""
    return _GAP.join(run[0][i : i + 6] for i in range(0, len(run[0]), 6))


def _hangs_on(character: str) -> bool:
    """Whether it belongs to the character before it: an accent, a variation selector, a joiner."""
    joins = character == "\N{ZERO WIDTH JOINER}" or "\U0001f3fb" <= character <= "\U0001f3ff"
    return joins or unicodedata.category(character) in {"Mn", "Me", "Mc"}


def _in_comment(value: str) -> str:
    """No blank, no `>` and no two hyphens in a row. A value that is too long for a marker ends in a fingerprint."""
    plain = quote(value.encode("utf-8", "surrogatepass"), safe="@").replace("--", "-%2D").replace("--", "-%2D")
    if len(plain) <= _MARKER_LENGTH:
        return plain
    digest = hashlib.sha256(plain.encode()).hexdigest()
    return re.sub(r"%?.?$", "", plain[: _MARKER_LENGTH - 20]) + f"~{digest[:16]}"
