"""What a run leaves in a host's record: the instances as they were applied, and how long their starts took."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from cortexctl.apply.protocols import Engine
from cortexctl.errors import EngineError
from cortexctl.observed.record import REMEMBERED, Applied, HostRecord, Start
from cortexctl.plan.action import Action
from cortexctl.plan.model import Change, Plan
from cortexctl.spec.container import ContainerSpec
from cortexctl.spec.labels import address

_NEW_CONTAINER = {Action.CREATE, Action.REPLACE}


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of an instance in this run: from its start to the end of its gate, and of the old one's stop."""

    start: float | None = None
    stop: float | None = None


def write_record(
    engine: Engine, plan: Plan, host: str, done: frozenset[str], took: Mapping[str, Took], run: str
) -> None:
    """Under the host's lock. A record is a help for people: that it cannot be written fails nothing."""
    with suppress(EngineError):
        old = engine.read_record(plan.owner)
        new = after_run(old, plan, host, done, took, run)
        if new != old:
            engine.write_record(plan.owner, new)


def after_run(
    old: HostRecord, plan: Plan, host: str, done: frozenset[str], took: Mapping[str, Took], run: str
) -> HostRecord:
    """The record once the run is over. `done`: the addresses whose changes were carried out whole."""
    here = [c for c in plan.changes if c.host == host]
    kept = dict(old.applied)
    for change in here:
        if change.action is Action.NO_OP or change.address in done:
            _note(kept, change, took.get(change.address, Took()), run)
    known = {c.address for c in here}
    return HostRecord(host, kept if plan.selection else {a: applied for a, applied in kept.items() if a in known})


def _note(kept: dict[str, Applied], change: Change, took: Took, run: str) -> None:
    if change.action is Action.REMOVE:
        kept.pop(change.address, None)
        return
    spec = _left(change)
    if spec is None:
        return
    was = kept.pop(change.address, None) or _under_old_name(kept, change)
    if change.action is Action.NO_OP and was is not None:
        kept[change.address] = was
        return
    applied = was or Applied(change.model, change.ordinal, change.generation, _run_of(change) or run, spec)
    if change.action in _NEW_CONTAINER:
        applied = replace(applied, run=run)
    start = (Start(round(took.start, 1), spec.model),) if took.start is not None else ()
    stop = (round(took.stop, 1),) if took.stop is not None else ()
    kept[change.address] = replace(
        applied,
        model=change.model,
        generation=change.generation,
        spec=spec,
        starts=(*applied.starts, *start)[-REMEMBERED:],
        stops=(*applied.stops, *stop)[-REMEMBERED:],
    )


def _left(change: Change) -> ContainerSpec | None:
    """The spec of the container that is there now: a new one's, or the old one's with what was changed in place."""
    if change.action in {*_NEW_CONTAINER, Action.ADOPT} or change.before is None or change.after is None:
        return change.after
    changed = {f.path: getattr(change.after, f.path) for f in change.fields if f.in_place and f.path != "network"}
    return replace(change.before, **changed)


def _under_old_name(kept: dict[str, Applied], change: Change) -> Applied | None:
    """A model that moved: its past is under the name that the reason tells."""
    olds = (address(change.host, r.detail, change.ordinal) for r in change.reasons if r.code.value == "moved")
    return next((found for old in olds if (found := kept.pop(old, None))), None)


def _run_of(change: Change) -> str:
    return change.touched[0].run if change.touched else ""
