"""A container that cortexctl does not own, from `GET /containers/ID/json`, in the terms of a stack. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.instance.spec import InPlace, Mount
from cortexctl.observed.container_list import parse_in_place
from cortexctl.observed.inspected import ADDED_BY_DAEMONS, EVERYWHERE, gpus_of

PROJECT = "com.docker.compose.project"
_GPUS_BY_ENV = "nvidia"
"""The runtime that takes a container's GPUs from its environment."""
_IDENTIFIERS = 12
"""Characters of a container's id that daemons add as a network alias and set as its host name."""
_HOST_SETTINGS = {
    "Devices": "devices", "Ulimits": "ulimits", "ExtraHosts": "extra hosts", "Dns": "DNS servers",
    "Tmpfs": "tmpfs", "Sysctls": "sysctls", "GroupAdd": "groups", "Links": "links", "Init": "init",
    "ReadonlyRootfs": "a read-only root", "OomScoreAdj": "OOM score", "PidMode": "PID mode", "UTSMode": "UTS mode",
    "UsernsMode": "user namespace", "CgroupParent": "cgroup parent", "StorageOpt": "storage options",
    "CpusetMems": "memory nodes",
}  # fmt: skip
_OWN_SETTINGS = {"User": "user", "WorkingDir": "working folder", "Healthcheck": "health check"}
_SHOWN = {"ExtraHosts", "GroupAdd", "User", "WorkingDir", "PidMode", "OomScoreAdj"}
"""Settings that are short and never contain a secret."""


@dataclass(frozen=True, slots=True)
class BoundTo:
    """A port of the container, bound on the host. `port` None: the daemon picks one."""

    address: str
    port: int | None
    inside: int


@dataclass(frozen=True, slots=True)
class Running:
    """`image` is the name that the container was created with, `tags` are the image's names on the host now. `argv`:
    the program and its arguments. `env` omits the image's own variables. `gpus`: device ids, "all" or "any N";
    `visible`: the GPUs that the environment names. `mounts` are folders and volumes; `other_mounts` are the targets of
    all other mounts. `project` is the Compose project. `unsupported`: settings that a stack cannot express, by name.
    """

    name: str
    image: str = ""
    tags: tuple[str, ...] = ()
    argv: tuple[str, ...] = field(default=(), repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    mounts: tuple[Mount, ...] = ()
    other_mounts: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()
    visible: str = ""
    bound: tuple[BoundTo, ...] = ()
    ipc: str = "private"
    shm_size: int = 0
    in_place: InPlace = InPlace()
    networks: tuple[str, ...] = ()
    removes_itself: bool = False
    project: str = ""
    unsupported: Mapping[str, str] = field(default_factory=dict)


def parse_running(inspected: Mapping[str, Any], image: Mapping[str, Any]) -> Running:
    """`image` is the container's image, from `GET /images/ID/json`."""
    config, host = inspected["Config"], inspected["HostConfig"]
    own = image.get("Config") or {}
    env = _environment(config)
    beyond = {n: v for n, v in env.items() if n not in ADDED_BY_DAEMONS and f"{n}={v}" not in (own.get("Env") or ())}
    mounts = [m for m in inspected.get("Mounts") or () if m.get("Destination") not in (own.get("Volumes") or {})]
    named = [m for m in mounts if m.get("Type") in {"bind", "volume"}]
    return Running(
        name=str(inspected.get("Name") or "").lstrip("/"),
        image=config.get("Image") or "",
        tags=tuple(image.get("RepoTags") or ()),
        argv=(*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())),
        env=beyond,
        mounts=tuple(sorted((_mount(m) for m in named), key=lambda m: m.target)),
        other_mounts=tuple(sorted(str(m.get("Destination")) for m in mounts if m not in named)),
        gpus=gpus_of(host.get("DeviceRequests") or ()) or _gpus_by_runtime(host, env),
        visible=beyond.get("CUDA_VISIBLE_DEVICES") or beyond.get("NVIDIA_VISIBLE_DEVICES") or "",
        bound=tuple(_bound(host)),
        ipc=host.get("IpcMode") or "private",
        shm_size=host.get("ShmSize") or 0,
        in_place=parse_in_place(inspected),
        networks=tuple(sorted((inspected.get("NetworkSettings") or {}).get("Networks") or ())),
        removes_itself=bool(host.get("AutoRemove")),
        project=(config.get("Labels") or {}).get(PROJECT) or "",
        unsupported=dict(_unsupported(inspected, own)),
    )


def _environment(config: Mapping[str, Any]) -> dict[str, str]:
    return dict(variable.partition("=")[::2] for variable in config.get("Env") or ())


def _mount(mount: Mapping[str, Any]) -> Mount:
    source = str(mount.get("Name") if mount["Type"] == "volume" else mount.get("Source"))
    if source.startswith("/"):
        source = posixpath.normpath(source)
    return Mount(source, str(mount.get("Destination")), read_only=not mount.get("RW"))


def _gpus_by_runtime(host: Mapping[str, Any], env: Mapping[str, str]) -> tuple[str, ...]:
    devices = env.get("NVIDIA_VISIBLE_DEVICES") or ""
    if host.get("Runtime") != _GPUS_BY_ENV or devices in {"", "void", "none"}:
        return ()
    return tuple(d.strip() for d in devices.split(","))


def _bound(host: Mapping[str, Any]) -> Iterator[BoundTo]:
    for inside, bindings in sorted((host.get("PortBindings") or {}).items()):
        for binding in bindings or ():
            port = str(binding.get("HostPort") or "")
            number, _, protocol = inside.partition("/")
            if protocol in {"", "tcp"} and number.isdigit() and (not port or port.isdigit()):
                yield BoundTo(binding.get("HostIp") or EVERYWHERE, int(port or 0) or None, int(number))


def _unsupported(inspected: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings beyond the image and the daemon's defaults that a stack cannot express."""
    config, host = inspected["Config"], inspected["HostConfig"]
    for theirs, ours in _HOST_SETTINGS.items():
        if host.get(theirs):
            yield ours, _shown(theirs, host[theirs])
    for theirs, ours in _OWN_SETTINGS.items():
        if config.get(theirs) and config.get(theirs) != own.get(theirs):
            yield ours, _shown(theirs, config[theirs])
    named = config.get("Hostname") and host.get("NetworkMode") != "host"
    if named and not str(inspected.get("Id") or config["Hostname"]).startswith(config["Hostname"]):
        yield "host name", str(config["Hostname"])
    networks = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
    aliases = {a for n in networks.values() for a in n.get("Aliases") or ()} - {str(inspected.get("Id"))[:_IDENTIFIERS]}
    if aliases:
        yield "network aliases", ", ".join(sorted(aliases))


def _shown(setting: str, value: Any) -> str:
    if setting not in _SHOWN:
        return ""
    return ", ".join(str(v) for v in value) if isinstance(value, list) else str(value)
