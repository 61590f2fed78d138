"""Reading hosts again: what apply reads under the lock, and what drift reads before it calls something wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from cortexctl.concurrently import at_once
from cortexctl.desired.stack import Desired
from cortexctl.errors import DaemonError
from cortexctl.observe.gather import gather, read_records, unread_host
from cortexctl.observe.host_readers import ListReader, Readers
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.lock_holder import HeldLock
from cortexctl.observed.observation import Fact, Observed
from cortexctl.observed.record import HostRecord
from cortexctl.plan.needs import needs_of_drift


def recheck(readers: ListReader, hosts: Sequence[str]) -> Observed:
    """The containers of these hosts, as they are now: whether a plan is stale is decided by it."""
    return Observed(tuple(at_once(readers.observe, hosts)))


class ReadsLock(Protocol):
    """None where it is free. Raises DaemonError."""

    def held_lock(self, host: str) -> HeldLock | None: ...


class LockReaders(Readers, ReadsLock, Protocol):
    """`record` with `unfinished`: also what a run may have been about to write."""

    def record(self, host: str, *, unfinished: bool = True) -> HostRecord | None: ...


@dataclass(frozen=True, slots=True)
class Reread:
    """Hosts, read after their locks. `locks`: of those where somebody has it, or left it."""

    observed: Observed
    locks: Mapping[str, HeldLock]


def reread(desired: Desired, hosts: Collection[str], readers: LockReaders) -> Reread:
    """The lock first and everything else after it: what is found then was not found in the middle of an apply, unless
    the lock says that there is one.
    """
    names = [h.name for h in desired.hosts if h.name in hosts]
    answers = dict(zip(names, at_once(partial(read_lock, readers), names), strict=True))
    unread = {name: unread_host(name, Fact.LOCK, a) for name, a in answers.items() if isinstance(a, DaemonError)}
    locks = {name: answer for name, answer in answers.items() if isinstance(answer, HeldLock)}

    def again(name: str) -> ObservedHost:
        return unread.get(name) or readers.observe(name)

    listed = Observed(tuple(at_once(again, names)))
    # Who has the lock, or had it when he was killed, may have been about to write.
    recorded = read_records(listed, lambda name: readers.record(name, unfinished=name in locks))
    here = desired.on_hosts(names)
    return Reread(gather(recorded, partial(needs_of_drift, here), readers), locks)


def read_lock(readers: ReadsLock, host: str) -> HeldLock | DaemonError | None:
    """Who has the lock of a host, or why that cannot be read."""
    try:
        return readers.held_lock(host)
    except DaemonError as cause:
        return cause
