"""From changes to steps, and from a failed change to the steps that bring back what was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cortexctl.observed.state import ObservedHost
from cortexctl.plan.action import Action
from cortexctl.plan.model import Change, ContainerRef
from cortexctl.plan.steps import (
    CreateContainer,
    EnsureNetwork,
    PassGate,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RenameContainer,
    SetRestart,
    StartContainer,
    Step,
    StopContainer,
    Task,
)
from cortexctl.spec.container import STOP_MARGIN
from cortexctl.spec.labels import STACK, generation_name, serving_name

RESTART_POLICY = "unless-stopped"
"""Not on-failure: a vLLM whose engine dies exits with code 0."""
SHORT_GRACE = 5
"""Seconds for one that has not passed its gate: it serves nobody, and may not hear SIGTERM at all."""
_IN_ORDER = (Action.REMOVE, Action.REPLACE, Action.START, Action.CREATE)
"""What frees GPUs and ports comes before what takes them."""


def in_order(changes: Iterable[Change]) -> list[Change]:
    """The order in which they are carried out on a host."""
    effective = (c for c in changes if c.action is not Action.NO_OP)
    return sorted(effective, key=lambda c: (_IN_ORDER.index(c.action), c.address))


def steps_for_host(host: ObservedHost, changes: Sequence[Change], stack: str) -> list[Step]:
    """One after the other on a host: its models share GPUs, and one failure must stop what follows."""
    ordered = in_order(changes)
    tasks: list[tuple[str, Task]] = []
    tasks += [("", task) for task in _pulls(ordered)]
    tasks += [("", task) for task in _networks_to_make(ordered)]
    for change in ordered:
        tasks += [(change.address, task) for task in tasks_of(change)]
    tasks += [("", task) for task in _networks_to_drop(host, changes, stack)]
    steps: list[Step] = []
    for number, (address, task) in enumerate(tasks, 1):
        after = (steps[-1].id,) if steps else ()
        steps.append(Step(f"{host.name}/{number:02d}", host.name, address, after, task))
    return steps


def tasks_of(change: Change) -> list[Task]:
    """The story of one change. The old container is neither removed nor renamed before the gate."""
    match change.action:
        case Action.CREATE:
            return [*_bring_up(change), *_promote(change)]
        case Action.REPLACE:
            return [
                _create(change),
                _stop(change, _serving(change)),
                *_bring_up(change)[1:],
                SetRestart(_serving(change).id, "no"),
                RenameContainer(_serving(change).id, _kept_name(change)),
                *_promote(change),
                *(RemoveContainer(ref.id) for ref in _pruned(change)),
            ]
        case Action.START:
            ref = _serving(change)
            halt = [_stop(change, ref)] if ref.state in {"restarting", "paused"} else []
            return [
                SetRestart(ref.id, "no"),  # no crash loop while it is being judged
                *halt,
                StartContainer(ref.id),
                PassGate(ref.id),
                SetRestart(ref.id, RESTART_POLICY),
            ]
        case Action.REMOVE:
            serves = [ref for ref in change.touched if ref.state not in {"created", "exited"}]
            stops = [_stop(change, ref) for ref in serves if ref.name == serving_name(change.model, change.ordinal)]
            return [*stops, *(RemoveContainer(ref.id) for ref in change.touched)]
        case Action.NO_OP:
            return []


def undo(change: Change) -> list[Task]:
    """After a failure anywhere in `tasks_of(change)`: back to what was, and what was is gated itself.

    A candidate is removed without a stop before it: nobody's requests are on it, and a starting vLLM loses a
    SIGTERM or hangs on it, which would keep the old one down for the whole grace.
    """
    candidate = _candidate_name(change)
    match change.action:
        case Action.CREATE:
            return [RemoveContainer(candidate)]
        case Action.REPLACE:
            old = _serving(change)
            away: list[Task] = [RemoveContainer(candidate)]
            if old.state != "running":
                return away
            return [
                *away,
                RenameContainer(old.id, old.name),
                StartContainer(old.id),
                PassGate(old.id),
                SetRestart(old.id, RESTART_POLICY),
            ]
        case Action.START:
            return [StopContainer(_serving(change).id, SHORT_GRACE)]
        case Action.REMOVE | Action.NO_OP:
            return []


def _pulls(changes: Sequence[Change]) -> list[Task]:
    wanted = {c.image.reference: c.image for c in changes if c.image and c.image.pull}
    return [PullImage(image.reference, image.digest) for _, image in sorted(wanted.items())]


def _networks_to_make(changes: Sequence[Change]) -> list[Task]:
    new = {c.after.network for c in changes if c.after and c.action in {Action.CREATE, Action.REPLACE}}
    return [EnsureNetwork(name) for name in sorted(new)]


def _networks_to_drop(host: ObservedHost, changes: Sequence[Change], stack: str) -> Iterator[Task]:
    """Networks that only removed containers were on. Whether we made it, the engine is asked at the time."""
    gone = {ref.id for c in changes if c.action is Action.REMOVE for ref in c.touched}
    in_use = {net for c in host.containers if c.id not in gone for net in c.networks}
    in_use |= {c.after.network for c in changes if c.after}
    left = {net for c in host.containers if c.id in gone and c.labels.get(STACK) == stack for net in c.networks}
    yield from (RemoveNetwork(name) for name in sorted(left - in_use))


def _bring_up(change: Change) -> list[Task]:
    name = _candidate_name(change)
    return [_create(change), StartContainer(name), PassGate(name), SetRestart(name, RESTART_POLICY)]


def _promote(change: Change) -> list[Task]:
    return [RenameContainer(_candidate_name(change), serving_name(change.model, change.ordinal))]


def _create(change: Change) -> CreateContainer:
    image = change.image
    if image is None:
        raise ValueError(f"{change.address}: a container without an image")
    pinned = image.id or (f"{image.reference.partition('@')[0]}@{image.digest}" if image.digest else "")
    return CreateContainer(_candidate_name(change), change.generation, pinned or image.reference)


def _stop(change: Change, ref: ContainerRef) -> StopContainer:
    return StopContainer(ref.id, change.before.stop_timeout if change.before else STOP_MARGIN)


def _serving(change: Change) -> ContainerRef:
    return change.touched[0]


def _pruned(change: Change) -> tuple[ContainerRef, ...]:
    name = _candidate_name(change)
    return tuple(ref for ref in change.touched[1:] if ref.name != name)


def _candidate_name(change: Change) -> str:
    return generation_name(change.model, change.ordinal, change.generation)


def _kept_name(change: Change) -> str:
    return generation_name(change.model, change.ordinal, _serving(change).generation)
