"""Observed <-> JSON: `observe` writes it and `plan --observed` reads it, for review without credentials.

Of containers that are not ours, only the facts that a plan reads are stored: name, state, ports, networks. Labels are
omitted, because other tools put secrets there. Of the containers of another stack, the identity and the use of GPUs are
stored, too: its environment, arguments and folders are not this stack's to publish.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from cortexctl.decoding.decode import Decoder, read_json
from cortexctl.decoding.readers import NotAsExpected
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.spec import Container, InPlace, Server, Spec
from cortexctl.model_files.files import ModelFiles, model_files_to_dict
from cortexctl.observed.host import ImageFacts, ObservedContainer, ObservedHost
from cortexctl.observed.inspected import Inspected
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import spec_of
from cortexctl.observed.record import record_from_label, record_to_label
from cortexctl.text.json_text import json_text

FORMAT_VERSION = "2.1"
LARGEST = 256 * 2**20
_NONE_OF_OURS = "it is not a snapshot written by cortexctl observe --out"

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_IDENTITY = {labels.STACK, labels.ENV, labels.MODEL, labels.HOST, labels.ORDINAL, labels.GENERATION, labels.RUN}

T = TypeVar("T")


class NotASnapshot(ValueError):
    """The text is not a snapshot of ours, or has a format that this release does not read."""


def without_other_stacks(observed: Observed, owner: str) -> Observed:
    """The same, where the containers of other stacks show only their identity and their use of GPUs."""
    hosts = (replace(h, containers=tuple(_reduced(c, owner) for c in h.containers)) for h in observed.hosts)
    return replace(observed, hosts=tuple(hosts))


def _reduced(container: ObservedContainer, owner: str) -> ObservedContainer:
    if labels.owner_of(container.labels) in {"", owner}:
        return container
    identity = {key: value for key, value in container.labels.items() if key in _IDENTITY}
    spec, _ = spec_of(container)
    if spec is not None:
        identity[labels.SPEC] = spec_to_label(_gpu_use(spec, identity.get(labels.MODEL, "")))
    return replace(container, labels=identity)


def _gpu_use(spec: Spec, model: str) -> Spec:
    """Only what decides how much of its GPUs it uses: among the arguments, the numbers. A spec has a model and a served
    name: both are the name in its stack.
    """
    numbers = {name: value for name, value in spec.server.args.items() if isinstance(value, int | float)}
    server = Server(spec.server.engine, model, (model,), spec.server.version, numbers)
    return Spec(Container("", spec.container.port, gpus=spec.container.gpus), server)


def snapshot_to_json(observed: Observed) -> str:
    """Stable: equal observations give equal text."""
    document = {
        "format_version": FORMAT_VERSION,
        "taken_at": observed.taken_at,
        "hosts": [_host_to_dict(h) for h in observed.hosts],
        "images": [{"host": host, **dataclasses.asdict(facts)} for (host, _), facts in sorted(observed.images.items())],
        "in_place": [
            {"host": host, "container": container, **dataclasses.asdict(limits)}
            for (host, container), limits in sorted(observed.in_place.items())
        ],
        "adoptable": [
            {"host": host, "container": container, **dataclasses.asdict(inspected)}
            for (host, container), inspected in sorted(observed.adoptable.items(), key=lambda item: item[0])
        ],
        "records": {host: record_to_label(record) for host, record in sorted(observed.records.items())},
        "model_files": [
            {"host": host, "source": source, **model_files_to_dict(files)}
            for (host, source), files in sorted(observed.model_files.items(), key=lambda item: item[0])
        ],
    }
    return json_text(document, 2) + "\n"


def snapshot_from_json(text: str) -> Observed:
    """The inverse of `snapshot_to_json`. Raises NotASnapshot with the problem."""
    try:
        data = read_json(text, most=LARGEST, infinite=True)
    except NotAsExpected as cause:
        raise NotASnapshot(f"{_NONE_OF_OURS} ({cause})") from None
    if not isinstance(data, dict) or "format_version" not in data or "hosts" not in data:
        raise NotASnapshot(_NONE_OF_OURS)
    version = str(data["format_version"])[:20]
    if version.split(".")[0] != FORMAT_VERSION.split(".", maxsplit=1)[0]:
        raise NotASnapshot(f"its format is {version}; this cortexctl reads {FORMAT_VERSION}")
    try:
        return _observed(data)
    except NotAsExpected as cause:
        raise NotASnapshot(f"it is damaged: {cause}") from None


def _observed(data: Mapping[str, Any]) -> Observed:
    hosts = _DECODER.list_of(ObservedHost, data["hosts"], "hosts")
    by_name = {h.name: h for h in hosts}
    if len(by_name) != len(hosts):
        raise NotAsExpected("it contains a host twice", "hosts")
    records = _DECODER.read(Mapping[str, str], data.get("records", {}), "records")  # type: ignore[type-abstract]
    return Observed(
        hosts,
        _by_key(data, "images", ImageFacts, "reference"),
        _by_key(data, "in_place", InPlace, "container"),
        {host: record_from_label(host, label) for host, label in records.items()},
        _by_key(data, "adoptable", Inspected, "container") if "adoptable" in data else {},
        _by_key(data, "model_files", ModelFiles, "source") if "model_files" in data else {},
        taken_at=_time(data.get("taken_at", "")),
    )


def _time(value: object) -> str:
    """Snapshots before format 2.1 have none."""
    text = _DECODER.read(str, value, "taken_at")
    if text and not _TIME.fullmatch(text):
        raise NotAsExpected('a time like "2026-03-01T12:00:00Z" is expected', "taken_at")
    return text


def _by_key(data: Mapping[str, Any], name: str, kind: type[T], second: str) -> dict[tuple[str, str], T]:
    """Entries keyed by their host and a second key."""
    entries: dict[tuple[str, str], T] = {}
    if name not in data:
        raise NotAsExpected("it is missing", name)
    for number, entry in enumerate(_DECODER.list_of(dict, data[name], name)):
        at = f"{name}[{number}]"
        key = (
            _DECODER.read(str, entry.get("host"), f"{at}.host"),
            _DECODER.read(str, entry.get(second), f"{at}.{second}"),
        )
        entries[key] = _DECODER.read(kind, entry, at)
    return entries


def _entry(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NotAsExpected("a table is expected")
    return value


_DECODER = Decoder(
    {dict: _entry},
    may_lack={
        ObservedHost: {"listed"},  # it is never written: a plan does not use it
        ObservedContainer: {"addresses", "own_labels"},
        ImageFacts: {"release"},
        ModelFiles: {"from_hub"},
        Inspected: {f.name for f in dataclasses.fields(Inspected)}
        - {"entrypoint", "command", "env", "secrets", "in_place"},
    },
)


def _host_to_dict(host: ObservedHost) -> dict[str, Any]:
    return {
        "name": host.name,
        "daemon": host.daemon,
        "api": host.api,
        "problem": host.problem,
        "next_step": host.next_step,
        "containers": [_container_to_dict(c) for c in host.containers],
    }


def _container_to_dict(c: ObservedContainer) -> dict[str, Any]:
    ours = {key: value for key, value in sorted(c.labels.items()) if key.startswith(labels.PREFIX)}
    return {**dataclasses.asdict(c), "labels": ours}
