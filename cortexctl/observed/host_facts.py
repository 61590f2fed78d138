"""The facts about a host itself: its daemon, transport, clock and folders. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from cortexctl.dataclass import dataclass
from cortexctl.observed.daemon_product import is_podman
from cortexctl.observed.host_paths import PathFacts

GPU_VENDOR = "nvidia.com/gpu"
"""The vendor and class of GPUs in the names of CDI devices."""


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """`system`: the operating system's name. `memory`: bytes of the host; `cpus` and `memory` are 0 if unknown.
    `images_dir`: the folder with the images. `has_nvidia_runtime`, `cdi_gpus`: the ways to give GPUs to a container.
    """

    product: Literal["Docker", "Podman"]
    version: str
    api: str
    system: str = ""
    kernel: str = ""
    architecture: str = ""
    cpus: int = 0
    memory: int = 0
    storage: str = ""
    images_dir: str = ""
    is_rootless: bool = False
    has_nvidia_runtime: bool = False
    cdi_gpus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes of a file system; `free` for unprivileged users."""

    free: int
    total: int


FolderState = Literal["readable", "empty", "missing", "unreadable", "unknown"]


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """A declared folder of a host. `key`: models_dir or hf_cache. `container`: the one through which it was read.
    `detail`: the reason of a state.
    """

    key: str
    path: str
    state: FolderState = "unknown"
    container: str = ""
    detail: str = ""
    disk: Disk | None = None


@dataclass(frozen=True, slots=True)
class HostFacts:
    """If the host could not be read, `problem` has the reason and `daemon` is None.

    `round_trip`: seconds of one request (the median of several). `clock_offset`: seconds by which the daemon's clock is
    ahead of ours, to about a second; None if it sends no time.
    """

    name: str
    docker: str
    url: str
    transport: str
    daemon: DaemonFacts | None = None
    round_trip: float = 0.0
    clock_offset: float | None = None
    folders: tuple[FolderFacts, ...] = ()
    problem: str = ""
    next_step: str = ""
    paths: PathFacts | None = None
    """The paths to servers in its containers; None if the host could not be read."""


def parse_daemon(version: Mapping[str, Any], info: Mapping[str, Any], server: str) -> DaemonFacts:
    """`server`: the Server header of its answers."""
    components = {part.get("Name") or "": part.get("Version") or "" for part in version.get("Components") or ()}
    podman = next((name for name in components if is_podman(name)), "")
    runs_podman = bool(podman) or is_podman(server)
    devices = [d.get("ID") or "" for d in info.get("DiscoveredDevices") or () if d.get("Source") == "cdi"]
    return DaemonFacts(
        product="Podman" if runs_podman else "Docker",
        version=version.get("Version") or components.get(podman) or "",
        api=version["ApiVersion"],
        system=info.get("OperatingSystem") or "",
        kernel=info.get("KernelVersion") or version.get("KernelVersion") or "",
        architecture=info.get("Architecture") or version.get("Arch") or "",
        cpus=max(0, info.get("NCPU") or 0),
        memory=max(0, info.get("MemTotal") or 0),
        storage=info.get("Driver") or "",
        images_dir=info.get("DockerRootDir") or "",
        is_rootless=any("rootless" in option for option in info.get("SecurityOptions") or ()),
        has_nvidia_runtime="nvidia" in (info.get("Runtimes") or {}),
        cdi_gpus=tuple(sorted(d for d in devices if d.startswith(f"{GPU_VENDOR}="))),
    )
