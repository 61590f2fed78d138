"""What to write in place of a value that has the wrong form, derived from the value itself.

People bring the forms of Docker, Compose, Python and YAML. The text names the right form with their own value in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from cortexctl.stack import value_forms
from cortexctl.stack.places import Loc
from cortexctl.text.units import show_seconds

_PORT = r"[1-9][0-9]{0,4}"
_DOCKER_PUBLISH = re.compile(rf"(?:(?P<address>[0-9.]+):)?(?P<port>{_PORT}):{_PORT}(?:/tcp)?", re.ASCII)
_INDICES = re.compile(r"(?:device=)?(\d{1,4}(?:\s*,\s*\d{1,4})*)", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,9})?", re.ASCII)


def advice_for(key: str, value: Any, *, check: Callable[..., Any] | None, expected: str) -> str:
    """A fix for `key = value`; empty if none is known. `check`: the check that the schema applies to the value.
    `expected`: pydantic's name of the error. Never call it for a value that may be a secret.
    """
    match value:
        case bool() | None | dict() | list():
            return ""
        case int() | float() if check is value_forms.publish_form:
            return _publish(key, str(value))
        case str() if check is value_forms.publish_form:
            return _publish(key, value)
        case str() if check is value_forms.gpus_form:
            return _gpus(key, value)
        case int() if check in {value_forms.duration_form, value_forms.short_duration_form}:
            return f'write {key} = "{show_seconds(value)}"' if 0 < value < 7 * 24 * 3600 else ""
        case int() | float() if check is value_forms.size_form:
            return f'write {key} = "{value} GiB", or the unit that is meant'
        case int() | float() if expected == "string_type":
            return f'write {key} = "{value}"'
        case str() if expected in {"int_type", "float_type"} and _NUMBER.fullmatch(value):
            return f"write {key} = {value}, without quotes"
        case str() if expected == "bool_type" and value.lower() in {
            "true",
            "false",
            "yes",
            "no",
            "on",
            "off",
            "1",
            "0",
        }:
            return f"write {key} = {'true' if value.lower() in {'true', 'yes', 'on', '1'} else 'false'}, without quotes"
        case str() if expected == "list_type":
            return f"write {key} = [{json.dumps(value, ensure_ascii=False)}]"
        case str() if key == "source" and expected in {"model_type", "model_attributes_type", "dict_type"}:
            return _source(value)
    return ""


def missing_key(loc: Loc) -> str:
    """How to write a key that is needed, and whose own text shows no form."""
    match loc:
        case (*_, "source"):
            return 'write source = { repo = "ORGANISATION/NAME", revision = "COMMIT" } or { path = "FOLDER" }'
        case ("hosts",):
            return 'write a table [hosts.NAME]; docker = "ssh://USER@HOST" is for another machine'
        case ("models",):
            return (
                "write a table [models.NAME]; cortexctl import HOST prints the table of a container that already runs"
            )
    return ""


def _publish(key: str, value: str) -> str:
    if re.fullmatch(_PORT, value):
        return f'write {key} = "127.0.0.1:{value}"; other machines reach it with "0.0.0.0:{value}"'
    if match := _DOCKER_PUBLISH.fullmatch(value):
        return f'write {key} = "{match["address"] or "127.0.0.1"}:{match["port"]}": only the port on the host is chosen'
    if match := re.fullmatch(rf"localhost(:{_PORT})?", value):
        return f'write {key} = "127.0.0.1{match[1] or ""}"'
    return ""


def _gpus(key: str, value: str) -> str:
    if value.lower() in {"all", "auto"}:
        return f"write the number of GPUs that the model uses, such as {key} = 1"
    if match := _INDICES.fullmatch(value.strip()):
        numbers = [int(part) for part in match[1].split(",")]
        if len(numbers) == 1 and "device" not in value:
            return f"write {key} = {numbers[0]} for this number of GPUs, or {key} = [{numbers[0]}] for this GPU"
        return f"write {key} = {numbers}"
    return ""


def _source(value: str) -> str:
    if value.endswith(".gguf"):
        return f'write source = {{ gguf = "{value}", tokenizer = "ORGANISATION/NAME" }}'
    if value.startswith(("/", ".")):
        return 'write source = { path = "FOLDER" }: the folder is below models_dir of the host'
    return f'write source = {{ repo = "{value}", revision = "COMMIT" }}'
