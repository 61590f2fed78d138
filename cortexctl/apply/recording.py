"""The data that a run leaves in a host's record: the applied instances, and how long their starts took.

An instance is recorded as soon as it has passed its gate, before its container gets the serving name. A change or
removal without a gate is recorded before it starts. So the record is never older than the serving container, even if a
run is killed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import field, replace

from cortexctl.apply.protocols import Daemon
from cortexctl.dataclass import dataclass
from cortexctl.errors import DaemonError
from cortexctl.instance.labels import MODEL, address, owner_of, serving_name
from cortexctl.instance.spec import Spec
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.owned import Owned, read_owned
from cortexctl.observed.record import REMEMBERED, Applied, HostRecord, Start
from cortexctl.plan.action import Action
from cortexctl.plan.model import Change, Plan
from cortexctl.plan.recipes import serving_of

TRIES = 2
"""A daemon may refuse once: a record older than the serving container misleads its readers."""

_NEW_CONTAINER = {Action.CREATE, Action.REPLACE}
_NO_GATE = {Action.UPDATE, Action.MOVE, Action.REMOVE}


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of an instance in this run: from its start to the end of its gate, and of the old container's stop.
    `rate`: GiB/s at which it read its weights.
    """

    start: float | None = None
    stop: float | None = None
    rate: float | None = None


class Durations(dict[str, StepTimes]):
    """By address."""

    def note(self, address: str, **values: float) -> None:
        """Set these fields of an instance. Each instance is noted by one thread at a time."""
        self[address] = replace(self.get(address, StepTimes()), **values)


@dataclass
class Recording:
    """A host's record in one run, under the host's lock. `seen` is the host at the start of the run; `holds` is whether
    the run still has the lock; otherwise another run writes. A record that cannot be written fails nothing.
    """

    daemon: Daemon
    plan: Plan
    seen: ObservedHost
    run: str
    holds: Callable[[], bool] = lambda: True
    _before: HostRecord | None = None
    _now: dict[str, Applied] = field(default_factory=dict)
    _proven: set[str] = field(default_factory=set)
    _restored: dict[str, Applied] = field(default_factory=dict)
    _noted: int = 0
    """The number of times that `_now` was replaced."""
    _written: int = 0
    """Its value when `_now` was read for the last write."""
    _guard: threading.Lock = field(default_factory=threading.Lock)
    """Held while `_now` is replaced: changes of one host run at the same time."""
    _writing: threading.Lock = field(default_factory=threading.Lock)
    """Held during a write. Calls that wait for it share the next write."""

    def open(self) -> None:
        """Read the record of earlier runs, once. An unreadable record is not overwritten either."""
        for _ in range(TRIES):
            with suppress(DaemonError):
                self.daemon.settle_record(self.plan.owner)
                self._before = self.daemon.read_record(self.plan.owner)
                self._now = dict(self._before.applied)
                return

    def begins(self, change: Change) -> None:
        """Before the first step of a change."""
        if change.action not in _NO_GATE:
            return
        with self._guard:
            if change.action is Action.REMOVE:
                after = {a: applied for a, applied in self._now.items() if a != change.address}
            else:
                after = dict(self._now)
                _note(after, change, self._serving(change), StepTimes(), self.run)
                after = {**self._now, **after}  # under its old name, too, until it has the new one
            self._replace(after)
        self._write()

    def proven(self, change: Change) -> None:
        """It has passed its gate, and does not have the serving name yet."""
        with self._guard:
            self._proven.add(change.address)
            after = dict(self._now)
            was = after.get(change.address)
            _note(after, change, None, StepTimes(), self.run)
            if was is not None and _is_same(was, after[change.address]):
                return
            over = _named(change)
            over = over if over != change.detail.generation else None
            after[change.address] = replace(after[change.address], over=over)
            self._replace(after)
        self._write()

    def is_restored(self, change: Change) -> None:
        """The container that served before has passed its gate again, in place of the failed one."""
        old = serving_of(change)
        with self._guard:
            was = self._now.get(change.address)
            spec = change.detail.before
            if spec is None or was is None or was.generation == old.generation:
                return
            self._restored[change.address] = replace(was, generation=old.generation, run=old.run, spec=spec, over=None)
            self._replace({**self._now, change.address: self._restored[change.address]})
        self._write()

    def ends(self, done: frozenset[str], durations: Mapping[str, StepTimes]) -> None:
        """The run is over. `done`: the addresses whose changes were completed."""
        if self._before is None:
            return
        here = [c for c in self.plan.changes if c.host == self.seen.name]
        after = dict(self._before.applied)
        for change in here:
            if change.address in self._restored:
                after[change.address] = self._restored[change.address]
            elif change.action is Action.NO_OP or change.address in done:
                _note(after, change, self._serving(change), durations.get(change.address, StepTimes()), self.run)
            elif change.address in self._proven and change.address in self._now:
                after[change.address] = self._now[change.address]
        known = {c.address for c in here}
        if not self.plan.selection:
            after = {a: applied for a, applied in after.items() if a in known}
        self._replace(after)
        self._write()

    def _replace(self, after: dict[str, Applied]) -> None:
        if self._before is not None and after != self._now:
            self._now = after
            self._noted += 1

    def _write(self) -> None:
        """Returns when a record with all that was noted before the call is written."""
        noted = self._noted
        with self._writing:
            if self._written >= noted or not self.holds():
                return
            with self._guard:
                self._written, record = self._noted, HostRecord(self.seen.name, self._now)
            for again in range(TRIES):
                with suppress(DaemonError):
                    if again:  # the new record of a failed attempt must not be lost
                        self.daemon.settle_record(self.plan.owner)
                    self.daemon.write_record(self.plan.owner, record)
                    return

    def _serving(self, change: Change) -> Owned | None:
        """The serving container, by its name: a model that moved has another one in its labels."""
        name = serving_name(change.model, change.detail.ordinal)
        serving_container = next((c for c in self.seen.containers if c.name in {name, *_old_names(change)}), None)
        is_ours = (
            serving_container is not None
            and owner_of(serving_container.labels) == self.plan.owner
            and MODEL in serving_container.labels
        )
        return read_owned(serving_container) if serving_container is not None and is_ours else None


