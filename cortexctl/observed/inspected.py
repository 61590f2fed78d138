"""The real settings of a container, from `GET /containers/ID/json`: facts that a label cannot show. Pure.

An environment can contain anything. So only those values are stored that the container's own spec has in plain text; of
its secrets only the fingerprints, and of all other variables only the names.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.instance.fingerprint import fingerprint
from cortexctl.instance.spec import InPlace, Spec
from cortexctl.observed.container_list import parse_in_place

ADDED_BY_DAEMONS = {"HOME", "HOSTNAME", "TERM", "container"}
"""Podman adds them to every environment."""
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Podman adds it if the image has none."""
_ALL_GPUS = -1
EVERYWHERE = "0.0.0.0"  # noqa: S104
_MANUAL_LIMITS = {"CpusetCpus": "cpuset_cpus", "CpuShares": "cpu_shares", "MemoryReservation": "memory_reservation"}
"""Limits of `docker update` that cortexctl never sets, and that no daemon sets by itself."""


@dataclass(frozen=True, slots=True)
class ImageDefaults:
    """What an image adds to every container that is created from it. `known` is False if the image no longer exists."""

    env: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """Its tags and digests: the names by which it can be requested."""
    known: bool = True


@dataclass(frozen=True, slots=True)
class Inspected:
    """`env` and `secrets` have the names that the spec has; `foreign_env` are names that neither the spec nor the image
    sets. `mounts` is target -> source, `gpus` device ids or "all", `limits` manual settings beyond `in_place`.
    `images`: the name that the container was created with, and the names of the image. `removes_itself`: it is removed
    when it stops (--rm). `network_mode`: set if no network can be added to the container: "host", "none" or another
    container's.
    """

    entrypoint: tuple[str, ...] = field(repr=False)
    command: tuple[str, ...] = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    foreign_env: tuple[str, ...] = ()
    in_place: InPlace = InPlace()
    limits: Mapping[str, Any] = field(default_factory=dict)
    publish: tuple[str, ...] = ()
    mounts: Mapping[str, str] = field(default_factory=dict)
    gpus: tuple[str, ...] = ()
    ipc: str = "private"
    shm_size: int = 0
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    privileged: bool = False
    stop_signal: str = ""
    log_driver: str = ""
    log_options: Mapping[str, str] = field(default_factory=dict)
    restarts: int = 0
    images: tuple[str, ...] = ()
    removes_itself: bool = False
    network_mode: str = ""


def parse_image_defaults(inspected: Mapping[str, Any]) -> ImageDefaults:
    """From `GET /images/ID/json`."""
    config = inspected.get("Config") or {}
    names = (*(inspected.get("RepoTags") or ()), *(inspected.get("RepoDigests") or ()))
    return ImageDefaults(tuple(config.get("Env") or ()), tuple(config.get("Volumes") or ()), names)


@dataclass(frozen=True, slots=True)
class InspectedHost:
    """Inspections by container id, and the image ids that tags have on the host now."""

    inspected: Mapping[str, Inspected] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)


def parse_inspected(inspected: Mapping[str, Any], spec: Spec, image: ImageDefaults, owner: str) -> Inspected:
    """`spec` is the container's own, from its label; `owner` is the key of the fingerprints."""
    config, host = inspected["Config"], inspected["HostConfig"]
    variables = dict(v.partition("=")[::2] for v in config.get("Env") or [])
    log = host.get("LogConfig") or {}
    return Inspected(
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        env={name: variables[name] for name in spec.container.env if name in variables},
        secrets={
            s.name: _print(owner, s.name, variables[s.name]) for s in spec.container.secrets if s.name in variables
        },
        foreign_env=_foreign(variables, spec, image),
        in_place=parse_in_place(inspected),
        limits={ours: host[theirs] for theirs, ours in _MANUAL_LIMITS.items() if host.get(theirs)},
        publish=_publish(host, f"{spec.container.port}/tcp"),
        mounts=_mounts(inspected.get("Mounts") or (), image),
        gpus=gpus_of(host.get("DeviceRequests") or ()),
        ipc=host.get("IpcMode") or "",
        shm_size=host.get("ShmSize") or 0,
        cap_add=_capabilities(host.get("CapAdd")),
        cap_drop=_capabilities(host.get("CapDrop")),
        security_opt=_security_opt(host.get("SecurityOpt") or ()),
        privileged=bool(host.get("Privileged")),
        stop_signal=str(config.get("StopSignal") or ""),
        log_driver=log.get("Type") or "",
        log_options=dict(log.get("Config") or {}),
        restarts=int(inspected.get("RestartCount") or 0),
        images=(*([config["Image"]] if config.get("Image") else []), *image.names),
        removes_itself=bool(host.get("AutoRemove")),
        network_mode=_closed(str(host.get("NetworkMode") or "")),
    )


def _closed(mode: str) -> str:
    return mode if mode in {"host", "none"} or mode.startswith(("container:", "ns:")) else ""


def _print(owner: str, name: str, value: str) -> str:
    return fingerprint(owner, name, value) if value else ""


def _foreign(variables: Mapping[str, str], spec: Spec, image: ImageDefaults) -> tuple[str, ...]:
    """Names only. Without the image the result is empty, because the image's own variables cannot be recognised."""
    if not image.known:
        return ()
    own = {*spec.container.env, *(s.name for s in spec.container.secrets), *ADDED_BY_DAEMONS}
    added = {*image.env, DEFAULT_PATH}
    return tuple(sorted(n for n, value in variables.items() if n not in own and f"{n}={value}" not in added))


def _publish(host: Mapping[str, Any], own_port: str) -> tuple[str, ...]:
    """In the stack's form, ADDRESS:PORT; the port is empty if the daemon picks it."""
    if host.get("PublishAllPorts"):
        return ("all ports",)
    bound = (host.get("PortBindings") or {}).items()
    return tuple(
        sorted(
            f"{b.get('HostIp') or EVERYWHERE}:{_port(b.get('HostPort'))}" + ("" if port == own_port else f" -> {port}")
            for port, bindings in bound
            for b in bindings or ()
        )
    )


def _port(text: str | None) -> str:
    return "" if text in {None, "0"} else str(text)


def _mounts(mounts: Sequence[Mapping[str, Any]], image: ImageDefaults) -> dict[str, str]:
    """Omits volumes that only the image declares."""
    sources = {}
    for mount in mounts:
        target = str(mount.get("Destination") or "")
        if target in image.volumes or (not image.known and mount.get("Type") == "volume"):
            continue
        source = mount.get("Name") if mount.get("Type") == "volume" else mount.get("Source")
        shown = posixpath.normpath(source) if source and source.startswith("/") else str(source or mount.get("Type"))
        sources[target] = shown + ("" if mount.get("RW") else " (read-only)")
    return sources


def gpus_of(requests: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The requested devices: their ids, "all", or "any N"."""
    ids: list[str] = []
    for request in requests:
        ids += request.get("DeviceIDs") or []
        count = request.get("Count") or 0
        ids += ["all"] if count == _ALL_GPUS else [f"any {count}"] if count else []
    return tuple(sorted(ids))


def _security_opt(options: Sequence[str]) -> tuple[str, ...]:
    """The daemon adds a label by itself if the container shares the host's IPC."""
    return tuple(sorted(o.removesuffix(":true") for o in options if not o.startswith("label=")))


def _capabilities(names: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(sorted(n.upper().removeprefix("CAP_") for n in names or ()))
