"""Inside the stub process: the config classes behind JSON options, their keys and limits."""

from __future__ import annotations

import argparse
import enum
import importlib
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

from tools.vllm_catalogue.plain import is_config, keys_of, plain

INNER = {"ModelConfig", "ParallelConfig", "VllmConfig"}
"""Classes that a config object holds for the engine, and that no user writes as JSON."""


def config_of(action: argparse.Action) -> type | None:
    """The config class of an option's JSON keys: from its type function, or the class of the same name."""
    seen: list[Any] = [action.type]
    while seen:
        here = seen.pop()
        if isinstance(here, type) and is_config(here):
            return here
        if isinstance(getattr(here, "__self__", None), type):  # Class.from_cli
            seen.append(here.__self__)
        if isinstance(here, types.FunctionType):
            seen += [c.cell_contents for c in here.__closure__ or ()] + list(here.__defaults__ or ())
    known = importlib.import_module("vllm.config")
    wanted = action.dest.removeprefix("override_").replace("_", "").removesuffix("args")
    if not action.option_strings or not wanted.endswith("config"):
        return None
    names = [n for n in dir(known) if n.lower() == wanted]
    config = getattr(known, names[0]) if names else None
    return config if isinstance(config, type) and is_config(config) else None


def describe_config(kind: type, configs: dict[str, dict[str, Any]]) -> None:
    if kind.__name__ in configs:
        return
    keys: dict[str, Any] = {}
    configs[kind.__name__] = keys
    try:
        hints = typing.get_type_hints(kind)
    except Exception:  # noqa: BLE001 - a name that only exists for type checkers
        hints = dict(inspect.get_annotations(kind))
    for name in keys_of(kind):
        if hint := sorted(set(_hint(hints.get(name), configs))):
            keys[name] = hint


def _hint(hint: Any, configs: dict[str, dict[str, Any]]) -> Iterator[Any]:
    """A type hint as the names of its alternatives; a choice is ["=", values…], a config class "Name{}"."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is None or hint is types.NoneType:
        yield "null"
    elif origin in (typing.Union, types.UnionType):
        for each in inner:
            yield from _hint(each, configs)
    elif origin is typing.Annotated:
        yield from _hint(inner[0], configs)
    elif origin is typing.Literal:
        for each in inner:
            yield f"={plain(each)}"
    elif is_config(hint) and hint.__name__ in INNER:
        return
    elif is_config(hint) and hint.__module__.startswith("vllm.config"):
        describe_config(hint, configs)
        yield f"{hint.__name__}{{}}"
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        for name, member in hint.__members__.items():
            yield f"~{name}"
            value = str(member.value) if isinstance(member.value, int | str) else ""
            if value not in {"", name} and "." not in value:
                yield f"={value}"  # both are accepted; a value with dots is the path of a class
    elif (origin or hint) in _NAMES:
        yield _NAMES[origin or hint]
    else:
        yield "any"


_NAMES: dict[Any, str] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    list: "list",
    tuple: "list",
    set: "list",
    dict: "object",
}


def literals(group: str, dest: str) -> list[tuple[Any, ...]]:
    """The Literals in the hint of a config class's field. A release uses any one of several, at random."""
    owner = getattr(importlib.import_module("vllm.config"), group, None)
    hint = inspect.get_annotations(owner).get(dest) if isinstance(owner, type) else None
    return [typing.get_args(h) for h in [hint, *typing.get_args(hint)] if typing.get_origin(h) is typing.Literal]


def bounds(group: str, dest: str) -> dict[str, Any]:
    """The limits of the config class for a number. They are checked at start-up, not by the parser."""
    owner = getattr(importlib.import_module("vllm.config"), group, None)
    field = getattr(owner, "__pydantic_fields__", {}).get(dest)
    limits: dict[str, Any] = {}
    for limit in getattr(field, "metadata", ()):
        for name in ("ge", "gt", "le", "lt"):
            value = getattr(limit, name, None)
            if isinstance(value, int | float):
                limits[name] = value
    return limits


JSON_SAMPLES = {
    "b": "true",
    "i": "7",
    "f": "1.5",
    "s": '"zz"',
    "d": '"7"',
    "l": "[]",
    "L": '["zz"]',
    "I": "[7]",
    "o": "{}",
    "n": "null",
}
"""Letter -> a value of each JSON type; d is a number in quotes, L and I are lists of text and of numbers."""


def takes(action: argparse.Action, key: str, hint: list[str]) -> str:
    """The letters of the JSON samples that the parser accepts as the value of one key. Other keys may be missing."""
    make = action.type or str
    members = [h[1:].lower() for h in hint if h.startswith("~") and h[1:].lower() != h[1:]]
    samples = JSON_SAMPLES | ({"c": f'"{members[0]}"'} if members else {})  # the name of a member in small letters
    beside = COMPANIONS.get(key, "")
    return "".join(
        letter
        for letter, sample in samples.items()
        if any(_taken(make, f'{{"{key}": {s}{beside}}}', key) for s in {sample, PYTHON.get(sample, sample)})
    )


COMPANIONS = {"kv_connector": ', "kv_role": "kv_both"', "ec_connector": ', "ec_role": "ec_consumer"'}
"""Keys that are refused without another key."""
PYTHON = {"true": "True", "null": "None"}
"""JSON -> Python, for releases that read the text as Python."""


def _taken(make: Callable[[str], Any], text: str, key: str) -> bool:
    """Whether the parser accepts this key. Other keys may be missing."""
    try:
        make(text)
    except (argparse.ArgumentTypeError, TypeError, ValueError) as refusal:
        message = str(refusal).replace("\\n", "\n")
        elsewhere = r"\n  (Value error|Assertion failed)|\n  Field required"
        return not re.search(rf"\n{key}[.\n]", message) and bool(re.search(elsewhere, message))
    except Exception:  # noqa: BLE001 - a traceback
        return False
    return True
