"""ContainerSpec <-> JSON: the same form in labels, in plans and in case files.

Defaults are left out, so a new field with a default does not change old labels. `v` is the spec version:
a label written by an older release is lifted by `UPGRADES` before anything is compared with it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

from cortexctl.spec.container import ContainerSpec, Mount, Publish, SecretRef

SPEC_VERSION = 1
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From version n to n + 1. Empty as long as version 1 is the only one there has been."""

_DEFAULTS: dict[str, Any] = {
    f.name: {} if f.default_factory is dict else None if f.default is dataclasses.MISSING else f.default
    for f in dataclasses.fields(ContainerSpec)
}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return type(value) is int


def _all(items: Any, holds: Callable[[Any], bool]) -> bool:
    return isinstance(items, list) and all(holds(i) for i in items)


def _has(value: Any, **fields: Callable[[Any], bool]) -> bool:
    """A table with these fields and no others; one that may be missing is not named here but checked by its class."""
    return isinstance(value, dict) and all(name in value and holds(value[name]) for name, holds in fields.items())


_IS_RIGHT: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("image", "model", "vllm_version", "network", "ipc", "restart"), _is_text),
    **dict.fromkeys(("shm_size", "drain", "memory"), _is_number),
    "served_names": lambda v: bool(v) and _all(v, _is_text),
    "extra_args": lambda v: _all(v, _is_text),
    "gpus": lambda v: _all(v, _is_number),
    "args": lambda v: isinstance(v, dict),
    "env": lambda v: isinstance(v, dict) and all(_is_text(i) for i in v.values()),
    "publish": lambda v: _has(v, address=_is_text) and (v.get("port") is None or _is_number(v["port"])),
    "secrets": lambda v: _all(v, lambda s: _has(s, name=_is_text, source=_is_text, key=_is_text, fingerprint=_is_text)),
    "mounts": lambda v: _all(
        v, lambda m: _has(m, source=_is_text, target=_is_text) and isinstance(m.get("read_only", True), bool)
    ),
    "cpus": lambda v: type(v) in {int, float},
}
"""What a field's JSON value must be, down to its parts: a label may have been written by anybody."""


class UnknownSpecVersion(ValueError):
    """The label was written by a newer cortexctl than this one."""


def spec_to_dict(spec: ContainerSpec) -> dict[str, Any]:
    """Plain JSON values, keys in the order of the fields, defaults left out."""
    out: dict[str, Any] = {"v": SPEC_VERSION}
    for f in dataclasses.fields(spec):
        value = getattr(spec, f.name)
        if value == _DEFAULTS[f.name]:
            continue
        out[f.name] = _plain(value)
    return out


def spec_to_label(spec: ContainerSpec) -> str:
    """Compact and sorted, so that equal specs give equal text."""
    return json.dumps(spec_to_dict(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def spec_from_label(text: str) -> ContainerSpec:
    """Raises ValueError when the text is not a spec, UnknownSpecVersion when it is of a newer kind."""
    data = json.loads(text)
    if not _can_be_written(data):
        raise ValueError("a spec label with half a character in it")
    if not isinstance(data, dict):
        raise ValueError("a spec label holds a JSON object")
    return spec_from_dict(data)


def spec_from_dict(data: Mapping[str, Any]) -> ContainerSpec:
    """The inverse of `spec_to_dict`, for any version up to ours. Raises ValueError."""
    data = dict(data)
    version = data.pop("v", None)
    if type(version) is not int or version < 1:
        raise ValueError("a spec without its version")
    if version > SPEC_VERSION:
        raise UnknownSpecVersion(f"spec version {version}; this cortexctl knows up to {SPEC_VERSION}")
    while version < SPEC_VERSION:
        data = UPGRADES[version](data)
        version += 1
    unknown = set(data) - set(_DEFAULTS)
    if unknown:
        raise ValueError(f"unknown fields in a spec: {', '.join(sorted(unknown))}")
    missing = {"image", "model", "served_names"} - set(data)
    if missing:
        raise ValueError(f"fields missing in a spec: {', '.join(sorted(missing))}")
    wrong = [name for name, value in data.items() if not _IS_RIGHT[name](value)]
    if wrong:
        raise ValueError(f"fields of the wrong type in a spec: {', '.join(sorted(wrong))}")
    try:
        return ContainerSpec(**{name: _typed(name, value) for name, value in data.items()})
    except (TypeError, AttributeError) as cause:
        raise ValueError(f"a spec that cannot be read: {cause}") from cause


def _can_be_written(data: Any) -> bool:
    """JSON can spell half of a surrogate pair, which no text that is written can hold."""
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _plain(value[k]) for k in sorted(value)}
    return value


def _typed(name: str, value: Any) -> Any:
    match name:
        case "mounts":
            return tuple(Mount(**m) for m in value)
        case "secrets":
            return tuple(SecretRef(**s) for s in value)
        case "publish":
            return Publish(**value)
        case "served_names" | "extra_args" | "gpus":
            return tuple(value)
        case _:
            return value
