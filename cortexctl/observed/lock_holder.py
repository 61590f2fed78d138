"""Who holds a host's lock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LockInfo:
    """Who holds a host's lock. Times are seconds since the epoch, by the daemon's clock. A `pid` or a time `started` of
    0 is not known; a lock that does not say when it `expires` never does.
    """

    owner: str
    who: str
    machine: str
    pid: int
    run: str
    started: int
    expires: int | None
    born: str = ""
    """When the process began, in its kernel's ticks: a number that was given to another process since is not it."""

    @property
    def machine_name(self) -> str:
        """For people: the machine without what tells boots and process spaces apart."""
        return self.machine.partition("#")[0]


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock that somebody has, or left. `now`: seconds since the epoch by its daemon's clock; by it the time of the
    holder is over or not.
    """

    holder: LockInfo
    now: float
