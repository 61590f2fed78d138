"""A container as it was inspected, against what its spec makes: only what we set is compared, each side in the same
words, and what the image or the daemon filled in is left out.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cortexctl.engines.base import HIDDEN
from cortexctl.engines.registry import engine_of
from cortexctl.instance.shape import shape_of
from cortexctl.instance.spec import Mount, Spec
from cortexctl.observed.inspected import Inspected

OF_A_RELEASE = (
    *("args.", "cap_drop", "drain", "entrypoint", "extra_args", "log"),
    *("model", "security_opt", "served_names", "stop_signal"),
)
"""Paths of what a release of cortexctl makes of a spec: another release may make them otherwise."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`expected` by the spec, `found` in the container; None: not there."""

    path: str
    expected: Any
    found: Any

    @property
    def of_a_release(self) -> bool:
        return self.path.startswith(OF_A_RELEASE)


def differences(spec: Spec, found: Inspected, *, gpus_are_kept: bool = True) -> tuple[Difference, ...]:
    """Sorted by path. Restart policy, memory and cpus are not among them: those may have been changed by us.

    `gpus_are_kept` is False where the daemon drops device requests (Podman).
    """
    expected, actual = _expected(spec), _actual(found, spec)
    if not gpus_are_kept:
        actual["gpus"] = expected["gpus"]
    paths = sorted(expected.keys() | actual.keys())
    changed = [Difference(p, expected.get(p), actual.get(p)) for p in paths if expected.get(p) != actual.get(p)]
    return tuple(sorted([*changed, *_words(spec, found)], key=lambda d: d.path))


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


def _actual(found: Inspected, spec: Spec) -> dict[str, Any]:
    flat: dict[str, Any] = {
        "ipc": found.ipc,
        "cap_drop": list(found.cap_drop) or "none",
        "security_opt": list(found.security_opt) or "none",
        "stop_signal": "SIGTERM" if found.stop_signal == "15" else found.stop_signal,
        "log": _log(found.log_driver, found.log_options),
        "gpus": list(found.gpus) or "none",
        **found.limits,
    }
    if spec.container.ipc == "private":
        flat["shm_size"] = found.shm_size
    if found.publish:
        flat["publish"] = list(found.publish)
    if found.cap_add:
        flat["cap_add"] = list(found.cap_add)
    if found.privileged:
        flat["privileged"] = True
    flat |= {f"mounts.{target}": source for target, source in found.mounts.items()}
    flat |= {
        f"env.{name}": value if spec.container.env.get(name) == value else HIDDEN for name, value in found.env.items()
    }
    flat |= {f"env.{name}": HIDDEN for name in found.foreign_env}
    return flat | {f"secrets.{name}": _secret(spec, name, was) for name, was in found.secrets.items()}


def _secret(spec: Spec, name: str, found: str) -> str:
    applied = next((s.fingerprint for s in spec.container.secrets if s.name == name), "")
    return HIDDEN if not applied or found == applied else "(another value)"


def _log(driver: str, options: Mapping[str, str]) -> str:
    return " ".join([driver, *(f"{name}={value}" for name, value in sorted(options.items()))])


def _words(spec: Spec, found: Inspected) -> Iterator[Difference]:
    """The command line by its options, as its engine compares them."""
    argv = [*found.entrypoint, *found.command]
    for d in engine_of(spec.server).differences(spec.server, spec.container.port, argv):
        yield Difference(d.path, d.expected, d.actual)
