"""A value of a stack's `args` <-> the arguments of a command line, by the kind of its option in a release."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.catalogue.facts import Option
from cortexctl.engines.vllm.catalogue.value_kinds import convert
from cortexctl.engines.vllm.command.json_values import LISTS, decoded, is_json_value, must_be_json
from cortexctl.engines.vllm.command.word import against, read_word, unread_text

SWITCHES = {"pair", "switch", "word", "truthy"}
TABLES = {"config", "config_or_level", "literal_or_level"}
_NOUNS = {
    "int": "a whole number",
    "float": "a number",
    "size": 'a whole number, or a size such as 8192 or "8k"',
    "size_or_auto": 'a whole number, a size such as "8k", or "auto"',
    "json": "a table",
    "config": "a table",
    "config_or_level": "a table",
    "literal_or_level": "a table",
    "json_or_text": "a table or text",
    "lora": 'text such as "NAME=PATH", or a table with name and path',
    **dict.fromkeys(SWITCHES, "true or false"),
}


def takes_several(option: Option) -> bool:
    """Whether its value is a list."""
    return option.repeats or option.nargs not in {None, "?"}


def wrong_form(option: Option, value: Any) -> str:
    """The problem with the form of a value in the stack: "expected …, found …"; empty if there is none."""
    if not takes_several(option):
        is_json_text = option.kind in {"json", *TABLES} and isinstance(value, str) and decoded(value) is not None
        shown = "JSON in a text" if is_json_text else _shown(value)
        return "" if _has_form(option, value) else f"expected {_noun(option)}, found {shown}"
    if not isinstance(value, list | tuple):
        return f"expected a list of {_nouns(option)}, found {_shown(value)}"
    if isinstance(option.nargs, int) and len(value) != option.nargs:
        return f"expected a list of {option.nargs}, found {len(value)}"
    wrong = [item for item in value if not _has_form(option, item)]
    return f"expected a list of {_nouns(option)}, found {_shown(wrong[0])} in it" if wrong else ""


def refused(option: Option, value: Any, release: Release) -> Iterator[str]:
    """The errors of the release's parser about a value of the right form."""
    try:
        read = canonical(option, value, release)
    except (ValueError, TypeError) as cause:
        yield unread_text(option, value, cause) if isinstance(value, str) else str(cause)
        return
    for item in read if takes_several(option) else [read]:
        yield from against(option, item, release)


def canonical(option: Option, value: Any, release: Release) -> Any:
    """The canonical form of a value in any spelling: 8k is 8000, and 1 is 1.0 if a number with a point is expected.
    Raises ValueError.
    """
    if takes_several(option):
        return [_one(option, item, release) for item in value]
    return _one(option, value, release)


def argv_of(option: Option, value: Any) -> list[str]:
    """The arguments that set it; none for a switch that is off and has no flag for that."""
    if option.kind in SWITCHES:
        return _switch(option, on=bool(value))
    items = [_word(option, item) for item in (value if takes_several(option) else [value])]
    if option.repeats:
        return [word for item in items for word in _use(option, [item])]
    return _use(option, items)


def _use(option: Option, items: list[str]) -> list[str]:
    """Text that begins with a minus would be read as an option, unless `=` ties it to its own."""
    if len(items) == 1 and items[0].startswith("-"):
        return [f"{option.flag}={items[0]}"]
    return [option.flag, *items]


def _switch(option: Option, *, on: bool) -> list[str]:
    if option.kind == "word":
        return [f"{option.flag}={str(on).lower()}"]
    if option.kind == "truthy":
        return [option.flag, "true"] if on else [f"{option.flag}="]
    if on:
        return [option.flag]
    return [option.off_flags[0]] if option.off_flags else []


def _shown(value: Any) -> str:
    """Short, because it may be a whole table."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except TypeError:  # a key that JSON does not support
        text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def _nouns(option: Option) -> str:
    many = {
        "int": "whole numbers",
        "float": "numbers",
        "lora": ('texts such as "NAME=PATH", or tables with name and path'),
    }
    return many.get(option.kind, "texts")


def _noun(option: Option) -> str:
    if option.name in LISTS:
        return "a list"
    if must_be_json(option):
        return "a table"
    return _NOUNS.get(option.kind, "text in quotes")


def _has_form(option: Option, item: Any) -> bool:
    match option.kind:
        case kind if kind in SWITCHES:
            return isinstance(item, bool)
        case "int":
            return type(item) is int
        case "float":
            return type(item) in {int, float} and _is_json(item)
        case "size" | "size_or_auto":
            return type(item) is int or (isinstance(item, str) and _can_be_read(option, item))
        case "json":
            return is_json_value(option, item) and _is_json(item)
        case "json_or_text" if isinstance(item, str) and must_be_json(option):
            return _is_read_as_table(option, item)
        case kind if kind in TABLES:
            return isinstance(item, dict) and _is_json(item)
        case "json_or_text" | "counts" | "counts_or_json" | "colon_pairs" | "lora":
            return isinstance(item, dict | str) and _is_json(item)
        case "items":
            return isinstance(item, list | str)
        case _:
            return isinstance(item, str)


def _can_be_read(option: Option, word: str) -> bool:
    try:
        convert(option.kind, word)
    except ValueError:
        return False
    return True


def _is_read_as_table(option: Option, word: str) -> bool:
    """Whether the release reads JSON in the text; it refuses broken JSON, and ends at any other text."""
    try:
        return is_json_value(option, convert(option.kind, word))
    except ValueError:
        return True  # reported with the parser's own text


def _is_json(value: Any) -> bool:
    """TOML has dates, inf and nan, which JSON does not support."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _one(option: Option, item: Any, release: Release) -> Any:
    if option.kind == "size_or_auto" and item in {-1, "auto", "-1"} and not isinstance(item, bool):
        return "auto"
    if isinstance(item, str) and option.kind not in {"text", "json", *SWITCHES}:
        return read_word(option, item, release)
    if option.kind == "float" and type(item) is int:
        return float(item)
    return item


def _word(option: Option, item: Any) -> str:
    match item:
        case bool():
            return str(item).lower()
        case str():
            return json.dumps(item) if option.kind == "json" and decoded(item) is None else item
        case int():
            return str(item)
        case float():
            return str(int(item)) if item.is_integer() else repr(item)
        case _ if option.kind in {"counts", "counts_or_json"}:
            return ",".join(f"{name}={number}" for name, number in sorted(item.items()))
        case _ if option.kind == "colon_pairs":
            return ",".join(f"{name}:{value}" for name, value in sorted(item.items()))
        case _ if option.kind == "items":
            return ",".join(str(part) for part in item)
        case _ if option.kind == "literal_or_level":
            return repr(_sorted(item))
        case _:
            return json.dumps(item, sort_keys=True, separators=(",", ":"))


def _sorted(value: Any) -> Any:
    return {key: _sorted(value[key]) for key in sorted(value)} if isinstance(value, dict) else value
