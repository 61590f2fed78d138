"""How a container of a spec is made, beyond its words and its environment: what is made by it, and what is checked
by it afterwards, are one.
"""

from __future__ import annotations

from dataclasses import dataclass

from cortexctl.instance.spec import CONTAINER_PORT, ContainerSpec, Mount, Publish

PORT = f"{CONTAINER_PORT}/tcp"
CAP_DROP = ("ALL",)
SECURITY_OPT = ("no-new-privileges",)
STOP_SIGNAL = "SIGTERM"
LOG_DRIVER = "json-file"
LOG_OPTIONS = (("max-file", "3"), ("max-size", "50m"))


@dataclass(frozen=True, slots=True)
class Shape:
    """`gpus` are device ids, never "all". `shm_size` in bytes; None where the host's /dev/shm is shared."""

    network: str
    publish: Publish | None
    mounts: tuple[Mount, ...]
    gpus: tuple[str, ...]
    ipc: str
    shm_size: int | None
    cap_drop: tuple[str, ...] = CAP_DROP
    security_opt: tuple[str, ...] = SECURITY_OPT
    stop_signal: str = STOP_SIGNAL
    log_driver: str = LOG_DRIVER
    log_options: tuple[tuple[str, str], ...] = LOG_OPTIONS


def shape_of(spec: ContainerSpec) -> Shape:
    """What a spec does not say is said here, for all containers alike."""
    return Shape(
        network=spec.network,
        publish=spec.publish,
        mounts=spec.mounts,
        gpus=tuple(str(g) for g in spec.gpus),
        ipc=spec.ipc,
        shm_size=spec.shm_size if spec.ipc == "private" else None,
    )
