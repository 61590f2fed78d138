"""ContainerSpec <-> JSON: the same form in labels, in plans and in case files.

Defaults are left out, so a new field with a default does not change old labels. `v` is the spec version:
a label written by an older release is lifted by `UPGRADES` before anything is compared with it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from cortexctl.decoding.decode import Decoder, read_json
from cortexctl.decoding.readers import NotAsExpected
from cortexctl.instance.spec import ContainerSpec, Mount, Publish

SPEC_VERSION = 1
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From version n to n + 1. Empty as long as version 1 is the only one there has been."""

_DEFAULTS: dict[str, Any] = {
    f.name: {} if f.default_factory is dict else None if f.default is dataclasses.MISSING else f.default
    for f in dataclasses.fields(ContainerSpec)
}


LONGEST_LABEL = 2**20
"""Characters of a spec's label; ours have some hundreds."""
_READERS = Decoder(strict=True, may_lack={Mount: {"read_only"}, Publish: {"port"}}).fields(ContainerSpec)
"""What reads a field's JSON value, down to its parts: a label may have been written by anybody."""


_RELEASE = re.compile(r"v?\d{1,6}(?:\.\d{1,6}){2}(?:\.(?:post)?\d{1,6})?", re.ASCII)
"""All that vllm.version reads as a release."""


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
    data = read_json(text, most=LONGEST_LABEL)
    if not isinstance(data, dict):
        raise ValueError("a spec label holds a JSON object")
    return spec_from_dict(data)


def spec_from_dict(data: Mapping[str, Any]) -> ContainerSpec:
    """The inverse of `spec_to_dict`, for any version up to ours. Raises ValueError."""
    if not isinstance(data, Mapping):
        raise ValueError("a spec is a table")
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
    fields, wrong = {}, [] if data["served_names"] else ["served_names"]
    for name, value in data.items():
        try:
            fields[name] = _READERS[name](value)
        except NotAsExpected:
            wrong.append(name)
    if fields.get("vllm_version") is not None and not _RELEASE.fullmatch(fields["vllm_version"]):
        wrong.append("vllm_version")
    if wrong:
        raise ValueError(f"fields of the wrong type in a spec: {', '.join(sorted(set(wrong)))}")
    return ContainerSpec(**fields)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _plain(value[k]) for k in sorted(value)}
    return value
