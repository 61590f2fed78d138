"""From changes to steps, and from a failed change to the steps that restore the old state."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import assert_never

from cortexctl.desired.stack import GatePolicy
from cortexctl.instance.image import split_image
from cortexctl.instance.labels import generation_name, is_generation_name, owner_of, serving_name, undone_name
from cortexctl.instance.spec import RESTART_POLICY, STOP_MARGIN, Spec
from cortexctl.observed.host import ObservedHost
from cortexctl.plan.action import Action
from cortexctl.plan.claims import waits_among
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

_KIND = ("task", "runner", "convert")
"""Arguments that turn a model into another kind of server, with other requests."""
SHORT_GRACE = 5
"""Seconds for a candidate that has not passed its gate: it serves no clients, and may not react to SIGTERM at all."""


def steps_for_host(
    host: ObservedHost, changes: Sequence[Change], order: Order, owner: str, drop: Collection[str] = ()
) -> list[Step]:
    """First what all changes need (images, networks), then the changes: those that need the same GPU, port or name one
    after the other, the others side by side. `drop`: networks to remove that an earlier run may have left behind.
    """
    ordered = in_order(changes, order)
    steps: list[Step] = []

    def then(address: str, tasks: Sequence[Task], after: Sequence[str]) -> tuple[str, ...]:
        """Adds tasks, one after the other. Returns the id of the last one, or `after` if there are none."""
        for task in tasks:
            step = Step(f"{host.name}/{len(steps) + 1:02d}", host.name, address, tuple(after), task)
            steps.append(step)
            after = (step.id,)
        return tuple(after)

    first = then("", [*_pulls(ordered), *_networks_to_make(ordered)], ())
    lasts: list[tuple[str, ...]] = []
    for change, waits in zip(ordered, waits_among(ordered, host, order.canaries), strict=True):
        before = [last for earlier in waits for last in lasts[earlier]]
        lasts.append(then(change.address, tasks_of(change), before or first))
    waited_for = {i for step in steps for i in step.after}
    ends = dict.fromkeys(i for last in lasts for i in last if i not in waited_for)
    then("", list(_networks_to_drop(host, changes, owner, drop)), list(ends) or first)
    return steps


def tasks_of(change: Change) -> list[Task]:
    """The tasks of one change. The old container is neither removed nor renamed before the gate."""
    return [*([AdoptContainer(imported)] if (imported := change.detail.imported) else []), *_story(change)]


def _story(change: Change) -> list[Task]:
    match change.action:
        case Action.CREATE:
            return [*_create(change), *_bring_up(change), *_promote(change)]
        case Action.REPLACE:
            old = serving_of(change)
            stop = [_stop(change, old)]
            return [
                *_create(change),
                *_try(change),
                *([] if change.detail.start_first else stop),
                *_bring_up(change),
                *(stop if change.detail.start_first else []),
                SetRestart(old.id, "no"),
                RenameContainer(old.id, retained_name(change), old.name),
                *(RenameContainer(ref.id, _name_of_old(change, ref), ref.name) for ref in change.detail.displaced),
                *_promote(change),
                *(RemoveContainer(ref.id) for ref in change.detail.pruned),
                *([] if change.detail.policy.keep else [RemoveContainer(old.id)]),
            ]
        case Action.START:
            ref = serving_of(change)
            halt = [_stop(change, ref)] if ref.state in {"restarting", "paused"} else []
            return _prove_again(change, halt)
        case Action.RESTART:
            return [*_try(change), *_prove_again(change, [_stop(change, serving_of(change))])]
        case Action.UPDATE | Action.ADOPT:
            return [*_update(change), *_rename(change)]
        case Action.MOVE:
            return _rename(change)
        case Action.REMOVE:
            serves = [ref for ref in change.detail.touched if ref.state not in {"created", "exited"}]
            stops = [_stop(change, ref) for ref in serves if not is_generation_name(ref.name)]
            return [*stops, *(RemoveContainer(ref.id) for ref in change.detail.touched)]
        case Action.NO_OP | Action.FORGET:
            return []
        case _:
            assert_never(change.action)


def _try(change: Change) -> list[Task]:
    """A healthy server must not be stopped for a gate that can never reach the new one. A server that is down cannot be
    tested.
    """
    return [TryReach(serving_of(change).id)] if serving_of(change).state == "running" else []


def _prove_again(change: Change, halt: Sequence[Task]) -> list[Task]:
    """A new process in the old container. Until it has passed its gate it is a candidate again, by name too: if the run
    is killed meanwhile, the container is unfinished and does not count as proven.
    """
    ref = serving_of(change)
    return [
        RenameContainer(ref.id, _candidate_name(change), ref.name),
        SetRestart(ref.id, "no"),  # no crash loop while the gate runs
        *halt,
        *_in_place(change),
        StartContainer(ref.id),
        PassGate(ref.id),
        SetRestart(ref.id, _policy(change)),
        RenameContainer(ref.id, serving_name(change.model, change.detail.ordinal), _candidate_name(change)),
    ]


def undo(change: Change) -> list[Task]:
    """After a failure anywhere in `tasks_of(change)`: restores the old state, and gates the restored container itself.

    A candidate is removed without a stop: it serves no clients, and a starting vLLM ignores SIGTERM or hangs on it,
    which would extend the outage by the whole grace period.
    """
    candidate = _candidate(change)
    match change.action:
        case Action.CREATE if change.detail.candidate:
            return [StopContainer(candidate, SHORT_GRACE)]  # it existed before this change, and may be the only one
        case Action.CREATE:
            return [RemoveContainer(candidate)]
        case Action.REPLACE if change.detail.is_rollback:
            old = serving_of(change)
            return [StopContainer(candidate, SHORT_GRACE), *_bring_back(change, old)]
        case Action.REPLACE:
            old = serving_of(change)  # also if it is down: an interrupted run may have stopped it, and it should run
            return [RemoveContainer(candidate), *_bring_back(change, old)]
        case Action.RESTART:
            old = serving_of(change)
            return [SetRestart(old.id, _policy(change)), RenameContainer(old.id, old.name)]
        case Action.START:
            old = serving_of(change)
            return [StopContainer(old.id, SHORT_GRACE), RenameContainer(old.id, old.name)]
        case Action.REMOVE | Action.UPDATE | Action.ADOPT | Action.MOVE | Action.NO_OP | Action.FORGET:
            return []
        case _:
            assert_never(change.action)


def undo_unnoticed(change: Change) -> list[Task]:
    """After a failure before any serving container was touched: removes the candidate that was created."""
    makes_one = any(isinstance(task, CreateContainer) for task in tasks_of(change))
    return [RemoveContainer(_candidate(change))] if makes_one else []


def _bring_back(change: Change, old: ContainerRef) -> list[Task]:
    return [
        RenameContainer(old.id, old.name),
        StartContainer(old.id),
        PassGate(old.id),
        SetRestart(old.id, change.detail.before.container.restart if change.detail.before else RESTART_POLICY),
    ]


def restored(change: Change) -> Change:
    """The change that `undo` carries out: the restored container is gated against its own spec, not the new one.

    It may take at least the default time to start, and its speed is not measured: the stack's bounds apply to the new
    container. If it was another kind of server, its request is no longer known, and none is sent.
    """
    detail, gate = change.detail, change.detail.policy.gate
    smoke = gate.smoke
    if smoke is not None:
        smoke = replace(smoke, dimensions=None) if _kind(detail.before) == _kind(detail.after) else None
    gate = replace(
        gate,
        startup_timeout=max(gate.startup_timeout, GatePolicy().startup_timeout),
        smoke=smoke,
        max_ttft=None,
        min_tokens_per_second=None,
    )
    policy = replace(detail.policy, gate=gate)
    return replace(change, detail=replace(detail, after=detail.before or detail.after, policy=policy))


def _kind(spec: Spec | None) -> list[object]:
    return [spec.server.args.get(key) for key in _KIND] if spec else []


def _pulls(changes: Sequence[Change]) -> list[Task]:
    wanted = {c.detail.image.reference: c.detail.image for c in changes if c.detail.image and c.detail.image.pull}
    return [PullImage(image.reference, image.digest) for _, image in sorted(wanted.items())]


def _networks_to_make(changes: Sequence[Change]) -> list[Task]:
    new = {
        c.detail.after.container.network
        for c in changes
        if c.detail.after and c.action in {Action.CREATE, Action.REPLACE}
    }
    new |= {c.detail.after.container.network for c in changes if c.detail.after and c.detail.imported and _joins(c)}
    return [EnsureNetwork(name) for name in sorted(new)]


def _joins(change: Change) -> bool:
    """Whether its existing container is connected to the network."""
    return any(f.path == NETWORK and f.in_place for f in change.fields)


def _networks_to_drop(
    host: ObservedHost, changes: Sequence[Change], owner: str, drop: Collection[str]
) -> Iterator[Task]:
    """Networks that only removed containers used; after a destroy all networks of the stack, because an earlier destroy
    may have been interrupted. The daemon decides at that time whether we created them.
    """
    takes_away = (
        c for c in changes if c.action in {Action.REMOVE, Action.REPLACE}
    )  # also containers that a replacement prunes
    gone = {task.container for c in takes_away for task in tasks_of(c) if isinstance(task, RemoveContainer)}
    in_use = {net for c in host.containers if c.id not in gone for net in c.networks}
    in_use |= {c.detail.after.container.network for c in changes if c.detail.after}
    ours = (c for c in host.containers if c.id in gone and owner_of(c.labels) == owner)
    left = {net for c in ours for net in c.networks} | set(drop)
    yield from (RemoveNetwork(name) for name in sorted(left - in_use))


def _candidate(change: Change) -> str:
    """The new container in the steps: the id of an existing one, else its future name."""
    return change.detail.candidate.id if change.detail.candidate else _candidate_name(change)


def _bring_up(change: Change) -> list[Task]:
    new = _candidate(change)
    return [StartContainer(new), PassGate(new), SetRestart(new, _policy(change))]


def _policy(change: Change) -> str:
    return change.detail.after.container.restart if change.detail.after else RESTART_POLICY


def _update(change: Change) -> list[Task]:
    ref, spec = serving_of(change), change.detail.after
    if spec is None:
        return []
    paths = {f.path for f in change.fields}
    tasks: list[Task] = [SetRestart(ref.id, spec.container.restart)] if "restart" in paths else []
    return [*tasks, *_in_place(change)]


def _in_place(change: Change) -> list[Task]:
    """Limits and network of the container that stays."""
    ref, spec = serving_of(change), change.detail.after
    if spec is None:
        return []
    paths = {f.path for f in change.fields if f.in_place}
    tasks: list[Task] = [ConnectNetwork(ref.id, spec.container.network)] if NETWORK in paths else []
    if paths & {"memory", "cpus"}:
        memory = spec.container.memory if "memory" in paths else None
        tasks.append(UpdateContainer(ref.id, memory, spec.container.cpus if "cpus" in paths else None))
    return tasks


def _rename(change: Change) -> list[Task]:
    ref, name = serving_of(change), change.detail.rename
    return [RenameContainer(ref.id, name, ref.name)] if name else []


def _promote(change: Change) -> list[Task]:
    return [RenameContainer(_candidate(change), serving_name(change.model, change.detail.ordinal))]


def _create(change: Change) -> list[Task]:
    if change.detail.candidate:
        return []
    image = change.detail.image
    if image is None:
        raise ValueError(f"{change.address}: a container without an image")
    pinned = image.id or (split_image(image.reference).pinned(image.digest) if image.digest else "")
    return [CreateContainer(_candidate_name(change), change.detail.generation, pinned or image.reference)]


def _stop(change: Change, ref: ContainerRef) -> StopContainer:
    return StopContainer(ref.id, change.detail.before.stop_timeout if change.detail.before else STOP_MARGIN)


def serving_of(change: Change) -> ContainerRef:
    """The container that the change starts from. Raises ValueError if there is none, which never happens in a plan of
    ours.
    """
    if change.detail.serving is None:
        raise ValueError(f"{change.address}: nothing serves")
    return change.detail.serving


def _name_of_old(change: Change, ref: ContainerRef) -> str:
    return generation_name(change.model, change.detail.ordinal, ref.generation)


def _candidate_name(change: Change) -> str:
    return generation_name(change.model, change.detail.ordinal, change.detail.generation)


def retained_name(change: Change) -> str:
    """The name that the serving container gets after its replacement."""
    old, detail = serving_of(change), change.detail
    name = undone_name if detail.is_rollback and old.generation > detail.generation else generation_name
    return name(change.model, detail.ordinal, old.generation)
