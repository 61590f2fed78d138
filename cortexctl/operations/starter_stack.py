"""A stack to start from, and the schema with which editors complete and check it."""

from __future__ import annotations

import json
from pathlib import Path

from cortexctl.errors import UsageError
from cortexctl.stack.json_schema import args_json_schema, json_schema
from cortexctl.stack.starter import SCHEMA_FILE, TEMPLATES, starter

__all__ = ["SCHEMA_FILE", "TEMPLATES", "args_schema", "stack_schema", "write_starter"]


def write_starter(folder: str, template: str) -> Path:
    """The path of the stack that was written. Raises UsageError, also if a stack exists: it is not changed."""
    target = Path(folder) / "stack.toml"
    if target.exists():
        raise UsageError(f"{target} exists and was not changed", next_step=f"cortexctl validate {target}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        (target.parent / SCHEMA_FILE).write_text(stack_schema(), encoding="utf-8")
        target.write_text(starter(template, target.resolve().parent.name), encoding="utf-8")
    except OSError as cause:
        raise UsageError(f"cannot write {target}: {cause.strerror}") from cause
    return target


def stack_schema(version: str | None = None) -> str:
    """The JSON Schema of a stack. `version`: only the options of this vLLM release."""
    return json.dumps(json_schema(version), indent=2, ensure_ascii=False) + "\n"


def args_schema(version: str | None = None) -> str:
    """The JSON Schema of a model's `args`."""
    return json.dumps(args_json_schema(version), indent=2, ensure_ascii=False) + "\n"
