"""Locks, one line per host."""

from __future__ import annotations

from cortexctl.operations.status_results import HostLock, LockState
from cortexctl.render.sanitise import visible
from cortexctl.text.units import show_seconds


def lock_text(lock: HostLock) -> str:
    return f"{lock.host}: {holder_text(lock.state) if lock.state else 'free'}\n"


def released_text(lock: HostLock) -> str:
    if lock.is_unreadable:
        return f"{lock.host}: released (its holder cannot be read)\n"
    return f"{lock.host}: {f'released ({holder_text(lock.state)})' if lock.state else 'was free'}\n"


def holder_text(lock: LockState) -> str:
    """The holder, the age of the lock, and whether the holder may still run."""
    holder = lock.holder
    alive = "its process runs" if lock.is_known else "its holder may be alive"
    state = "its holder is gone" if lock.is_dead else alive
    since = f"for {show_seconds(max(lock.now - holder.started, 0))}" if holder.started else "since an unknown time"
    pid = f"pid {holder.pid}" if holder.pid else "pid unknown"
    return visible(f"held by {holder.who} on {holder.machine_name}, {pid}, run {holder.run}, {since}; {state}")
