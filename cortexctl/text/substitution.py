"""The two forms with braces in a stack's strings: the variable `{{ vars.NAME }}`, and the literal `{{ '{{' }}`.

Whatever else begins with `{{`, `{%` or `{#` is an error: it would be a template for other tools.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cortexctl.dataclass import dataclass

BEGIN = re.compile(r"\{[{%#]")
VARIABLE = re.compile(r"\{\{\s*vars\.(\w+)\s*\}\}")
_LITERAL = rf"\{{\{{\s*'({BEGIN.pattern})'\s*\}}\}}"
_OTHER_TEMPLATES = r"\$\{(?:var\.|vars\.|env:)?([A-Za-z_]\w*)(?:[:?-][^}]*)?\}"
_TOKEN = re.compile(rf"{VARIABLE.pattern}|{_LITERAL}|({BEGIN.pattern})")


@dataclass(frozen=True, slots=True)
class Piece:
    """Of a string: text, or the variable `name`. `is_wrong`: `text` begins neither a variable nor a literal."""

    text: str = ""
    name: str = ""
    is_wrong: bool = False


def pieces_of(text: str) -> Iterator[Piece]:
    """The pieces in order. A literal is a piece of text."""
    end = 0
    for match in _TOKEN.finditer(text):
        if match.start() > end:
            yield Piece(text[end : match.start()])
        name, literal, other = match.groups()
        yield Piece(literal or other or "", name or "", is_wrong=bool(other))
        end = match.end()
    if end < len(text):
        yield Piece(text[end:])


def literal(text: str) -> str:
    """A string whose pieces are this text and no variable."""
    return BEGIN.sub(lambda begin: f"{{{{ '{begin.group()}' }}}}", text)


def template_of_another_tool(text: str) -> str:
    """The variable in `${var.NAME}` or `${NAME}`; empty if the text has none."""
    match = re.search(_OTHER_TEMPLATES, text)
    return match[1] if match else ""
