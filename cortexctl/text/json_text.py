"""JSON that is safe to print: characters that would act on a terminal are written as escapes, which every JSON reader
converts back.
"""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from json.encoder import encode_basestring
from typing import Any

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of characters that have an effect and no visible form."""
_CONSTANTS = {None: "null", True: "true", False: "false"}
_NOT_PLAIN = re.compile(r"[^\n\x20-\x7e]")


def json_text(value: Any, indent: int | None = None) -> str:
    """The value as JSON, with the letters of all languages unescaped."""
    text = json.dumps(value, ensure_ascii=False) if indent is None else _indented(value, "\n", " " * indent)
    return plain_json(text)


def _indented(value: Any, margin: str, step: str) -> str:
    """As json.dumps with an indent, which is some times slower: Python's fast encoder writes one line only. `margin`:
    the line end and the indent of the value.
    """
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    inner = margin + step
    if not value and (kind is dict or kind is list or kind is tuple):
        return "{}" if kind is dict else "[]"
    if kind is dict:
        parts = [f"{_key(key)}: {_indented(part, inner, step)}" for key, part in value.items()]
        return f"{{{inner}{f',{inner}'.join(parts)}{margin}}}"
    if kind is list or kind is tuple:
        parts = [_indented(part, inner, step) for part in value]
        return f"[{inner}{f',{inner}'.join(parts)}{margin}]"
    if value is None or kind is bool:
        return _CONSTANTS[value]
    return repr(value) if kind is int else json.dumps(value, ensure_ascii=False)


def _key(key: Any) -> str:
    """Keys that are not text become text, as json.dumps converts them."""
    return encode_basestring(key) if type(key) is str else json.dumps({key: 0}, ensure_ascii=False)[1:-4]


def plain_json(text: str) -> str:
    """The same JSON with escapes. Outside its strings there is nothing to escape."""
    return text if text.isascii() and text.isprintable() else _NOT_PLAIN.sub(lambda m: _escaped(m[0]), text)


@functools.cache
def _escaped(character: str) -> str:
    if unicodedata.category(character) not in HIDDEN:
        return character
    return json.dumps(character)[1:-1] if ord(character) > 0x7F else f"\\u{ord(character):04x}"
