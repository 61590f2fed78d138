"""Removes the leftovers of a run that was killed at its very end: a lock, or half of a record."""

from __future__ import annotations

from contextlib import suppress

from cortexctl.apply.locking import Locks
from cortexctl.errors import DaemonError, LockHeld
from cortexctl.hosts.lock import is_dead
from cortexctl.operations.adapters import SystemClock, lock_identity
from cortexctl.operations.connections import OpenHosts
from cortexctl.plan.model import Plan


def tidy(plan: Plan, hosts: OpenHosts, run: str) -> None:
    """On the plan's hosts, under the lock: takes over a lock whose holder is provably gone, as an apply does."""
    left = hosts.left_by_killed_runs([planned.host.name for planned in plan.hosts if not planned.problem])
    if not left:
        return
    locks = Locks(plan, hosts, lock_identity(run), SystemClock(), is_dead)
    for host in left:
        with suppress(DaemonError, LockHeld), locks.hold(host):
            hosts.daemon(host).settle_record(plan.owner)
