"""The locks of the stack's hosts: their holders, and their release."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cortexctl.concurrently import at_once_watched
from cortexctl.desired.stack import Desired
from cortexctl.errors import DaemonError, DaemonRefused, UsageError
from cortexctl.hosts.lock import is_dead, runs_here
from cortexctl.observed.lock_holder import HeldLock
from cortexctl.operations.connections import OpenHosts
from cortexctl.operations.status_results import HostLock, LockState
from cortexctl.waiting import Watch


def lock_state(lock: HeldLock) -> LockState:
    """The holder, and whether it may still run."""
    now = int(lock.now)
    return LockState(lock.holder, now, is_dead(lock.holder, now), runs_here(lock.holder) and lock.holder.pid > 0)


def read_locks(desired: Desired, hosts: OpenHosts) -> Sequence[HostLock]:
    """The locks of all hosts, read at once. A host that does not answer does not affect the others."""

    def read(host: str) -> HostLock:
        return HostLock(host, _state(hosts, host))

    return _of_each([h.name for h in desired.hosts], read, hosts.watch)


def release_locks(desired: Desired, hosts: OpenHosts, only: str | None) -> Sequence[HostLock]:
    """Also a lock that has a live holder or cannot be read. `only`: the one host. Raises UsageError."""
    if only not in {None, *(h.name for h in desired.hosts)}:
        raise UsageError(f'there is no host "{only}"; known: {", ".join(h.name for h in desired.hosts)}')

    def release(host: str) -> HostLock:
        try:
            released = HostLock(host, _state(hosts, host))
        except DaemonRefused:
            released = HostLock(host, is_unreadable=True)
        hosts.daemon(host).release_lock(desired.owner)
        return released

    return _of_each([h.name for h in desired.hosts if only in {None, h.name}], release, hosts.watch)


def _state(hosts: OpenHosts, host: str) -> LockState | None:
    lock = hosts.held_lock(host)
    return lock_state(lock) if lock else None


def _of_each(hosts: Sequence[str], act: Callable[[str], HostLock], watch: Watch) -> Sequence[HostLock]:
    def of_host(host: str) -> HostLock:
        try:
            return act(host)
        except DaemonError as cause:
            return HostLock(host, error=cause)

    return at_once_watched(of_host, hosts, watch)
