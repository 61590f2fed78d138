"""The fields in which two specs differ, by their paths in the stack file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.registry import engine_of
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.spec import Spec

IN_PLACE = ("cpus", "memory", "restart")
NETWORK = "network"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field. None means "not set". A secret has only its fingerprints here, and is `sensitive`."""

    path: str
    before: Any
    after: Any
    sensitive: bool = False

    @property
    def in_place(self) -> bool:
        """Whether a running container can take the change. A limit can be changed, but not removed; a network that was
        removed by hand can be restored.
        """
        if self.path == NETWORK:
            return self.before is None
        return self.path in IN_PLACE and self.after is not None


def diff(before: Spec, after: Spec, text_of: Callable[[Spec], str] = spec_to_label) -> tuple[FieldChange, ...]:
    """Sorted by path; empty if the specs are equal. Their recorded form is compared first: `text_of` gives it."""
    if before is after or text_of(before) == text_of(after):
        return ()
    old, new = fields_of(before), fields_of(after)
    releases = {_release_path(before), _release_path(after)}  # facts about images: compared only if both are known
    unknown = () if before.server.version and after.server.version else releases
    for path in (*unknown, *(f"secrets.{name}" for name in uncompared_secrets(before, after))):
        old.pop(path, None)
        new.pop(path, None)
    changes: list[FieldChange] = []
    for path in sorted(old.keys() | new.keys()):
        was, wanted = old.get(path), new.get(path)
        if json.dumps(was, sort_keys=True) == json.dumps(wanted, sort_keys=True):
            continue  # as JSON: there 1 is not true, and neither is 1.0
        if isinstance(was, dict) and isinstance(wanted, dict):
            changes += _nested(path, was, wanted)
        else:
            changes.append(FieldChange(path, was, wanted, sensitive=path.startswith("secrets.")))
    return tuple(changes)


def fields_of(spec: Spec) -> dict[str, Any]:
    """The spec flattened to path -> plain value; only fields that are set."""
    flat: dict[str, Any] = {
        "image": spec.container.image,
        "engine": spec.server.engine,
        "port": spec.container.port,
        "model": spec.server.model,
        "served_names": list(spec.server.served_names),
        "network": spec.container.network,
        "ipc": spec.container.ipc,
        "shm_size": spec.container.shm_size,
        "drain": spec.server.drain,
        "gpus": list(spec.container.gpus) or "none",
        "restart": spec.container.restart,
    }
    if spec.container.memory is not None:
        flat["memory"] = spec.container.memory
    if spec.container.cpus is not None:
        flat["cpus"] = spec.container.cpus
    if spec.server.version:
        flat[_release_path(spec)] = spec.server.version
    server = engine_of(spec.server).canonical(spec.server)
    if server.extra_args:
        flat["extra_args"] = list(server.extra_args)
    if spec.container.publish:
        flat["publish"] = str(spec.container.publish)
    flat |= {f"args.{name}": _sorted(value) for name, value in server.args.items()}
    flat |= {f"env.{name}": value for name, value in spec.container.env.items()}
    flat |= {f"secrets.{s.name}": f"{s.origin} {s.fingerprint}" for s in spec.container.secrets}
    flat |= {f"mounts.{m.target}": m.source + (" (read-only)" if m.read_only else "") for m in spec.container.mounts}
    return flat


def _release_path(spec: Spec) -> str:
    return engine_of(spec.server).contract.release_setting


def _sorted(value: Any) -> Any:
    """Nested tables with their keys in order, so that equal values give equal text."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(v) for v in value] if isinstance(value, list | tuple) else value


def uncompared_secrets(before: Spec, after: Spec) -> list[str]:
    """Names of secrets whose value is unknown on one side (a review reads none): same name, same origin."""
    was = {s.name: s for s in before.container.secrets}
    both = [(was[s.name], s) for s in after.container.secrets if s.name in was]
    return [s.name for o, s in both if o.origin == s.origin and not (o.fingerprint and s.fingerprint)]


def _nested(path: str, was: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[FieldChange]:
    """A JSON-valued argument: names the key inside it, instead of printing both objects."""
    from deepdiff import DeepDiff

    delta = DeepDiff(was, wanted, view="tree", threshold_to_diff_deeper=0)
    changes = {}
    for level in (item for kind in delta.values() for item in kind):
        inner = ".".join([path, *(str(step) for step in level.path(output_format="list"))])
        changes[inner] = FieldChange(inner, _or_unset(level.t1), _or_unset(level.t2))
    return [changes[p] for p in sorted(changes)]


def _or_unset(value: Any) -> Any:
    from deepdiff.helper import NotPresent

    if value is NotPresent or isinstance(value, NotPresent):
        return None
    return "null" if value is None else value
