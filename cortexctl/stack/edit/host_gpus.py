"""The GPUs of a host in the text of its stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortexctl.stack.document import parse_document
from cortexctl.stack.edit.change import Addition, CannotEdit, Edit
from cortexctl.stack.edit.edits import edited
from cortexctl.stack.places import Loc


def with_gpus(path: str, text: str, env: str, host: str, gpus: Mapping[str, Any]) -> str:
    """The stack's text with these keys of a host's `gpus`; other keys stay. A `gpus` of the environment is edited
    instead. Raises CannotEdit, UnreadableDocument.
    """
    document = parse_document(path, text)
    loc = _table_of(document.data, env, host)
    table: Any = document.data
    for step in loc:
        table = table.get(step) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        raise CannotEdit(f"{path} has no separate [hosts.{host}]; set its gpus where the host is written")
    if "gpus" not in table:
        return edited(document, [Addition(loc, {"gpus": dict(gpus)})])
    present = table["gpus"]
    if not isinstance(present, dict):
        raise CannotEdit(f"the gpus of {host} are not a table; set them by hand")
    edits: list[Edit | Addition] = []
    for key, value in gpus.items():
        if key in present and present[key] != value:
            if "{{" in str(present[key]):
                raise CannotEdit(f"the gpus of {host} have a variable ({key}); set its value by hand")
            edits.append(Edit((*loc, "gpus", key), {key: value}))
    if new := {key: value for key, value in gpus.items() if key not in present}:
        edits.append(Addition((*loc, "gpus"), new))
    return edited(document, edits) if edits else text


def with_measured(path: str, text: str, env: str, host: str, release: str, values: Mapping[str, Any]) -> str:
    """The stack's text with the constants that one release showed on a host, in place of earlier ones. Raises
    CannotEdit, UnreadableDocument.
    """
    document = parse_document(path, text)
    loc = (*_table_of(document.data, env, host), "gpus")
    gpus: Any = document.data
    for step in loc:
        gpus = gpus.get(step) if isinstance(gpus, dict) else None
    if not isinstance(gpus, dict):
        raise CannotEdit(f"{path} has no separate gpus of {host}; set them where the host is written")
    present = gpus.get("measured", {})
    if release not in present:
        return edited(document, [Addition((*loc, "measured"), {release: dict(values)})])
    if present[release] == values:
        return text
    without = edited(document, [Edit((*loc, "measured", release), {})])
    return with_measured(path, without, env, host, release, values)


def _table_of(data: Mapping[str, Any], env: str, host: str) -> Loc:
    table: Any = data
    for step in ("env", env, "hosts", host):
        table = table.get(step) if isinstance(table, dict) else None
    return ("env", env, "hosts", host) if isinstance(table, dict) and "gpus" in table else ("hosts", host)
