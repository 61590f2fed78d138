"""Turns the schema's errors into diagnostics in plain language, each at its place in the file."""

from __future__ import annotations

import copy
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic_core import ValidationError

from cortexctl.diagnostics import Diagnostic, SourceSpan, error
from cortexctl.stack.advice import advice_for, missing_key
from cortexctl.stack.argument_checks import check_raw
from cortexctl.stack.descriptions import descriptions
from cortexctl.stack.document import Document
from cortexctl.stack.places import Loc
from cortexctl.stack.schema import ModelTable, StackFile
from cortexctl.stack.tables import Check, Table, fields_of, is_table, members_of, metadata_of, read_table
from cortexctl.text.suggest import nearest

_BOUNDS = {"greater_than_equal": "at least", "greater_than": "more than", "less_than_equal": "at most"}
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
    """One diagnostic per place. A value that matches none of several types is reported once, with all of them."""
    return _explain_all(document, failure.errors(include_url=False), below=())


def _explain_all(document: Document, items: Sequence[Any], *, below: Loc) -> list[Diagnostic]:
    by_loc: dict[Loc, list[Any]] = {}
    keys: set[Loc] = set()
    for item in items:
        loc = (*below, *item["loc"])
        if "[key]" in loc:
            keys.add(loc[: loc.index("[key]")])
        if item["type"] not in {"missing", "extra_forbidden"}:
            while not document.has(loc):  # pydantic adds the names of a union's members
                loc = loc[:-1]
        by_loc.setdefault(loc, []).append(item)
    misspelt = _misspelt(by_loc)
    return [
        _explain_one(document, loc, items, is_key=loc in keys)
        for loc, items in by_loc.items()
        if not (items[0]["type"] == "missing" and any(loc[: len(m)] == m for m in misspelt))
    ]


def _misspelt(by_loc: Mapping[Loc, Sequence[Any]]) -> set[Loc]:
    """The places that unknown keys were probably meant for: what is missing there follows from the spelling."""
    meant = set()
    for loc, items in by_loc.items():
        if items[0]["type"] == "extra_forbidden" and (close := _nearest_key(loc)):
            meant.add((*loc[:-1], close))
    return meant


def _nearest_key(loc: Loc) -> str:
    return nearest(str(loc[-1]), _known_keys(loc)) or ""


def _known_keys(loc: Loc) -> list[str]:
    table = _table_at(loc[:-1])
    return [field.key for field in fields_of(table)] if table else []


def without_faults(data: dict[str, Any], failure: ValidationError) -> dict[str, Any] | None:
    """The data without the parts that the schema refuses, so that the rest can be checked in the same run. None if the
    remaining data is not complete: a model that lacks a field is removed completely; an error outside the models ends
    it.
    """
    left = copy.deepcopy(data)
    for item in failure.errors(include_url=False):
        loc = item["loc"]
        if loc[:1] != ("models",) or len(loc) < 2:
            return None
        whole = item["type"] == "missing" or len(loc) == 2 or loc[2] == "source"
        table, key = _parent(left, loc[:2] if whole else loc)
        if isinstance(table, dict):
            table.pop(key, None)
        elif isinstance(table, list):
            left["models"].pop(loc[1], None)
    return left


def _parent(data: dict[str, Any], loc: Loc) -> tuple[Any, Any]:
    """The nearest existing table (or list) on the path to `loc`, and the key below it."""
    table: Any = data
    for step in loc[:-1]:
        try:
            inner = table[step]
        except (KeyError, IndexError, TypeError):
            return table, step
        if not isinstance(inner, dict | list):
            return table, step
        table = inner
    return table, loc[-1]


def check_profiles(document: Document) -> list[Diagnostic]:
    """Profiles as parts of a model's table: a missing field is not an error, every other problem is."""
    profiles = document.data.get("profiles")
    diagnostics: list[Diagnostic] = []
    for name, profile in profiles.items() if isinstance(profiles, dict) else ():
        try:
            read_table(ModelTable, profile)
        except ValidationError as failure:
            wrong = [i for i in failure.errors(include_url=False) if i["type"] != "missing"]
            diagnostics += _explain_all(document, wrong, below=("profiles", name))
        diagnostics += check_raw(f"profiles.{name}", profile, partial(_place, document, ("profiles", name)))
    return diagnostics


def _place(document: Document, above: Loc, *path: str | int, key: bool = False) -> SourceSpan | None:
    return document.place((*above, *path), key=key)


def check_dropped(document: Document, left: Mapping[str, Any] | None) -> Iterator[Diagnostic]:
    """Checks the arguments of models that could not be checked completely because of their other errors."""
    models = document.data.get("models")
    judged = left["models"] if left else {}
    for name, table in models.items() if isinstance(models, dict) else ():
        if name not in judged:
            yield from check_raw(f"models.{name}", table, partial(_place, document, ("models", name)))


