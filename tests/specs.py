"""Specs for tests, by plain field names: which part of a spec a field belongs to is decided in one place."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from cortexctl.instance.codec import spec_to_dict
from cortexctl.instance.spec import Container, Server, Spec

CONTAINER_FIELDS = tuple(f.name for f in dataclasses.fields(Container))
SERVER_FIELDS = tuple(f.name for f in dataclasses.fields(Server))
SPEC_FIELDS = (*CONTAINER_FIELDS, *SERVER_FIELDS)
REQUIRED = {
    f.name
    for part in (Container, Server)
    for f in dataclasses.fields(part)
    if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
}


def new_spec(
    image: str = "vllm/vllm-openai:v0.32.0",
    model: str = "/models/tiny",
    served_names: tuple[str, ...] = ("tiny",),
    version: str | None = None,
    **fields: Any,
) -> Spec:
    """A spec of vLLM at its port, unless `fields` name another engine or port."""
    named = {"engine": "vllm", "port": 8000, **fields}
    container = {name: value for name, value in named.items() if name in CONTAINER_FIELDS}
    server = {name: value for name, value in named.items() if name not in CONTAINER_FIELDS}
    return Spec(
        Container(image=image, **container),
        Server(model=model, served_names=served_names, version=version, **server),
    )


def change_spec(spec: Spec, **fields: Any) -> Spec:
    """The same spec with other values."""
    container = {name: value for name, value in fields.items() if name in CONTAINER_FIELDS}
    server = {name: value for name, value in fields.items() if name not in CONTAINER_FIELDS}
    return Spec(dataclasses.replace(spec.container, **container), dataclasses.replace(spec.server, **server))


def label_of_version_1(spec: Spec) -> str:
    """The label as the first releases wrote it: one flat table."""
    new = spec_to_dict(spec)
    flat = {"v": 1, **new["container"], **new["server"]}
    for name, since in (("port", 8000), ("engine", "vllm")):
        assert flat.pop(name) == since, f"version 1 knew no other {name}"
    if "version" in flat:
        flat["vllm_version"] = flat.pop("version")
    return json.dumps(flat, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def field_of(spec: Spec, name: str) -> Any:
    """The value of a field of either part."""
    return getattr(spec.container if name in CONTAINER_FIELDS else spec.server, name)
