"""Arguments of a model changed in the text of a stack: other lines, comments and the order stay as they are."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from cortexctl.stack.document import parse_document
from cortexctl.text.toml_text import toml_key, toml_value


class CannotPatch(ValueError):
    """The file is written in a way in which this edit would be a guess; the message says what to do by hand."""


def patched(path: str, text: str, model: str, args: Mapping[str, Any]) -> str:
    """The text with `args` set in [models.MODEL.args]. Values are numbers, text, true or false.

    Raises CannotPatch, UnreadableDocument.
    """
    if path.endswith(".json"):
        raise CannotPatch("a stack in JSON is not edited; set these arguments in it by hand")
    document = parse_document(path, text)
    models = document.data.get("models")
    if not isinstance(models, dict) or not isinstance(models.get(model), dict):
        raise CannotPatch(f"{path} has no [models.{model}] of its own; set the arguments where the model is written")
    lines = text.split("\n")
    added = {}
    for name, value in args.items():
        place = (
            document.place(("models", model, "args", name)) if document.has(("models", model, "args", name)) else None
        )
        if place is None:
            added[name] = value
            continue
        at = lines[place.line - 1]
        lines[place.line - 1] = at[: place.column - 1] + toml_value(value) + at[place.end_column - 1 :]
    new = "\n".join(_with(lines, model, added, models[model].get("args")))
    _check(new, model, args)
    return new


def _with(lines: list[str], model: str, added: Mapping[str, Any], args: Any) -> list[str]:
    """The lines with new keys at the end of the table, which is made where there is none."""
    if not added:
        return lines
    new = [f"{name} = {toml_value(value)}" for name, value in added.items()]
    header = _header(lines, model)
    if header is None:
        if args:
            raise CannotPatch(f"the arguments of {model} are written inline; give them a table [models.{model}.args]")
        while lines and not lines[-1].strip():
            lines = lines[:-1]
        return [*lines, "", f"[models.{toml_key(model)}.args]", *new, ""]
    end = header + 1
    for i in range(header + 1, len(lines)):
        if lines[i].lstrip().startswith("["):
            break
        if lines[i].strip() and not lines[i].lstrip().startswith("#"):
            end = i + 1
    return [*lines[:end], *new, *lines[end:]]


def _header(lines: list[str], model: str) -> int | None:
    name = re.escape(model)
    wanted = re.compile(rf'\s*\[\s*models\s*\.\s*(?:"{name}"|\'{name}\'|{name})\s*\.\s*args\s*\]')
    return next((i for i, line in enumerate(lines) if wanted.match(line)), None)


def _check(text: str, model: str, args: Mapping[str, Any]) -> None:
    """What was written is what can be read."""
    try:
        read = tomllib.loads(text)["models"][model]["args"]
    except (ValueError, KeyError, TypeError):
        read = {}
    if any(read.get(name) != value for name, value in args.items()):
        raise CannotPatch(f"the arguments of {model} cannot be set without a guess; set them by hand")
