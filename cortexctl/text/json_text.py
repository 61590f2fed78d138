"""JSON that is safe to print: characters that would act on a terminal are written as escapes, which every JSON reader
converts back.
"""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from typing import Any

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of characters that have an effect and no visible form."""
_NOT_PLAIN = re.compile(r"[^\n\x20-\x7e]")


def json_text(value: Any, indent: int | None = None) -> str:
    """The value as JSON, with the letters of all languages unescaped."""
    return plain_json(json.dumps(value, indent=indent, ensure_ascii=False))


def plain_json(text: str) -> str:
    """The same JSON with escapes. Outside its strings there is nothing to escape."""
    return text if text.isascii() and text.isprintable() else _NOT_PLAIN.sub(lambda m: _escaped(m[0]), text)


@functools.cache
def _escaped(character: str) -> str:
    if unicodedata.category(character) not in HIDDEN:
        return character
    return json.dumps(character)[1:-1] if ord(character) > 0x7F else f"\\u{ord(character):04x}"
