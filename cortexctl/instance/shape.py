"""How the container of a spec is created, apart from its command and its environment. Creation and the later check use
the same values.
"""

from __future__ import annotations

from cortexctl.dataclass import dataclass
from cortexctl.instance.spec import Container, Mount, Publish

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


def shape_of(container: Container) -> Shape:
    """Settings that a spec does not have; they are the same for all containers."""
    return Shape(
        network=container.network,
        publish=container.publish,
        mounts=container.mounts,
        gpus=tuple(str(g) for g in container.gpus),
        ipc=container.ipc,
        shm_size=container.shm_size if container.ipc == "private" else None,
    )
