"""Converts an argument as vLLM's parser does, by the kind of its option. Verified against every release's own
functions.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable
from typing import Any


def order_of_choice(choice: Any) -> tuple[bool, bool, Any]:
    """None, then numbers, then text."""
    return choice is not None, isinstance(choice, str), choice or 0 if not isinstance(choice, str) else choice


_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kKmMgGtT])", re.ASCII)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}


def convert(kind: str, word: str, *, unset: bool = False, sizes: bool = False) -> Any:
    """The value of one argument. Raises ValueError if vLLM refuses it.

    `unset`: the option accepts '' and 'None' as "not set". `sizes`: the release accepts 8k as a number in a config's
    JSON. The keys of a config object are not checked.
    """
    if unset and word in {"", "None"}:
        return None
    if sizes and kind == "config":
        word = _with_plain_numbers(word)
    return _READERS.get(kind, str)(word)


def _size(word: str) -> int:
    """8k is 8000 and 8K is 8192; 1.5k is 1500 and 1.5K is an error. Raises ValueError."""
    match = _SIZE.fullmatch(word.strip())
    if not match:
        return int(word)
    number, suffix = match.groups()
    if suffix.islower():
        size = float(number) * int(1000 ** _POWERS[suffix])  # a float, as in vLLM
        if math.isinf(size):
            raise ValueError(f"{number[:20]}… is too large for a number")
        return int(size)
    return int(number) * int(1024 ** _POWERS[suffix.lower()])


def _with_plain_numbers(text: str) -> str:
    """JSON with numbers like 8k outside of strings written out in full."""
    parts = re.split(r'("(?:[^"\\]|\\.)*")', text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"\b\d+(?:\.\d+)?[kKmMgGtT]\b", lambda m: str(_size(m.group())), parts[i])
    return "".join(parts)


def _size_or_auto(word: str) -> int:
    return -1 if word.strip().lower() in {"-1", "auto"} else _size(word)


def _word(word: str) -> bool:
    if word.lower() not in {"true", "false"}:
        raise ValueError(f"{word!r} is neither true nor false")
    return word.lower() == "true"


def _object(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    return value


def _literal(word: str) -> Any:
    try:
        return ast.literal_eval(word)
    except (SyntaxError, MemoryError, RecursionError) as fault:
        raise ValueError(str(fault)) from fault


def _level_or(read: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda word: int(word) if word in {"0", "1", "2", "3"} else _object(read(word))


def _json_or_text(word: str) -> Any:
    return json.loads(word) if re.fullmatch(r"(?s)\s*{.*}\s*", word) else word


def _counts(word: str) -> dict[str, int] | None:
    """image=2,video=1"""
    if not word:
        return None
    pairs = [part.split("=") for part in word.split(",")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("each item is KEY=NUMBER")
    return {key: int(number) for key, number in pairs}


def _colon_pairs(word: str) -> dict[str, str]:
    pairs = [part.split(":") for part in word.split(",")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("each item is KEY:VALUE")
    return dict(pairs)


def _counts_or_json(word: str) -> Any:
    """The JSON reader of 0.8.5 to 0.9.2 still accepted key=value, but not an empty value."""
    if not word:
        raise ValueError("each item is KEY=NUMBER")
    return _object(json.loads(word)) if re.fullmatch(r"{.*}", word) else _counts(word)


def _items(word: str) -> list[int | str]:
    return [int(part) if part.strip().isdigit() else part.strip() for part in word.split(",")]


_READERS: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "size": _size,
    "size_or_auto": _size_or_auto,
    "truthy": bool,
    "word": _word,
    "json": json.loads,
    "json_or_text": _json_or_text,
    "config": lambda word: _object(json.loads(word)),
    "config_or_level": _level_or(json.loads),
    "literal_or_level": _level_or(_literal),
    "counts": _counts,
    "counts_or_json": _counts_or_json,
    "colon_pairs": _colon_pairs,
    "items": _items,
    "lower": lambda word: word.lower().replace("-", "_"),
    "text_or_none": lambda word: "" if word.lower() == "none" else word,
}
"""Kind -> the reader of an argument; for every other kind the argument itself is the value."""
