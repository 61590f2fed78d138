"""From changes to steps, and from a failed change to the steps that bring back what was."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import assert_never

from cortexctl.instance.labels import generation_name, is_generation_name, owner_of, serving_name, undone_name
from cortexctl.instance.spec import RESTART_POLICY, STOP_MARGIN
from cortexctl.observed.host import ObservedHost
from cortexctl.plan.action import Action
from cortexctl.plan.diff import NETWORK
from cortexctl.plan.model import Change, ContainerRef
from cortexctl.plan.order import Order, in_order
from cortexctl.plan.steps import (
    AdoptContainer,
    ConnectNetwork,
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
    TryReach,
    UpdateContainer,
)

SHORT_GRACE = 5
"""Seconds for one that has not passed its gate: it serves nobody, and may not hear SIGTERM at all."""


def steps_for_host(
    host: ObservedHost, changes: Sequence[Change], order: Order, owner: str, drop: Collection[str] = ()
) -> list[Step]:
    """One after the other on a host: its models share GPUs, and one failure must stop what follows. `drop`: networks
    to remove that may have been left by an earlier run.
    """
    ordered = in_order(changes, order)
    tasks: list[tuple[str, Task]] = []
    tasks += [("", task) for task in _pulls(ordered)]
    tasks += [("", task) for task in _networks_to_make(ordered)]
    for change in ordered:
        tasks += [(change.address, task) for task in tasks_of(change)]
    tasks += [("", task) for task in _networks_to_drop(host, changes, owner, drop)]
    steps: list[Step] = []
    for number, (address, task) in enumerate(tasks, 1):
        after = (steps[-1].id,) if steps else ()
        steps.append(Step(f"{host.name}/{number:02d}", host.name, address, after, task))
    return steps


def tasks_of(change: Change) -> list[Task]:
    """The story of one change. The old container is neither removed nor renamed before the gate."""
    return [*([AdoptContainer(change.imported)] if change.imported else []), *_story(change)]


def _story(change: Change) -> list[Task]:
    match change.action:
        case Action.CREATE:
            return [*_create(change), *_bring_up(change), *_promote(change)]
        case Action.REPLACE:
            stop = [_stop(change, _serving(change))]
            return [
                *_create(change),
                *_try(change),
                *([] if change.start_first else stop),
                *_bring_up(change),
                *(stop if change.start_first else []),
                SetRestart(_serving(change).id, "no"),
                RenameContainer(_serving(change).id, kept_name(change), _serving(change).name),
                *(
                    RenameContainer(r.id, generation_name(change.model, change.ordinal, r.generation), r.name)
                    for r in _stale_names(change)
                ),
                *_promote(change),
                *(RemoveContainer(ref.id) for ref in _pruned(change)),
                *([] if change.keep else [RemoveContainer(_serving(change).id)]),
            ]
        case Action.START:
            ref = _serving(change)
            halt = [_stop(change, ref)] if ref.state in {"restarting", "paused"} else []
            return _prove_again(change, halt)
        case Action.RESTART:
            return [*_try(change), *_prove_again(change, [_stop(change, _serving(change))])]
        case Action.UPDATE | Action.ADOPT:
            return [*_update(change), *_rename(change)]
        case Action.MOVE:
            return _rename(change)
        case Action.REMOVE:
            serves = [ref for ref in change.touched if ref.state not in {"created", "exited"}]
            stops = [_stop(change, ref) for ref in serves if not is_generation_name(ref.name)]
            return [*stops, *(RemoveContainer(ref.id) for ref in change.touched)]
        case Action.NO_OP | Action.FORGET:
            return []
        case _:
            assert_never(change.action)


def _try(change: Change) -> list[Task]:
    """A healthy server must not be stopped for a gate that can never be asked. One that is down cannot tell."""
    return [TryReach(_serving(change).id)] if _serving(change).state == "running" else []


def _prove_again(change: Change, halt: Sequence[Task]) -> list[Task]:
    """A new process in the old container. Until it has passed its gate it is a candidate again, by name too: a run
    that is killed on the way is then found unfinished, not taken for served.
    """
    ref = _serving(change)
    return [
        RenameContainer(ref.id, _candidate_name(change), ref.name),
        SetRestart(ref.id, "no"),  # no crash loop while it is being judged
        *halt,
        *_in_place(change),
        StartContainer(ref.id),
        PassGate(ref.id),
        SetRestart(ref.id, _policy(change)),
        RenameContainer(ref.id, serving_name(change.model, change.ordinal), _candidate_name(change)),
    ]


def undo(change: Change) -> list[Task]:
    """After a failure anywhere in `tasks_of(change)`: back to what was, and what was is gated itself.

    A candidate is removed without a stop before it: nobody's requests are on it, and a starting vLLM loses a
    SIGTERM or hangs on it, which would keep the old one down for the whole grace.
    """
    candidate = _candidate(change)
    match change.action:
        case Action.CREATE if change.adopted:
            return [StopContainer(candidate, SHORT_GRACE)]  # it was there before us, and may be all that there is
        case Action.CREATE:
            return [RemoveContainer(candidate)]
        case Action.REPLACE if change.goes_back:
            old = _serving(change)
            return [StopContainer(candidate, SHORT_GRACE), *_bring_back(change, old)]
        case Action.REPLACE:
            old = _serving(change)  # also one that is down: an interrupted run may have stopped it, and it should run
            return [RemoveContainer(candidate), *_bring_back(change, old)]
        case Action.RESTART:
            old = _serving(change)
            return [SetRestart(old.id, _policy(change)), RenameContainer(old.id, old.name)]
        case Action.START:
            old = _serving(change)
            return [StopContainer(old.id, SHORT_GRACE), RenameContainer(old.id, old.name)]
        case Action.REMOVE | Action.UPDATE | Action.ADOPT | Action.MOVE | Action.NO_OP | Action.FORGET:
            return []
        case _:
            assert_never(change.action)


def undo_unnoticed(change: Change) -> list[Task]:
    """After a failure before anything that serves was touched: the candidate that was made for it goes again."""
    makes_one = any(isinstance(task, CreateContainer) for task in tasks_of(change))
    return [RemoveContainer(_candidate(change))] if makes_one else []


def _bring_back(change: Change, old: ContainerRef) -> list[Task]:
    return [
        RenameContainer(old.id, old.name),
        StartContainer(old.id),
        PassGate(old.id),
        SetRestart(old.id, change.before.restart if change.before else RESTART_POLICY),
    ]


def _pulls(changes: Sequence[Change]) -> list[Task]:
    wanted = {c.image.reference: c.image for c in changes if c.image and c.image.pull}
    return [PullImage(image.reference, image.digest) for _, image in sorted(wanted.items())]


def _networks_to_make(changes: Sequence[Change]) -> list[Task]:
    new = {c.after.network for c in changes if c.after and c.action in {Action.CREATE, Action.REPLACE}}
    new |= {c.after.network for c in changes if c.after and c.imported and _joins(c)}
    return [EnsureNetwork(name) for name in sorted(new)]


def _joins(change: Change) -> bool:
    """Whether its container, as it is, is put on the network."""
    return any(f.path == NETWORK and f.in_place for f in change.fields)


def _networks_to_drop(
    host: ObservedHost, changes: Sequence[Change], owner: str, drop: Collection[str]
) -> Iterator[Task]:
    """Networks that only removed containers were on; after a destroy all of the stack's, for an earlier one may have
    ended before this. Whether we made them, the daemon is asked at the time.
    """
    takes_away = (c for c in changes if c.action in {Action.REMOVE, Action.REPLACE})  # also what a replacement prunes
    gone = {task.container for c in takes_away for task in tasks_of(c) if isinstance(task, RemoveContainer)}
    in_use = {net for c in host.containers if c.id not in gone for net in c.networks}
    in_use |= {c.after.network for c in changes if c.after}
    ours = (c for c in host.containers if c.id in gone and owner_of(c.labels) == owner)
    left = {net for c in ours for net in c.networks} | set(drop)
    yield from (RemoveNetwork(name) for name in sorted(left - in_use))


def _candidate(change: Change) -> str:
    """How the steps speak of the new container: by the id of one that is there, else by the name it will get."""
    return change.adopted or _candidate_name(change)


def _bring_up(change: Change) -> list[Task]:
    new = _candidate(change)
    return [StartContainer(new), PassGate(new), SetRestart(new, _policy(change))]


def _policy(change: Change) -> str:
    return change.after.restart if change.after else RESTART_POLICY


def _update(change: Change) -> list[Task]:
    ref, spec = _serving(change), change.after
    if spec is None:
        return []
    paths = {f.path for f in change.fields}
    tasks: list[Task] = [SetRestart(ref.id, spec.restart)] if "restart" in paths else []
    return [*tasks, *_in_place(change)]


def _in_place(change: Change) -> list[Task]:
    """Limits and network of the container that stays."""
    ref, spec = _serving(change), change.after
    if spec is None:
        return []
    paths = {f.path for f in change.fields if f.in_place}
    tasks: list[Task] = [ConnectNetwork(ref.id, spec.network)] if NETWORK in paths else []
    if paths & {"memory", "cpus"}:
        memory = spec.memory if "memory" in paths else None
        tasks.append(UpdateContainer(ref.id, memory, spec.cpus if "cpus" in paths else None))
    return tasks


def _rename(change: Change) -> list[Task]:
    return [RenameContainer(_serving(change).id, change.rename, _serving(change).name)] if change.rename else []


def _promote(change: Change) -> list[Task]:
    return [RenameContainer(_candidate(change), serving_name(change.model, change.ordinal))]


def _create(change: Change) -> list[Task]:
    if change.adopted:
        return []
    image = change.image
    if image is None:
        raise ValueError(f"{change.address}: a container without an image")
    pinned = image.id or (f"{image.reference.partition('@')[0]}@{image.digest}" if image.digest else "")
    return [CreateContainer(_candidate_name(change), change.generation, pinned or image.reference)]


def _stop(change: Change, ref: ContainerRef) -> StopContainer:
    return StopContainer(ref.id, change.before.stop_timeout if change.before else STOP_MARGIN)


def _serving(change: Change) -> ContainerRef:
    return change.touched[0]


def _stale_names(change: Change) -> tuple[ContainerRef, ...]:
    """Old containers that still have the serving name, which the new one needs."""
    old = _serving(change)
    return tuple(r for r in change.touched[1:] if r.id not in {change.adopted, old.id} and _is_serving_name(change, r))


def _is_serving_name(change: Change, ref: ContainerRef) -> bool:
    return ref.name == serving_name(change.model, change.ordinal)


def _pruned(change: Change) -> tuple[ContainerRef, ...]:
    kept_or_new = {change.adopted, *(r.id for r in _stale_names(change))}
    return tuple(ref for ref in change.touched[1:] if ref.id not in kept_or_new)


def _candidate_name(change: Change) -> str:
    return generation_name(change.model, change.ordinal, change.generation)


def kept_name(change: Change) -> str:
    """What the container that serves is called once another has taken its place."""
    name = undone_name if change.goes_back and _serving(change).generation > change.generation else generation_name
    return name(change.model, change.ordinal, _serving(change).generation)
