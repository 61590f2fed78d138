"""The locks of an apply: one per host, taken before anything is read again, and always released.

They also prove whether two hosts are one daemon under two URLs. Ids, names and lists can be equal on clones; but if the
lock that this run took on one host, with its random id, is read through another, both lead to one daemon. So this
needs no marker on the hosts and no request, also for daemons without containers, and without an id.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import field, replace
from functools import partial

from cortexctl.apply.protocols import Clock, Daemon, Daemons
from cortexctl.apply.shared_call import SharedCall
from cortexctl.dataclass import dataclass
from cortexctl.errors import DaemonError, LockHeld, Refused
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.plan.model import Plan
from cortexctl.text.units import show_seconds

LOCK_LASTS = 3 * 3600
"""Seconds after which a lock of another machine counts as abandoned, unless the plan itself may take longer."""
TRY_EVERY = 2.0
"""Seconds between two tries while waiting."""

IsDead = Callable[[LockInfo, int], bool]
"""(holder, seconds since the epoch now, by the daemon) -> whether the holder is provably gone."""


@dataclass
class Locks:
    """The locks of one run over one plan. `patience`: seconds to wait for another run's lock; `interrupted` ends
    that.
    """

    plan: Plan
    daemons: Daemons
    who: LockInfo
    clock: Clock
    is_dead: IsDead
    patience: float = 0
    interrupted: Callable[[], bool] = lambda: False
    waits: Callable[[str], None] = lambda _text: None
    """Called once, with a text that names the run it waits for."""
    waited_for: list[str] = field(default_factory=list)
    """The hosts whose lock another run held at first: it may have changed anything of the stack there."""
    _owner_ids: dict[str, str] = field(default_factory=dict)
    """Host -> the owner's id that is ours there."""
    _readings: dict[str, SharedCall[bool]] = field(default_factory=dict)
    """Host -> a reading of its lock, for all steps that are about to begin there."""
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def hold(self, host: str) -> Iterator[None]:
        """Take the host's lock, or that of a holder who is provably gone. Raises LockHeld, and Refused if this run
        holds it under another host's name.
        """
        daemon = self.daemons.daemon(host)
        self._owner_ids[host] = self._take(host, daemon).owner
        try:
            yield
        finally:
            # A daemon that is gone keeps its lock for a while; the completed work is more important.
            with suppress(DaemonError):
                if self._is_ours(host, daemon):
                    daemon.release_lock(self.plan.owner)

    def still_ours(self, host: str) -> bool:
        """A daemon that does not answer has not given the lock to another run: the step itself will report the
        problem.
        """
        if host not in self._owner_ids:
            return True
        with self._guard:
            if host not in self._readings:
                self._readings[host] = SharedCall(partial(self._may_be_ours, host))
            reading = self._readings[host]
        return reading()

    def _may_be_ours(self, host: str) -> bool:
        try:
            return self._is_ours(host, self.daemons.daemon(host))
        except DaemonError:
            return True

    def _is_ours(self, host: str, daemon: Daemon) -> bool:
        holder = daemon.read_lock(self.plan.owner)
        return holder is not None and holder.owner == self._owner_ids.get(host)

    def _take(self, host: str, daemon: Daemon) -> LockInfo:
        until = self.clock.elapsed() + self.patience
        is_reported = False
        while True:
            now = int(daemon.now())
            ours = self._ours(host, now)
            holder = self._try(host, daemon, ours, now)
            if holder.owner == ours.owner:
                return ours
            if self.clock.elapsed() >= until or self.interrupted():
                raise self._refusal(host, holder, now)
            if not is_reported:
                self.waits(f"{host}: waiting for {_holder_text(holder)}")
                self.waited_for.append(host)
                is_reported = True
            self.clock.sleep(TRY_EVERY)

    def _ours(self, host: str, now: int) -> LockInfo:
        starts = sum(c.detail.policy.gate.longest_start for c in self.plan.effective if c.cost.at_most)
        lasts = max(LOCK_LASTS, 2 * sum(c.cost.at_most or 0 for c in self.plan.effective) + starts)
        return replace(self.who, owner=self._owner_id(host), started=now, expires=now + lasts)

    def _owner_id(self, host: str) -> str:
        """Of this run's lock on a host."""
        return f"{self.who.owner}@{host}"

    def _try(self, host: str, daemon: Daemon, ours: LockInfo, now: int) -> LockInfo:
        """The holder after the attempt."""
        holder = daemon.take_lock(self.plan.owner, ours)
        self._refuse_one_daemon(host, holder)
        if holder.owner != ours.owner and self.is_dead(holder, now):
            if daemon.read_lock(self.plan.owner) == holder:  # still the dead run's lock, not that of a faster run
                daemon.release_lock(self.plan.owner)
            holder = daemon.take_lock(self.plan.owner, ours)
        return holder

    def _refuse_one_daemon(self, host: str, holder: LockInfo) -> None:
        urls = {planned.host.name: planned.host.docker for planned in self.plan.hosts}
        for other in urls.keys() - {host}:
            if holder.owner == self._owner_id(other):
                raise Refused(
                    f'hosts "{other}" and "{host}" are the same daemon ({urls[other]} and {urls[host]}): the lock that '
                    "this run took on the first is also the lock of the second; nothing was changed",
                    next_step="keep one of them in the stack",
                )

    def _refusal(self, host: str, holder: LockInfo, now: int) -> LockHeld:
        since = f"for {show_seconds(max(now - holder.started, 0))}" if holder.started else "for an unknown time"
        release = self.plan.invocation.command("lock release")
        return LockHeld(
            f"{host}: {_holder_text(holder)} has been applying the stack {self.plan.owner} {since}",
            next_step=f"wait for it (--lock-timeout 10m); if it is dead: {release}",
        )


def _holder_text(holder: LockInfo) -> str:
    return f"{holder.who} on {holder.machine_name} (pid {holder.pid}, run {holder.run})"
