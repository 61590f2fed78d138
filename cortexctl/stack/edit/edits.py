"""Changes to a stack's text that leave everything else unchanged: comments, order, spelling.

TOML is edited on its syntax tree (`toml_edits`). JSON has no comments to keep: its values are changed and the text is
formatted again. Every edit is verified: the new text is parsed, and must contain the old values with exactly the
changes.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cortexctl.stack.document import Document, parse_document
from cortexctl.stack.edit.change import Addition, CannotEdit, Edit
from cortexctl.stack.edit.toml_edits import edited_toml
from cortexctl.stack.places import Loc


def edited(document: Document, edits: Sequence[Edit | Addition]) -> str:
    """The new text. Raises UnreadableDocument if it would not be a document, and CannotEdit if it would contain other
    changes, or if a loc does not belong to a pair.
    """
    try:
        wanted = _changed(document.data, edits)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise CannotEdit(f"{document.path} has no table for this change") from None
    if document.path.endswith(".json"):
        return json.dumps(wanted, indent=2, ensure_ascii=False) + "\n"
    text = edited_toml(document, edits)
    if _filled(parse_document(document.path, text).data) != _filled(wanted):
        raise CannotEdit(f"{document.path} cannot be edited automatically without a guess; change it by hand")
    return text


def with_arguments(path: str, text: str, model: str, args: Mapping[str, Any]) -> str:
    """The stack's text with arguments of a model set. Raises CannotEdit, UnreadableDocument."""
    document = parse_document(path, text)
    models = document.data.get("models")
    table = models.get(model) if isinstance(models, dict) else None
    if not isinstance(table, dict):
        raise CannotEdit(f"{path} has no separate [models.{model}]; set the arguments where the model is written")
    present, loc = table.get("args", {}), ("models", model, "args")
    if not isinstance(present, dict):
        raise CannotEdit(f"the arguments of {model} are not a table; set them by hand")
    new = {name: value for name, value in args.items() if name not in present}
    edits = [Edit((*loc, name), {name: value}) for name, value in args.items() if name in present]
    return edited(document, [*edits, *([Addition(loc, new)] if new else [])])


def _changed(data: Mapping[str, Any], edits: Iterable[Edit | Addition]) -> dict[str, Any]:
    """The values with the changes. Keys keep their order."""
    data = dict(copy.deepcopy(data))
    for edit in edits:
        if isinstance(edit, Addition):
            for name, new in edit.pairs.items():
                _put(data, (*edit.loc, name), new)
            continue
        *above, last = edit.loc
        table: Any = data
        for step in above:
            table = table[step]
        before = list(table.items())
        table.clear()
        for key, value in before:
            if key != last:
                table.setdefault(key, value)
                continue
            for name, new in edit.pairs.items():
                _put(table, tuple(name.split(".")), new)
    return data


def _filled(value: Any) -> Any:
    """Without empty tables: a table that a dotted key implied disappears with its last key."""
    if isinstance(value, list):
        return [_filled(item) for item in value]
    if not isinstance(value, dict):
        return value
    filled = {key: _filled(item) for key, item in value.items()}
    return {key: item for key, item in filled.items() if item != {}}


def _put(table: Any, path: Loc, value: Any) -> None:
    for step in path[:-1]:
        table = table.setdefault(step, {}) if isinstance(table, dict) else table[step]
    table[path[-1]] = value
