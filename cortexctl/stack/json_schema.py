"""The JSON Schemas of the stack file and of `args`, for editors."""

from __future__ import annotations

from typing import Any

from cortexctl.stack import schema as stack_schema
from cortexctl.stack import schema_hosts
from cortexctl.stack.argument_schema import args_schema
from cortexctl.stack.descriptions import descriptions
from cortexctl.stack.schema import StackFile


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


def _describe(schema: dict[str, Any]) -> None:
    """Adds the texts below the fields."""
    for name, table in {**schema["$defs"], StackFile.__name__: schema}.items():
        texts = descriptions(vars(schema_hosts).get(name) or vars(stack_schema)[name])
        for key, text in texts.items():
            table["properties"][key] = dict(sorted({**table["properties"][key], "description": text}.items()))


def json_schema(version: str | None = None) -> dict[str, Any]:
    """JSON Schema of the stack file. Its `args` are those of one vLLM release, or of all releases."""
    schema = StackFile.model_json_schema(by_alias=True)
    _describe(schema)
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
