"""Inside the stub process: values as plain data, without stubs."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import re
import types
from typing import Any

from tools.vllm_catalogue import stubs


class StubLeaked(Exception):
    """A stub would have become a fact."""


def plain(value: Any, *, full: bool = False) -> Any:
    """A value as JSON. An object of a config class becomes its name; `full` adds its values."""
    if stubs.is_stub(value):
        raise StubLeaked(repr(value))
    if isinstance(value, enum.Enum):
        return value.value if isinstance(value.value, str | int) else value.name
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        return {str(plain(k)): plain(v, full=full) for k, v in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(plain(v, full=full) for v in value)
    if isinstance(value, list | tuple) or type(value).__name__ in {"dict_keys", "dict_values", "range"}:
        return [plain(v, full=full) for v in value]
    if isinstance(value, type | types.FunctionType):
        return value.__qualname__
    return {"object": type(value).__name__} | (_set_in(value) if full else {})


def _set_in(value: Any, against: Any = None) -> dict[str, Any]:
    """Key -> value of a config object. `against`: only the differences from this object of its class."""
    values = {}
    for name in keys_of(type(value)):
        with contextlib.suppress(StubLeaked, AttributeError, TypeError):
            mine = plain(getattr(value, name), full=True)
            if against is None or mine != plain(getattr(against, name), full=True):
                values[name] = mine
    return values


def changed(value: Any, default: Any) -> Any:
    """A parsed value; of a config object only the values that are not defaults."""
    if not is_config(type(value)):
        return plain(value, full=True)
    if type(default) is not type(value):
        with contextlib.suppress(Exception):
            default = type(value)()
    return {"object": type(value).__name__} | _set_in(value, default if type(default) is type(value) else None)


def describe(kind: Any) -> str:
    """A `type=` function by its name and its inner functions: optional_type(parse_type(int))."""
    if kind is None:
        return ""
    if isinstance(kind, functools.partial):
        return f"{describe(kind.func)}({', '.join(describe(a) for a in kind.args)})"
    if isinstance(kind, types.FunctionType):
        name = re.sub(r"^(\w+)\.<locals>\._\1$", r"\1", kind.__qualname__).replace("<locals>.", "")
        inner = [c.cell_contents for c in kind.__closure__ or ()] + list(kind.__defaults__ or ())
        return name + (f"({', '.join(describe(i) for i in inner)})" if inner else "")
    if stubs.is_stub(kind):
        raise StubLeaked(repr(kind))
    return getattr(kind, "__qualname__", None) or str(kind)


def is_config(kind: Any) -> bool:
    return isinstance(kind, type) and (dataclasses.is_dataclass(kind) or hasattr(kind, "model_fields"))


def keys_of(kind: type) -> dict[str, Any]:
    """Key -> default, of the keys that create an object of this class."""
    if dataclasses.is_dataclass(kind):
        return {f.name: f.default for f in dataclasses.fields(kind) if f.init}
    return {n: f.default for n, f in getattr(kind, "model_fields", {}).items() if f.init is not False}
