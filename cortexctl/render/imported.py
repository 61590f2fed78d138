"""A model's block for a stack, as TOML with a word about everything that its reader must know."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cortexctl.render.visible import visible

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_MARKS = re.compile(r"\{\{|\{%|\{#")
_TABLES = ("args", "env", "secrets", "rollout")


def imported_block(
    name: str, table: Mapping[str, Any], notes: Mapping[str, str], ignored: Mapping[str, str], told: Sequence[str]
) -> str:
    """`ignored`: the paths of `table["ignore"]` as they are written there, with what differs. `told` stands above."""
    lines = [f"# {visible(line)}".rstrip() for line in told]
    lines.append(f"[models.{_key(name)}]")
    for key, value in table.items():
        if key in _TABLES:
            continue
        lines += [f"# {visible(notes[key])}"] if key in notes else []
        lines += _ignore(ignored) if key == "ignore" else [f"{key} = {_value(value)}"]
    for key in _TABLES:
        if key in table:
            lines += ["", f"[models.{_key(name)}.{key}]"]
            lines += [f"{_key(inner)} = {_value(value)}" for inner, value in table[key].items()]
    return "\n".join(lines) + "\n"


def imported_json(name: str, table: Mapping[str, Any]) -> str:
    """For a stack in JSON, which has no comments."""
    return json.dumps({name: _escaped(table)}, indent=2, ensure_ascii=True) + "\n"


def _ignore(ignored: Mapping[str, str]) -> list[str]:
    return [
        "# It is made otherwise than a new one will be. After its first replacement remove these lines.",
        "ignore = [",
        *(f"    {_text(path)},  # {visible(why)}" for path, why in ignored.items()),
        "]",
    ]


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _quoted(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(str(k))} = {_value(v)}" for k, v in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(v) for v in value)}]"
    return repr(value)


def _text(text: str) -> str:
    return _quoted(_literally(text))


def _literally(text: str) -> str:
    """What would begin a variable is written as a text of its own; so is all, where a template would change it."""
    if _MARKS.search(text) and ("\r" in text or text.endswith("\n")):
        return f"{{{{ {text!r} }}}}"
    return _MARKS.sub(lambda mark: f"{{{{ '{mark.group()}' }}}}", text)


def _quoted(text: str) -> str:
    """A TOML string in which nothing hides."""
    shown = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(shown.get(c) or (c if c.isprintable() else _escape(c)) for c in text) + '"'


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04X}" if number <= 0xFFFF else f"\\U{number:08X}"


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return _literally(value)
    if isinstance(value, Mapping):
        return {key: _escaped(inner) for key, inner in value.items()}
    return [_escaped(v) for v in value] if isinstance(value, list | tuple) else value
