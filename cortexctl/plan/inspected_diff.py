"""An inspected container against the container of its spec. Only settings that cortexctl sets are compared, both sides
in one normal form; values from the image or the daemon are omitted.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.base import HIDDEN
from cortexctl.engines.registry import engine_of
from cortexctl.instance.shape import shape_of
from cortexctl.instance.spec import Mount, Spec
from cortexctl.observed.inspected import Inspected
from cortexctl.plan.podman_settings import as_requested

OF_A_RELEASE = (
    *("args.", "cap_drop", "drain", "entrypoint", "extra_args", "log"),
    *("model", "security_opt", "served_names", "stop_signal"),
)
"""Paths of settings that a release of cortexctl chooses for a spec: another release may choose differently."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`expected` by the spec, `actual` in the container; None: not there."""

    path: str
    expected: Any
    actual: Any

    @property
    def of_a_release(self) -> bool:
        return self.path.startswith(OF_A_RELEASE)


def differences(spec: Spec, inspected: Inspected, *, on_podman: bool = False) -> tuple[Difference, ...]:
    """Sorted by path. Omits restart policy, memory and cpus: cortexctl may have changed those in place.

    `on_podman`: its daemon is Podman, which shows some settings in another form.
    """
    expected, actual = _expected(spec), _actual(inspected, spec)
    if on_podman:
        actual = as_requested(expected, actual)
    paths = sorted(expected.keys() | actual.keys())
    changed = [Difference(p, expected.get(p), actual.get(p)) for p in paths if expected.get(p) != actual.get(p)]
    return tuple(sorted([*changed, *_command(spec, inspected)], key=lambda d: d.path))


def _expected(spec: Spec) -> dict[str, Any]:
    shape = shape_of(spec.container)
    flat: dict[str, Any] = {
        "ipc": shape.ipc,
        "cap_drop": list(shape.cap_drop),
        "security_opt": list(shape.security_opt),
        "stop_signal": shape.stop_signal,
        "log": _log(shape.log_driver, dict(shape.log_options)),
        "gpus": sorted(shape.gpus) or "none",
    }
    if shape.shm_size is not None:
        flat["shm_size"] = shape.shm_size
    if shape.publish:
        flat["publish"] = [f"{shape.publish.address}:{shape.publish.port or ''}"]
    flat |= {f"mounts.{m.target}": _source(m) for m in shape.mounts}
    flat |= {f"env.{name}": value for name, value in spec.container.env.items()}
    return flat | {f"secrets.{s.name}": HIDDEN for s in spec.container.secrets}


def _source(mount: Mount) -> str:
    source = mount.source if mount.is_volume else posixpath.normpath(mount.source)
    return source + (" (read-only)" if mount.read_only else "")


def _actual(inspected: Inspected, spec: Spec) -> dict[str, Any]:
    flat: dict[str, Any] = {
        "ipc": inspected.ipc,
        "cap_drop": list(inspected.cap_drop) or "none",
        "security_opt": list(inspected.security_opt) or "none",
        "stop_signal": "SIGTERM" if inspected.stop_signal == "15" else inspected.stop_signal,
        "log": _log(inspected.log_driver, inspected.log_options),
        "gpus": list(inspected.gpus) or "none",
        **inspected.limits,
    }
    if spec.container.ipc == "private":
        flat["shm_size"] = inspected.shm_size
    if inspected.publish:
        flat["publish"] = list(inspected.publish)
    if inspected.cap_add:
        flat["cap_add"] = list(inspected.cap_add)
    if inspected.privileged:
        flat["privileged"] = True
    flat |= {f"mounts.{target}": source for target, source in inspected.mounts.items()}
    flat |= {
        f"env.{name}": value if spec.container.env.get(name) == value else HIDDEN
        for name, value in inspected.env.items()
    }
    flat |= {f"env.{name}": HIDDEN for name in inspected.foreign_env}
    return flat | {f"secrets.{name}": _secret(spec, name, was) for name, was in inspected.secrets.items()}


def _secret(spec: Spec, name: str, actual: str) -> str:
    applied = next((s.fingerprint for s in spec.container.secrets if s.name == name), "")
    return HIDDEN if not applied or actual == applied else "(another value)"


def _log(driver: str, options: Mapping[str, str]) -> str:
    return " ".join([driver, *(f"{name}={value}" for name, value in sorted(options.items()))])


def _command(spec: Spec, inspected: Inspected) -> Iterator[Difference]:
    """The command line by its options, as its engine compares them."""
    argv = [*inspected.entrypoint, *inspected.command]
    for d in engine_of(spec.server).differences(spec.server, spec.container.port, argv):
        yield Difference(d.path, d.expected, d.actual)