def _explain_one(document: Document, loc: Loc, items: Sequence[Any], *, is_key: bool) -> Diagnostic:
    first = items[0]
    where = ".".join(str(part) for part in loc[:-1])
    match first["type"]:
        case "extra_forbidden":
            return _unknown_key(document, loc, where)
        case "missing":
            table = f" in [{where}]" if where else f" in {document.path}"
            return error(
                "CX103",
                f'"{loc[-1]}" is missing{table}',
                document.place(loc[:-1], key=True),
                help=_what_for(loc) or missing_key(loc),
            )
        case "too_short" if loc in {("models",), ("hosts",)}:
            return error(
                "CX105",
                f"the stack declares no {loc[0]}",
                document.place(loc, key=True),
                help="an empty stack is rejected; to remove everything use cortexctl destroy",
            )
    hidden = not is_key and document.is_hidden(loc)
    texts = list(dict.fromkeys(_describe(item, loc, hidden=hidden) for item in items))
    if len(texts) > 1 and all(", found " in text for text in texts):
        *others, last = texts  # one of several types: "expected a whole number or "auto", found …"
        texts = [" or ".join([*(o.rpartition(", found ")[0] for o in others), last.removeprefix("expected ")])]
    name = ".".join(str(part) for part in loc)
    advice = "" if hidden or is_key else _advice(loc, items)
    return error("CX104", f"{name}: {' or '.join(texts)}", document.place(loc, key=is_key), help=advice)


def _advice(loc: Loc, items: Sequence[Any]) -> str:
    """The first fix that is known for the value."""
    check = _check_of(loc)
    key = str(next((part for part in reversed(loc) if isinstance(part, str)), ""))
    fixes = (advice_for(key, item["input"], check=check, expected=item["type"]) for item in items)
    return next(filter(None, fixes), "") if loc and isinstance(loc[-1], str) else ""


def _check_of(loc: Loc) -> Callable[..., Any] | None:
    """The check of `value_forms` that the schema applies to the value at `loc`."""
    table = _table_at(loc[:-1])
    annotations = [field.annotation for field in (fields_of(table) if table else ()) if field.key == loc[-1]]
    metadata = (one for annotation in annotations for one in metadata_of(annotation))
    return next((one.function for one in metadata if isinstance(one, Check)), None)


def _unknown_key(document: Document, loc: Loc, where: str) -> Diagnostic:
    key = str(loc[-1])
    close = _nearest_key(loc)
    advice = f'did you mean "{close}"?' if close else f"known keys: {', '.join(sorted(_known_keys(loc)))}"
    at = f" in [{where}]" if where else " at the top of the file"
    return error("CX102", f'unknown key "{key}"{at}', document.place(loc, key=True), help=advice)


def _describe(item: Any, loc: Loc, *, hidden: bool) -> str:
    kind = item["type"]
    if hidden and "secrets" not in loc:
        return "its form is wrong (the value is not shown because it may be a secret)"
    if hidden:
        return 'expected a table like { env = "NAME" }, found a value (not shown)'
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, found {_describe_value(item['input'])}"
    if kind == "literal_error":
        return f"expected {item['ctx']['expected'].replace(chr(39), chr(34))}, found {_describe_value(item['input'])}"
    if kind == "value_error":
        return str(item["ctx"]["error"])
    if kind == "string_pattern_mismatch":
        return f'"{item["input"]}" has the wrong form ({item["ctx"]["pattern"]})'
    if kind == "too_short":
        return f"needs at least {item['ctx']['min_length']}"
    if kind in {"greater_than_equal", "greater_than", "less_than_equal"}:
        bound = next(iter(item["ctx"].values()))
        return f"{_describe_value(item['input'])} is out of range: it is {_BOUNDS[kind]} {bound}"
    text = str(item["msg"])
    return text[0].lower() + text[1:]


def _describe_value(value: Any) -> str:
    match value:
        case None:
            return "null"
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
    """The field's own documentation, so that readers do not have to search for it."""
    table = _table_at(loc[:-1])
    return descriptions(table).get(str(loc[-1]), "") if table else ""


def _table_at(loc: Loc) -> type[Table] | None:
    """The schema of the table at `loc`, found by following the annotations."""
    current: Any = StackFile
    if loc[:1] == ("profiles",) and len(loc) > 1:
        current, loc = ModelTable, loc[2:]
    for step in loc:
        if is_table(current):
            current = next((_bare(field.annotation) for field in fields_of(current) if field.key == step), None)
        elif typing.get_origin(current) is dict:
            current = _bare(typing.get_args(current)[1])
        else:
            return None
    return current if is_table(current) else None


def _bare(annotation: Any) -> Any:
    """The annotation without Annotated and without `| None`."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    return next((_bare(member) for member in members_of(annotation) if member is not type(None)), annotation)
