"""The description of one instance in a normal form: it is compared, recorded and launched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any, Literal

from cortexctl.dataclass import dataclass

DEFAULT_NETWORK = "cortex_default"
DEFAULT_SHM_SIZE = 2 * 1024**3
"""vLLM's workers communicate through /dev/shm; with Docker's 64 MiB they fail at start (measured; vLLM's docs
agree).
"""
STOP_MARGIN = 30
"""Seconds that Docker waits beyond `drain` before SIGKILL, because vLLM's own time-out does not limit its stop."""


CPU_PERIOD = 100_000
"""Microseconds; a quota of this size is one core."""
RESTART_POLICY = "unless-stopped"
"""Not on-failure: a vLLM whose engine dies exits with code 0, which on-failure treats as success."""


@dataclass(frozen=True, slots=True)
class InPlace:
    """Settings that can change while a container runs. `memory` in bytes, `cpus` in cores; None: no limit."""

    restart: str = RESTART_POLICY
    memory: int | None = None
    cpus: float | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the host (absolute path) or a named volume, at `target` in the container."""

    source: str
    target: str
    read_only: bool = True

    @property
    def is_volume(self) -> bool:
        return not self.source.startswith("/")


@dataclass(frozen=True, slots=True)
class Publish:
    """The address of the server's port on the host. `port` None: the daemon picks a free one."""

    address: str
    port: int | None = None

    def __str__(self) -> str:
        return f"{self.address}:{self.port}" if self.port else f"{self.address} (any free port)"


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A secret by name: the source of its value, and a keyed fingerprint of it. Never the value."""

    name: str
    source: Literal["env", "file", "var", "command"]
    key: str
    fingerprint: str

    @property
    def origin(self) -> str:
        return f"{self.source}:{self.key}"


@dataclass(frozen=True, slots=True)
class Container:
    """The settings for the daemon, independent of the server in the container. `port` is the port inside the container
    on which the server listens. `shm_size` and `memory` in bytes, `cpus` in cores; None: no limit. Mappings are read
    only by convention.
    """

    image: str
    port: int
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[SecretRef, ...] = ()
    gpus: tuple[int, ...] = ()
    mounts: tuple[Mount, ...] = ()
    publish: Publish | None = None
    network: str = DEFAULT_NETWORK
    ipc: Literal["private", "host"] = "private"
    shm_size: int = DEFAULT_SHM_SIZE
    restart: str = RESTART_POLICY
    memory: int | None = None
    cpus: float | None = None

    @property
    def in_place(self) -> InPlace:
        return InPlace(self.restart, self.memory, self.cpus)


@dataclass(frozen=True, slots=True)
class Server:
    """The program in the container. `engine` names an inference engine of the registry (engines/base.py), `version` its
    release. `args` are the engine's own parameters by name, only those that the stack sets; `extra_args` are raw
    arguments that cortexctl does not know. `drain`: seconds to finish running requests after SIGTERM.
    """

    engine: str
    model: str
    served_names: tuple[str, ...]
    version: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    extra_args: tuple[str, ...] = ()
    drain: int = 30


@dataclass(frozen=True, slots=True)
class Spec:
    """One instance: its container and the server in it. Labels omit every field that has its default."""

    container: Container
    server: Server

    @property
    def stop_timeout(self) -> int:
        """Seconds between SIGTERM and SIGKILL."""
        return self.server.drain + STOP_MARGIN

    def with_in_place(self, settings: InPlace) -> Spec:
        """The same spec with another restart policy and other limits."""
        now = replace(self.container, restart=settings.restart, memory=settings.memory, cpus=settings.cpus)
        return replace(self, container=now)
