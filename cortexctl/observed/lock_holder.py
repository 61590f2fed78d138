"""The holder of a host's lock."""

from __future__ import annotations

from cortexctl.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class LockInfo:
    """The holder of a host's lock. Times are seconds since the epoch, by the daemon's clock. A `pid` or a time
    `started` of 0 means not known; a lock without `expires` never expires.
    """

    owner: str
    who: str
    machine: str
    pid: int
    run: str
    started: int
    expires: int | None
    born: str = ""
    """Start time of the process, in its kernel's ticks. It shows whether the number now belongs to another process."""

    @property
    def machine_name(self) -> str:
        """The machine's name for people, without the parts that identify the boot and the process namespace."""
        return self.machine.partition("#")[0]


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock that is held or was left behind. `now`: seconds since the epoch by the daemon's clock, to check whether
    the lock has expired.
    """

    holder: LockInfo
    now: float
