"""Spec <-> JSON: the same form in labels, in plans and in case files.

`{"v": 2, "container": {...}, "server": {...}}`. Defaults are omitted, so a new field with a default does not change old
labels. `v` is the spec version: `UPGRADES` converts a label of an older release before it is compared.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.decoding.decode import Decoder, read_json
from cortexctl.decoding.readers import NotAsExpected, Reader
from cortexctl.instance.old_versions import UPGRADES
from cortexctl.instance.spec import Container, Mount, Publish, SecretRef, Server, Spec

SPEC_VERSION = 2
LONGEST_LABEL = 2**20
"""Maximum length of a spec's label, in characters; ours have some hundreds."""
_RELEASE = re.compile(r"v?\d{1,6}(?:\.\d{1,6}){2}(?:\.(?:post)?\d{1,6})?", re.ASCII)
"""The form of a release number, for every engine."""
_DECODER = Decoder(strict=True, may_lack={Mount: {"read_only"}, Publish: {"port"}})
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_SCALARS = frozenset({str, int, float, bool, type(None)})
_FIELDS_OF = {kind: tuple(f.name for f in dataclasses.fields(kind)) for kind in (Mount, Publish, SecretRef)}
"""The values inside a spec, and their fields in order."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One half of a spec. `readers` check each field's JSON value, nested values included: anyone can write a label."""

    kind: type[Container | Server]
    readers: Mapping[str, Reader]
    required: frozenset[str]
    defaults: Mapping[str, Any]


def _part(kind: type[Container | Server]) -> _Part:
    fields: dict[str, Any] = {f.name: {} if f.default_factory is dict else f.default for f in dataclasses.fields(kind)}
    required = frozenset(name for name, default in fields.items() if default is dataclasses.MISSING)
    defaults = {name: default for name, default in fields.items() if name not in required}
    return _Part(kind, _DECODER.fields(kind), required, defaults)


_PARTS = {"container": _part(Container), "server": _part(Server)}


class UnknownSpecVersion(ValueError):
    """The label was written by a newer cortexctl than this one."""


def spec_to_dict(spec: Spec) -> dict[str, Any]:
    """Plain JSON values, keys in the order of the fields, defaults omitted."""
    parts = {name: _part_to_dict(getattr(spec, name), part) for name, part in _PARTS.items()}
    return {"v": SPEC_VERSION, **parts}


def _part_to_dict(value: Container | Server, part: _Part) -> dict[str, Any]:
    values = ((name, getattr(value, name)) for name in part.readers)
    return {name: _plain(v) for name, v in values if name not in part.defaults or v != part.defaults[name]}


def spec_to_label(spec: Spec) -> str:
    """Compact and sorted, so that equal specs give equal text."""
    return _ENCODER.encode(spec_to_dict(spec))


def spec_from_label(text: str) -> Spec:
    """Raises ValueError if the text is not a spec, UnknownSpecVersion if its version is newer."""
    data = read_json(text, most=LONGEST_LABEL)
    if not isinstance(data, dict):
        raise ValueError("a spec label holds a JSON object")
    return spec_from_dict(data)


def label_records(text: str, spec: Spec) -> bool:
    """Whether a label contains this spec, in any version of the format. Equal text is not parsed."""
    if text == spec_to_label(spec):
        return True
    try:
        return spec_from_label(text) == spec
    except ValueError:
        return False


def spec_from_dict(data: Mapping[str, Any]) -> Spec:
    """The inverse of `spec_to_dict`, for any version up to the current one. Raises ValueError."""
    if not isinstance(data, Mapping):
        raise ValueError("a spec is a table")
    data = _upgraded(dict(data))
    halves = {name: data.pop(name) for name in _PARTS}
    wrong = [name for name, value in halves.items() if not isinstance(value, dict)]
    halves = {name: value for name, value in halves.items() if name not in wrong}
    unknown = {*data, *(f"{n}.{key}" for n, values in halves.items() for key in values.keys() - _PARTS[n].readers)}
    if unknown:
        raise ValueError(f"unknown fields in a spec: {', '.join(sorted(unknown))}")
    missing = {f"{name}.{key}" for name, values in halves.items() for key in _PARTS[name].required - values.keys()}
    if missing:
        raise ValueError(f"fields missing in a spec: {', '.join(sorted(missing))}")
    read: dict[str, Any] = {}
    for name, values in halves.items():
        fields = _read_fields(values, _PARTS[name])
        wrong += [f"{name}.{key}" for key in values.keys() - fields]
        read[name] = fields
    if wrong:
        raise ValueError(f"fields of the wrong type in a spec: {', '.join(sorted(wrong))}")
    return Spec(Container(**read["container"]), Server(**read["server"]))


def _upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """The same data in the current version, without the version number. Raises ValueError."""
    version = data.pop("v", None)
    if type(version) is not int or version < 1:
        raise ValueError("a spec without its version")
    if version > SPEC_VERSION:
        raise UnknownSpecVersion(f"spec version {version}; this cortexctl knows up to {SPEC_VERSION}")
    for older in range(version, SPEC_VERSION):
        data = UPGRADES[older](data)
    if not data.keys() >= _PARTS.keys():
        raise ValueError(f"spec version {version} has a container and a server; this text does not")
    return data


def _read_fields(values: Mapping[str, Any], part: _Part) -> dict[str, Any]:
    """The fields, each checked against its type; release numbers and names are also checked for their form."""
    fields = {}
    for key, value in values.items():
        try:
            fields[key] = part.readers[key](value)
        except NotAsExpected:
            continue
    if fields.get("version") is not None and not _RELEASE.fullmatch(fields["version"]):
        del fields["version"]
    if "served_names" in fields and not fields["served_names"]:
        del fields["served_names"]
    return fields


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind in _FIELDS_OF:
        return {name: _plain(getattr(value, name)) for name in _FIELDS_OF[kind]}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _plain(value[k]) for k in sorted(value)}
    return value
