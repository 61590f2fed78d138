"""One argument of an option, as the release reads it, and the release's errors about it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.catalogue.facts import Option
from cortexctl.engines.vllm.catalogue.value_kinds import convert
from cortexctl.engines.vllm.command.json_values import JSON_KINDS, LISTS, json_hint
from cortexctl.engines.vllm.command.nested_keys import wrong_keys


def read_word(option: Option, word: str, release: Release) -> Any:
    """One argument as the release reads it. Raises ValueError."""
    if option.kind in {"lora", "adapters"}:
        return _adapter(word, release, plain=option.kind == "adapters")
    return convert(option.kind, word, unset=option.unset, sizes=release.parser.json_sizes)


def against(option: Option, value: Any, release: Release) -> Iterator[str]:
    """The errors of the release's parser about a readable value."""
    left_open = value is None and option.unset and "None" not in (option.choices or ())
    if option.choices is not None and value not in option.choices and not left_open:
        known = ", ".join(str(c) for c in option.choices)
        yield f"{json.dumps(value, ensure_ascii=False)} is not one of {known}"
    if option.strict and isinstance(value, dict):
        yield from (message for _, message in wrong_keys(value, option.config, release))


def _adapter(word: str, release: Release, *, plain: bool) -> Any:
    """NAME=PATH, or JSON with name and path."""
    if word.startswith("{") and not plain and release.parser.lora_json:
        table = json.loads(word)
        if not {"name", "path"} <= set(table):
            raise ValueError("a LoRA module needs a name and a path")
        return table
    if "=" not in word or (word.count("=") > 1 and not release.parser.lora_equals):
        several = ", one word for each adapter, without brackets and commas" if word[:1] == "[" or "," in word else ""
        raise ValueError(f"it is written NAME=PATH{several}")
    return word


def unread_text(option: Option, word: str, cause: Exception) -> str:
    """Why the release cannot read an argument, and the usual slip behind it."""
    slip = json_hint(word) if option.kind in JSON_KINDS else ""
    if option.name in LISTS and not slip and re.fullmatch(r"[\w*./:,-]+", word):
        slip = f"write {json.dumps(word.split(','))}"
    hint = f"; {slip}" if slip else ""
    if isinstance(cause, json.JSONDecodeError):
        return f"it is not JSON ({cause.msg} at character {cause.pos + 1}){hint}"
    if hint:
        return f"{cause}{hint}"
    nouns = {"int": "a whole number", "float": "a number", "size": "a size, for example 8192 or 8k"}
    text = f'"{word}" is not {nouns[option.kind]}' if option.kind in nouns else f'"{word}": {cause}'
    return f"{text}; write {plain}" if (plain := _plain_number(option, word)) else text


def _plain_number(option: Option, word: str) -> str:
    """What to write for 32,768, for 0,9 and for 90%; empty for another text."""
    if option.kind in {"int", "size", "size_or_auto"} and re.fullmatch(r"\d{1,3}([,']\d{3})+", word, re.ASCII):
        return re.sub("[,']", "", word)
    if option.kind == "float" and re.fullmatch(r"\d+,\d+", word, re.ASCII):
        return word.replace(",", ".")
    if option.kind == "float" and re.fullmatch(r"\d{1,3}%", word, re.ASCII):
        return f"{int(word[:-1]) / 100:g}"
    return ""
