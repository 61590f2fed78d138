"""A container as it really is, from `GET /containers/ID/json`: what a label cannot tell. Pure.

An environment may hold anything, so of its values only those are kept that the container's own spec has in the open;
of its secrets the fingerprints, and of all else the names.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cortexctl.instance.secret import fingerprint
from cortexctl.instance.shape import PORT
from cortexctl.instance.spec import InPlace, Spec
from cortexctl.observed.container_list import parse_in_place

ADDED_BY_ENGINES = {"HOME", "HOSTNAME", "TERM", "container"}
"""Podman puts them into every environment."""
_ALL_GPUS = -1
EVERYWHERE = "0.0.0.0"  # noqa: S104
_OF_HANDS = {"CpusetCpus": "cpuset_cpus", "CpuShares": "cpu_shares", "MemoryReservation": "memory_reservation"}
"""Limits of `docker update` that cortexctl never sets, and no daemon does by itself."""


@dataclass(frozen=True, slots=True)
class ImageDefaults:
    """What an image puts into every container that is made of it. `known` is False when it is not there any more."""

    env: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """By which it can be asked for: its tags and digests."""
    known: bool = True


@dataclass(frozen=True, slots=True)
class Inspected:
    """`env` and `secrets` have the names that the spec has; `foreign_env` are names that neither it nor the image
    sets. `mounts` is target -> source, `gpus` device ids or "all", `limits` what hands set beyond `in_place`. `images`:
    the name that its image was asked for by, and those that the image has. `removes_itself`: when it stops (--rm).
    `network_mode`: of one that no network can be added to: "host", "none" or another container's.
    """

    entrypoint: tuple[str, ...] = field(repr=False)
    command: tuple[str, ...] = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    foreign_env: tuple[str, ...] = ()
    in_place: InPlace = InPlace()  # noqa: RUF009 - frozen
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
    """Inspections by container id, and what image tags mean on the host now."""

    inspected: Mapping[str, Inspected] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)


def parse_inspected(found: Mapping[str, Any], spec: Spec, image: ImageDefaults, owner: str) -> Inspected:
    """`spec` is the container's own, from its label; `owner` keys the fingerprints."""
    config, host = found["Config"], found["HostConfig"]
    words = dict(word.partition("=")[::2] for word in config.get("Env") or [])
    log = host.get("LogConfig") or {}
    return Inspected(
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        env={name: words[name] for name in spec.container.env if name in words},
        secrets={s.name: _print(owner, s.name, words[s.name]) for s in spec.container.secrets if s.name in words},
        foreign_env=_foreign(words, spec, image),
        in_place=parse_in_place(found),
        limits={ours: host[theirs] for theirs, ours in _OF_HANDS.items() if host.get(theirs)},
        publish=_publish(host),
        mounts=_mounts(found.get("Mounts") or (), image),
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
        restarts=int(found.get("RestartCount") or 0),
        images=(*([config["Image"]] if config.get("Image") else []), *image.names),
        removes_itself=bool(host.get("AutoRemove")),
        network_mode=_closed(str(host.get("NetworkMode") or "")),
    )


def _closed(mode: str) -> str:
    return mode if mode in {"host", "none"} or mode.startswith(("container:", "ns:")) else ""


def _print(owner: str, name: str, value: str) -> str:
    return fingerprint(owner, name, value) if value else ""


def _foreign(words: Mapping[str, str], spec: Spec, image: ImageDefaults) -> tuple[str, ...]:
    """Names only. Without its image nothing can be said, for its values are among them."""
    if not image.known:
        return ()
    own = {*spec.container.env, *(s.name for s in spec.container.secrets), *ADDED_BY_ENGINES}
    return tuple(sorted(n for n, value in words.items() if n not in own and f"{n}={value}" not in image.env))


def _publish(host: Mapping[str, Any]) -> tuple[str, ...]:
    """As the stack writes it, ADDRESS:PORT; a daemon that picks the port itself has it empty."""
    if host.get("PublishAllPorts"):
        return ("all ports",)
    bound = (host.get("PortBindings") or {}).items()
    return tuple(
        sorted(
            f"{b.get('HostIp') or EVERYWHERE}:{_port(b.get('HostPort'))}" + ("" if port == PORT else f" -> {port}")
            for port, bindings in bound
            for b in bindings or ()
        )
    )


def _port(text: str | None) -> str:
    return "" if text in {None, "0"} else str(text)


def _mounts(mounts: Sequence[Mapping[str, Any]], image: ImageDefaults) -> dict[str, str]:
    """Volumes that the image declares, and nobody asked for, are left out."""
    found = {}
    for mount in mounts:
        target = str(mount.get("Destination") or "")
        if target in image.volumes or (not image.known and mount.get("Type") == "volume"):
            continue
        source = mount.get("Name") if mount.get("Type") == "volume" else mount.get("Source")
        shown = posixpath.normpath(source) if source and source.startswith("/") else str(source or mount.get("Type"))
        found[target] = shown + ("" if mount.get("RW") else " (read-only)")
    return found


def gpus_of(requests: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The devices that were asked for: their ids, "all", or "any N"."""
    ids: list[str] = []
    for request in requests:
        ids += request.get("DeviceIDs") or []
        count = request.get("Count") or 0
        ids += ["all"] if count == _ALL_GPUS else [f"any {count}"] if count else []
    return tuple(sorted(ids))


def _security_opt(options: Sequence[str]) -> tuple[str, ...]:
    """The daemon adds a label by itself where it shares the host's IPC."""
    return tuple(sorted(o.removesuffix(":true") for o in options if not o.startswith("label=")))


def _capabilities(names: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(sorted(n.upper().removeprefix("CAP_") for n in names or ()))
