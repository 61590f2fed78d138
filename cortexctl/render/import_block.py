"""A model's block for a stack, as TOML with comments on everything that its reader must know."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cortexctl.engines.base import HIDDEN
from cortexctl.operations.results import IgnoredField
from cortexctl.render.plan.phrases import value_text
from cortexctl.render.sanitise import visible
from cortexctl.text.substitution import literal
from cortexctl.text.toml_text import toml_key, toml_text, toml_value

_TABLES = ("args", "env", "secrets", "rollout")


def imported_block(
    name: str, table: Mapping[str, Any], notes: Mapping[str, str], ignored: Mapping[str, str], preface: Sequence[str]
) -> str:
    """`ignored`: path in `table["ignore"]` -> the difference. `preface`: comment lines above the block."""
    lines = [f"# {visible(line)}".rstrip() for line in preface]
    lines.append(f"[models.{toml_key(name)}]")
    for key, value in table.items():
        if key in _TABLES:
            continue
        lines += [f"# {visible(notes[key])}"] if key in notes else []
        lines += _ignore(ignored) if key == "ignore" else [f"{key} = {toml_value(_escaped(value))}"]
    for key in _TABLES:
        if key in table:
            lines += ["", f"[models.{toml_key(name)}.{key}]"]
            lines += [f"{toml_key(inner)} = {toml_value(_escaped(value))}" for inner, value in table[key].items()]
    return "\n".join(lines) + "\n"


def bare_block(name: str, table: Mapping[str, Any]) -> str:
    """The same without comments."""
    return imported_block(name, table, {}, dict.fromkeys(table.get("ignore", ()), ""), ())


def why_ignored(ignored: IgnoredField) -> str:
    """The value in the container, and the value in a new one; or the reason, if the values do not show it."""
    if ignored.why:
        return ignored.why
    change = ignored.change
    now = ", ".join(ignored.networks) or value_text(change.path, change.before)
    return f"now {now}, in a new container {value_text(change.path, change.after)}".replace(HIDDEN, "(set, not shown)")


def imported_json(name: str, table: Mapping[str, Any]) -> str:
    """For a stack in JSON, which has no comments."""
    return json.dumps({name: _escaped(table)}, indent=2, ensure_ascii=True) + "\n"


def _ignore(ignored: Mapping[str, str]) -> list[str]:
    return [
        "# The container has settings that a new one will not have. Remove these lines after its first replacement.",
        "ignore = [",
        *(f"    {toml_text(literal(path))},  # {visible(why)}" for path, why in ignored.items()),
        "]",
    ]


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, Mapping):
        return {key: _escaped(inner) for key, inner in value.items()}
    return [_escaped(v) for v in value] if isinstance(value, list | tuple) else value
