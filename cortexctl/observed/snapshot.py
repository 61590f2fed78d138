"""Observed <-> JSON: what `observe` writes and `plan --observed` reads, for review without credentials.

Of containers that are not ours only what a plan looks at is kept: name, state, ports, networks; no labels, for
others put secrets there.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from cortexctl.observed.inspected import Inspected
from cortexctl.observed.modelfiles import model_files_from_dict, model_files_to_dict
from cortexctl.observed.record import record_from_label, record_to_label
from cortexctl.observed.state import BoundPort, ImageFacts, Observed, ObservedContainer, ObservedHost
from cortexctl.spec.container import InPlace
from cortexctl.spec.labels import PREFIX

FORMAT_VERSION = "1.0"


class NotASnapshot(ValueError):
    """The text is no snapshot of ours, or of a format that this release does not read."""


def snapshot_to_json(observed: Observed) -> str:
    """Stable: the same observation gives the same text."""
    document = {
        "format_version": FORMAT_VERSION,
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
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def snapshot_from_json(text: str) -> Observed:
    """The inverse of `snapshot_to_json`. Raises NotASnapshot with what is wrong."""
    try:
        data = json.loads(text)
        version = data["format_version"]
        hosts = data["hosts"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NotASnapshot("it is no snapshot written by cortexctl observe --out") from None
    if str(version).split(".")[0] != FORMAT_VERSION.split(".", maxsplit=1)[0]:
        raise NotASnapshot(f"its format is {version}; this cortexctl reads {FORMAT_VERSION}")
    try:
        images = {(i["host"], i["reference"]): _image(i) for i in data["images"]}
        in_place = {
            (i["host"], i["container"]): InPlace(i["restart"], i["memory"], i["cpus"]) for i in data["in_place"]
        }
        records = {host: record_from_label(host, text) for host, text in data.get("records", {}).items()}
        adoptable = {(i["host"], i["container"]): _inspected(i) for i in data.get("adoptable", [])}
        models = {(m["host"], m["source"]): model_files_from_dict(m) for m in data.get("model_files", [])}
        return Observed(tuple(_host_from_dict(h) for h in hosts), images, in_place, records, adoptable, models)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as cause:
        raise NotASnapshot(f"it is damaged: {type(cause).__name__} {cause}") from cause


def _image(i: Mapping[str, Any]) -> ImageFacts:
    return ImageFacts(i["reference"], i["found"], i["id"], i["digest"], i["problem"], i.get("release", ""))


def _inspected(i: Mapping[str, Any]) -> Inspected:
    fields = {f.name: i[f.name] for f in dataclasses.fields(Inspected) if f.name in i}
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Inspected(**{**fields, **lists, "in_place": InPlace(**fields["in_place"])})


def _host_to_dict(host: ObservedHost) -> dict[str, Any]:
    return {
        "name": host.name,
        "engine": host.engine,
        "api": host.api,
        "problem": host.problem,
        "next_step": host.next_step,
        "containers": [_container_to_dict(c) for c in host.containers],
    }


def _container_to_dict(c: ObservedContainer) -> dict[str, Any]:
    kept = {key: value for key, value in sorted(c.labels.items()) if key.startswith(PREFIX)}
    return {**dataclasses.asdict(c), "labels": kept}


def _host_from_dict(h: Mapping[str, Any]) -> ObservedHost:
    return ObservedHost(
        name=h["name"],
        containers=tuple(_container_from_dict(c) for c in h["containers"]),
        engine=h["engine"],
        api=h["api"],
        problem=h["problem"],
        next_step=h["next_step"],
    )


def _container_from_dict(c: Mapping[str, Any]) -> ObservedContainer:
    fields = dict(c)
    fields["ports"] = tuple(BoundPort(p["address"], p["port"]) for p in c["ports"])
    fields["networks"] = tuple(c["networks"])
    fields["addresses"] = tuple(c.get("addresses", ()))
    return ObservedContainer(**fields)
