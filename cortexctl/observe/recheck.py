"""Reading hosts again: apply does it under the lock, and drift before it reports a problem."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Protocol

from cortexctl.concurrently import at_once_watched
from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired
from cortexctl.errors import DaemonError
from cortexctl.observe.gather import gather, read_records, unread_host
from cortexctl.observe.host_readers import ListReader, Readers
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.lock_holder import HeldLock
from cortexctl.observed.observation import Fact, Observed
from cortexctl.observed.record import HostRecord
from cortexctl.plan.needs import needs_of_drift
from cortexctl.waiting import UNWATCHED, Watch


def recheck(readers: ListReader, hosts: Sequence[str], watch: Watch = UNWATCHED) -> Observed:
    """The current containers of these hosts, which decide whether a plan is stale."""
    return Observed(tuple(at_once_watched(readers.observe, hosts, watch)))


class ReadsLock(Protocol):
    """None if it is free. Raises DaemonError."""

    def held_lock(self, host: str) -> HeldLock | None: ...


class LockReaders(Readers, ReadsLock, Protocol):
    """`record` with `unfinished`: also what a run may have been about to write."""

    def record(self, host: str, *, unfinished: bool = True) -> HostRecord | None: ...


@dataclass(frozen=True, slots=True)
class Reread:
    """Hosts, read after their locks. `locks`: of hosts where a lock is held or was left behind."""

    observed: Observed
    locks: Mapping[str, HeldLock]


def reread(desired: Desired, hosts: Collection[str], readers: LockReaders, watch: Watch = UNWATCHED) -> Reread:
    """The lock first, and everything else after it: the findings then do not come from a running apply, unless the lock
    shows one.
    """
    names = [h.name for h in desired.hosts if h.name in hosts]
    answers = dict(zip(names, at_once_watched(partial(read_lock, readers), names, watch), strict=True))
    unread = {name: unread_host(name, Fact.LOCK, a) for name, a in answers.items() if isinstance(a, DaemonError)}
    locks = {name: answer for name, answer in answers.items() if isinstance(answer, HeldLock)}

    def again(name: str) -> ObservedHost:
        return unread.get(name) or readers.observe(name)

    listed = Observed(tuple(at_once_watched(again, names, watch)))
    # The current or killed holder of the lock may have been about to write.
    recorded = read_records(listed, lambda name: readers.record(name, unfinished=name in locks), watch)
    here = desired.on_hosts(names)
    return Reread(gather(recorded, partial(needs_of_drift, here), readers, watch=watch), locks)


def read_lock(readers: ReadsLock, host: str) -> HeldLock | DaemonError | None:
    """The holder of a host's lock, or the reason why it cannot be read."""
    try:
        return readers.held_lock(host)
    except DaemonError as cause:
        return cause
