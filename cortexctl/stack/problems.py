"""From what the schema found wrong to diagnostics in a user's words, each at its place in the file."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from cortexctl.diagnostics import Diagnostic, error
from cortexctl.stack.document import SECRET_NAME, Document, Loc
from cortexctl.stack.schema import ArgsTable, StackFile
from cortexctl.vllm.arguments import OWNED, SEED_NAMES

_EXPECTED = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def explain(document: Document, failure: ValidationError) -> list[Diagnostic]:
    """One diagnostic a place. A value that fits none of several types is reported once, with all of them."""
    by_loc: dict[Loc, list[Any]] = {}
    for item in failure.errors(include_url=False):
        loc = item["loc"]
        if item["type"] not in {"missing", "extra_forbidden"}:
            while not document.has(loc):  # pydantic adds the names of a union's members
                loc = loc[:-1]
        by_loc.setdefault(loc, []).append(item)
    return [_explain_one(document, loc, items) for loc, items in by_loc.items()]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` is most likely a misspelling of."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def _explain_one(document: Document, loc: Loc, items: Sequence[Any]) -> Diagnostic:
    first = items[0]
    where = ".".join(str(part) for part in loc[:-1])
    match first["type"]:
        case "extra_forbidden":
            return _unknown_key(document, loc, where)
        case "missing":
            table = f" in [{where}]" if where else ""
            return error(
                "CX103",
                f'"{loc[-1]}" is missing{table}',
                document.place(loc[:-1], key=True),
                help=_what_for(loc),
            )
        case "too_short" if loc in {("models",), ("hosts",)}:
            return error(
                "CX105",
                f"the stack declares no {loc[0]}",
                document.place(loc, key=True),
                help="an empty stack never means: remove everything; that is cortexctl destroy",
            )
    hidden = "secrets" in loc or SECRET_NAME.search(str(loc[-1])) is not None
    said = list(dict.fromkeys(_in_words(item, hidden=hidden) for item in items))
    name = ".".join(str(part) for part in loc)
    return error("CX104", f"{name}: {' or '.join(said)}", document.place(loc))


def _unknown_key(document: Document, loc: Loc, where: str) -> Diagnostic:
    key = str(loc[-1])
    table = _table_at(loc[:-1])
    known = [f.alias or name for name, f in table.model_fields.items()] if table else []
    advice = ""
    if table is ArgsTable:
        advice = OWNED.get(key, "")
        known_elsewhere = SEED_NAMES.get(key.replace("-", "_"))
        if known_elsewhere:
            advice = f'it is called "{known_elsewhere}" here'
        elif not advice and key.replace("-", "_") in known:
            advice = f'write it as "{key.replace("-", "_")}"'
    if not advice:
        close = nearest(key, known)
        advice = f'did you mean "{close}"?' if close else f"known here: {', '.join(sorted(known))}"
        if table is ArgsTable and not close:
            advice = "args that this release of cortexctl does not know can be given as words in extra_args"
    at = f" in [{where}]" if where else " at the top of the file"
    return error("CX102", f'unknown key "{key}"{at}', document.place(loc, key=True), help=advice)


def _in_words(item: Any, *, hidden: bool) -> str:
    kind = item["type"]
    if hidden and isinstance(item["input"], str):
        expected = _EXPECTED.get(kind, "something else")
        return f'expected {expected} like {{ env = "NAME" }}, found text (not shown)'
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, found {_found(item['input'])}"
    if kind == "literal_error":
        return f"expected {item['ctx']['expected'].replace(chr(39), chr(34))}, found {_found(item['input'])}"
    if kind == "value_error":
        return str(item["ctx"]["error"])
    if kind == "string_pattern_mismatch":
        return f'"{item["input"]}" has the wrong form ({item["ctx"]["pattern"]})'
    text = str(item["msg"])
    return text[0].lower() + text[1:]


def _found(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"' if len(value) < 40 else f'"{value[:37]}..."'
        case dict():
            return "a table"
        case list():
            return "a list"
        case _:
            return str(value)


def _what_for(loc: Loc) -> str:
    """The field's own documentation, so that a reader need not look it up."""
    table = _table_at(loc[:-1])
    fields = table.model_fields if table else {}
    found = fields.get(str(loc[-1]))
    return (found.description or "") if found else ""


def _table_at(loc: Loc) -> type[BaseModel] | None:
    """The schema of the table at `loc`, found by walking the annotations."""
    current: Any = StackFile
    for step in loc:
        if isinstance(current, type) and issubclass(current, BaseModel):
            found = next((f for n, f in current.model_fields.items() if step in {n, f.alias}), None)
            current = _bare(found.annotation) if found else None
        elif typing.get_origin(current) is dict:
            current = _bare(typing.get_args(current)[1])
        else:
            return None
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _bare(annotation: Any) -> Any:
    """Without Annotated and without `| None`."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return next(_bare(a) for a in typing.get_args(annotation) if a is not type(None))
    return annotation
