"""The JSON Schemas of the stack file and of `args`, for editors."""

from __future__ import annotations

import inspect
import typing
from typing import Any

from cortexctl.stack.argument_schema import args_schema
from cortexctl.stack.descriptions import descriptions
from cortexctl.stack.schema import StackFile
from cortexctl.stack.tables import Bounds, Documented, NotEmpty, Table, TableField, fields_of, is_table, members_of

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_NOT_EMPTY = {"string": "minLength", "array": "minItems", "object": "minProperties"}


def _table(table: type[Table], tables: dict[str, Any]) -> dict[str, Any]:
    """The schema of a table. Those of the tables inside are added to `tables`."""
    texts = descriptions(table)
    fields = fields_of(table)
    required = [f.key for f in fields if f.required]
    return {
        "additionalProperties": False,
        "description": inspect.cleandoc(table.__doc__ or ""),
        "properties": {f.key: _field(f, texts.get(f.key, ""), tables) for f in fields},
        **({"required": required} if required else {}),
        "title": table.__name__,
        "type": "object",
    }


def _field(field: TableField, text: str, tables: dict[str, Any]) -> dict[str, Any]:
    schema = _value(field.annotation, tables)
    if not field.required:
        schema["default"] = _default(field)
    if text:
        schema["description"] = text
    kinds = [kind for kind in members_of(field.annotation) or (field.annotation,) if kind is not type(None)]
    if not all(map(is_table, kinds)):
        schema["title"] = field.key.replace("_", " ").title()
    return schema


def _default(field: TableField) -> Any:
    table = type(field.default)
    return {f.key: _default(f) for f in fields_of(table)} if is_table(table) else field.default


def _value(annotation: Any, tables: dict[str, Any]) -> dict[str, Any]:
    """The schema of a value."""
    if is_table(annotation):
        if annotation.__name__ not in tables:
            tables[annotation.__name__] = _table(annotation, tables)
        return {"$ref": f"#/$defs/{annotation.__name__}"}
    if members := members_of(annotation):
        return {"anyOf": [_value(member, tables) for member in members]}
    arguments = typing.get_args(annotation)
    match typing.get_origin(annotation):
        case typing.Annotated:
            return _constrained(_value(arguments[0], tables), arguments[1:])
        case typing.Literal:
            return {"enum": list(arguments), "type": "string"}
        case origin if origin is list:
            return {"items": _value(arguments[0], tables), "type": "array"}
        case origin if origin is dict:
            return {"additionalProperties": _value(arguments[1], tables) or True, "type": "object"}
    return {"type": _TYPES[annotation]} if annotation in _TYPES else {}


def _constrained(schema: dict[str, Any], constraints: tuple[Any, ...]) -> dict[str, Any]:
    for constraint in constraints:
        match constraint:
            case Documented(_, dict(whole)):
                return whole
            case Documented(examples):
                schema["examples"] = list(examples)
            case NotEmpty():
                schema[_NOT_EMPTY[schema["type"]]] = 1
            case Bounds(at_least, more_than, at_most):
                bounds = {"maximum": at_most, "minimum": at_least, "exclusiveMinimum": more_than}
                schema |= {key: bound for key, bound in bounds.items() if bound is not None}
    return schema


def _in_order(schema: Any, below: str = "") -> Any:
    """Keys by the alphabet, and fields and the values of a default as they are declared."""
    if isinstance(schema, list):
        return [_in_order(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    keys = schema if below in {"properties", "default"} else sorted(schema)
    return {key: _in_order(schema[key], key) for key in keys}


def _or_variable(schema: Any) -> Any:
    """Every value that is not a string may also be one variable, which brings its value with its type."""
    if isinstance(schema, list):
        return [_or_variable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _or_variable(value) for key, value in schema.items()}
    kind = inner.get("type")
    if not isinstance(kind, str) or kind not in {"integer", "number", "boolean", "array"}:
        return inner
    described = {key: inner.pop(key) for key in ("title", "description", "default") if key in inner}
    return {**described, "anyOf": [inner, {"type": "string", "pattern": r"^\s*\{\{\s*vars\.\w+\s*\}\}\s*$"}]}


DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(version: str | None = None) -> dict[str, Any]:
    """JSON Schema of the stack file. Its `args` are those of one vLLM release, or of all releases."""
    tables: dict[str, Any] = {}
    stack = _table(StackFile, tables)
    schema = _in_order({**stack, "$defs": tables})
    table = schema["$defs"]["ModelTable"]["properties"]["args"]
    schema["$defs"]["Args"] = args_schema(version)
    schema["$defs"]["ModelTable"]["properties"]["args"] = {
        "description": table["description"],
        "default": {},
        "$ref": "#/$defs/Args",
    }
    return {"$schema": DIALECT, **_or_variable(schema)}


def args_json_schema(version: str | None = None) -> dict[str, Any]:
    """JSON Schema of `args` alone. The schema of the stack refers to it as #/$defs/Args."""
    return {"$schema": DIALECT, **_or_variable(args_schema(version))}
