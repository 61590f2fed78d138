"""Results of `status` and `lock`, for `render/`: values only, without access to the adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cortexctl.dataclass import dataclass

if TYPE_CHECKING:
    from cortexctl.engines.measurement import Measurement
    from cortexctl.errors import DaemonError
    from cortexctl.observed.lock_holder import LockInfo

UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class LockState:
    """`now`: seconds since the epoch by the daemon's clock. `is_dead`: the holder is provably gone. `is_known`: it is a
    process of this machine, so its state is known.
    """

    holder: LockInfo
    now: int
    is_dead: bool
    is_known: bool


@dataclass(frozen=True, slots=True)
class HostLock:
    """The lock of one host. `is_unreadable`: the lock is held, but its holder cannot be read. `error`: the host did not
    answer.
    """

    host: str
    state: LockState | None = None
    is_unreadable: bool = False
    error: DaemonError | None = None


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """One instance, or a host that cannot be read."""

    address: str
    state: str
    generation: int = 0
    vllm: str = ""
    serves_names: tuple[str, ...] = ()
    endpoint: str = ""
    detail: str = ""
    measured: Measurement | None = None
    """The measurement of a start with these arguments, if this machine has one."""

    @property
    def serves(self) -> bool:
        return self.state == "healthy"

    @property
    def is_unread_host(self) -> bool:
        return self.state == UNREACHABLE


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """`locks`: the hosts with a running apply. `left_alone`: a sentence about each container that has the stack's
    labels but does not belong to it.
    """

    stack: str
    instances: tuple[InstanceStatus, ...]
    locks: tuple[HostLock, ...] = ()
    left_alone: tuple[str, ...] = ()

    @property
    def all_serve(self) -> bool:
        return all(instance.serves for instance in self.instances)