class Records:
    """The records of all hosts of a run. Implements `apply.protocols.Recorder`."""

    def __init__(self, by_host: Mapping[str, Recording]) -> None:
        self._by_host = by_host

    def open(self) -> None:
        """Under the locks, before anything is changed."""
        for recording in self._by_host.values():
            recording.open()

    def begins(self, change: Change) -> None:
        """Before the first step of a change."""
        if recording := self._by_host.get(change.host):
            recording.begins(change)

    def proven(self, change: Change) -> None:
        """It has passed its gate."""
        if recording := self._by_host.get(change.host):
            recording.proven(change)

    def is_restored(self, change: Change) -> None:
        """The container that served before has passed its gate again."""
        if recording := self._by_host.get(change.host):
            recording.is_restored(change)

    def end(self, done: frozenset[str], durations: Mapping[str, StepTimes]) -> None:
        """The run is over."""
        for recording in self._by_host.values():
            recording.ends(done, durations)


NO_RECORDS = Records({})
"""For a run that records nothing."""


def _note(
    entries: dict[str, Applied], change: Change, serving_container: Owned | None, times: StepTimes, run: str
) -> None:
    if change.action is Action.REMOVE:
        entries.pop(change.address, None)
        return
    spec = _left(change)
    if spec is None:
        return
    was = entries.pop(change.address, None) or _under_old_name(entries, change, serving_container)
    if change.action is Action.NO_OP and was is not None:
        entries[change.address] = _as_labelled(was, change, serving_container)
        return
    detail = change.detail
    applied = was or Applied(
        change.model, detail.ordinal, detail.generation, _run_of(change, serving_container) or run, spec
    )
    if change.action in _NEW_CONTAINER:
        applied = replace(applied, run=run)
    start = (Start(round(times.start, 1), spec.server.model),) if times.start is not None else ()
    stop = (round(times.stop, 1),) if times.stop is not None else ()
    rate = (float(f"{times.rate:.3g}"),) if times.rate is not None else ()
    entries[change.address] = replace(
        applied,
        model=change.model,
        generation=detail.generation,
        spec=spec,
        starts=(*applied.starts, *start)[-REMEMBERED:],
        stops=(*applied.stops, *stop)[-REMEMBERED:],
        rates=(*applied.rates, *rate)[-REMEMBERED:],
        over=None,
    )


def _as_labelled(was: Applied, change: Change, serving_container: Owned | None) -> Applied:
    """For a container that stays, the data in its labels: the run that created it may have been killed before it
    recorded it. Labels do not show later changes in place; the record of the same generation does.
    """
    now = replace(was, model=change.model, over=None)
    if serving_container is None or serving_container.spec is None:
        return now
    is_same = was.generation == serving_container.generation and _made_alike(was.spec, serving_container.spec)
    spec = was.spec if is_same else serving_container.spec
    return replace(now, generation=serving_container.generation, run=serving_container.run or was.run, spec=spec)


def _made_alike(one: Spec, other: Spec) -> bool:
    """Apart from settings that may have been changed in place."""
    return one.with_in_place(other.container.in_place) == other


def _is_same(one: Applied, other: Applied) -> bool:
    return (one.generation, one.run, one.spec) == (other.generation, other.run, other.spec)


def _left(change: Change) -> Spec | None:
    """The spec of the current container: the new one's, or the old one's with the changes in place."""
    before, after = change.detail.before, change.detail.after
    if change.action in {*_NEW_CONTAINER, Action.ADOPT} or before is None or after is None:
        return after
    wanted = after.container.in_place
    changed = {f.path: getattr(wanted, f.path) for f in change.fields if f.in_place and f.path != "network"}
    return before.with_in_place(replace(before.container.in_place, **changed))


def _named(change: Change) -> int | None:
    """The generation that has the serving name while the new one has passed its gate and does not have it yet."""
    names = {serving_name(change.model, change.detail.ordinal), *_old_names(change)}
    old = (change.detail.serving, *change.detail.displaced)
    return next((ref.generation for ref in old if ref is not None and ref.name in names), None)


def _under_old_name(entries: dict[str, Applied], change: Change, serving_container: Owned | None) -> Applied | None:
    """For a model that moved: its past is under its former name, or the one in the container's labels."""
    olds = (change.detail.moved_from, serving_container.model if serving_container is not None else "")
    addresses = (address(change.host, old, change.detail.ordinal) for old in olds if old)
    return next((applied for old in addresses if (applied := entries.pop(old, None))), None)


def _old_names(change: Change) -> Iterator[str]:
    if change.detail.moved_from:
        yield serving_name(change.detail.moved_from, change.detail.ordinal)


def _run_of(change: Change, serving_container: Owned | None) -> str:
    serving = change.detail.serving or serving_container
    return serving.run if serving else ""
