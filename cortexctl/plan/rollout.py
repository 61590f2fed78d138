"""A model's instances over all hosts: the batches in which they change, and how many serve meanwhile."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from cortexctl.desired.stack import Desired, Instance
from cortexctl.plan.action import Action
from cortexctl.plan.model import Change, Rollout
from cortexctl.plan.steps import Pause, Step

_IN_BATCHES = {Action.REPLACE, Action.RESTART}
Place = tuple[str, str]
"""Host and address of an instance."""


def canaries_of(desired: Desired) -> frozenset[Place]:
    """The instances that go first: `canary` of each model, in the order of hosts and addresses, changed or not."""
    canaries: set[Place] = set()
    by_model: dict[str, list[Instance]] = {i.model: [] for i in desired.instances if i.canary}
    for instance in desired.instances if by_model else ():
        if instance.model in by_model:
            by_model[instance.model].append(instance)
    for instances in by_model.values():
        places = sorted((i.host, i.address) for i in instances)
        canaries |= set(places[: instances[0].canary])
    return frozenset(canaries)


def is_deferred(change: Change, with_canaries: Collection[str], canaries: Collection[Place]) -> bool:
    """With --canary-hold: whether it waits for another apply. `with_canaries`: the models that have some."""
    is_in_batches = change.model in with_canaries and change.action in _IN_BATCHES
    return is_in_batches and (change.host, change.address) not in canaries


def rollouts(
    desired: Desired,
    changes: Sequence[Change],
    steps: Iterable[Step],
    serving: Mapping[str, int],
    deferred: Iterable[Change] = (),
) -> tuple[Rollout, ...]:
    """One for each model that loses instances, temporarily or for good, or changes in more than one batch. `serving`:
    instances that run now, by model. `deferred`: changes that wait for another apply.

    The number of serving instances assumes that every stopped instance returns; one that does not return is down as
    well.
    """
    policies = {i.model: i for i in desired.instances}
    wanted = Counter(i.model for i in desired.instances)
    batches, canaries = _batches(steps, changes, desired), canaries_of(desired)
    waiting: dict[str, list[str]] = defaultdict(list)
    for change in deferred:
        waiting[change.model].append(change.address)
    going_down: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        if change.cost.down:
            going_down[change.model].append(change)
    all_rollouts = []
    for model in sorted(going_down.keys() | waiting.keys() | batches.keys()):
        down, in_turn, policy = going_down[model], batches.get(model, []), policies.get(model)
        if not down and not waiting[model] and len(in_turn) < 2:
            continue
        for_good = sum(c.action is Action.REMOVE for c in down)
        at_a_time = min(policy.max_unavailable if policy else 1, len(down) - for_good)
        all_rollouts.append(
            Rollout(
                model,
                serving.get(model, 0),
                wanted[model],
                never_below=max(serving.get(model, 0) - for_good - at_a_time, 0),
                at_a_time=at_a_time,
                batches=tuple(tuple(address for _, address in batch) for batch in in_turn),
                canaries=sum(canaries.issuperset(batch) for batch in in_turn),
                wait=policy.wait if policy else 0,
                deferred=tuple(sorted(waiting[model])),
            )
        )
    return tuple(all_rollouts)


def in_batches(steps: Sequence[Step], changes: Sequence[Change], desired: Desired) -> list[Step]:
    """Across hosts: a batch of a model's instances begins after the previous one is done and its pause is over.

    Batches follow the order of the steps (canaries, then host after host), so that no two can wait for each other.
    """
    wait = {i.model: i.wait for i in desired.instances}
    spans = _spans(steps)
    waits: dict[str, list[str]] = defaultdict(list)
    pauses: dict[str, Step] = {}
    for model, batches in _batches(steps, changes, desired).items():
        for before, batch in pairwise(batches):
            ends = [spans[place][1].id for place in before]
            firsts = [spans[place][0] for place in batch]
            if wait.get(model):
                pause = Step(f"{firsts[0].id}-wait", firsts[0].host, "", tuple(ends), Pause(wait[model]))
                pauses[firsts[0].id] = pause
                ends = [pause.id]
            for first in firsts:
                waits[first.id] += ends
    ordered = []
    for step in steps:
        ordered += [pauses[step.id]] if step.id in pauses else []
        new = tuple(end for end in waits.get(step.id, ()) if end not in step.after)
        ordered.append(replace(step, after=(*step.after, *new)) if new else step)
    return ordered


def _batches(steps: Iterable[Step], changes: Sequence[Change], desired: Desired) -> dict[str, list[list[Place]]]:
    """By model, in order. The size of a batch is the number of instances that may be down, plus those that may start
    beside their old ones.
    """
    limits = {i.model: i for i in desired.instances}
    canaries = canaries_of(desired)
    rolling = {(c.host, c.address): c for c in changes if c.action in _IN_BATCHES}
    ordered = [place for place in _spans(steps) if place in rolling]
    batches: dict[str, list[list[Place]]] = defaultdict(list)
    for first in (True, False):  # canaries, and then the others
        open_: dict[str, list[Place]] = {}
        for place in ordered:
            change = rolling[place]
            if (place in canaries) is not first:
                continue
            policy = limits.get(change.model)
            limit = 1 if policy is None else policy.max_surge if change.detail.start_first else policy.max_unavailable
            batch = open_.get(change.model)
            alike = [p for p in batch or () if rolling[p].detail.start_first is change.detail.start_first]
            if batch is None or len(alike) >= limit:
                batch = open_[change.model] = []
                batches[change.model].append(batch)
            batch.append(place)
    return dict(batches)


def _spans(steps: Iterable[Step]) -> dict[Place, tuple[Step, Step]]:
    """First and last step of each instance, in the order of the steps."""
    spans: dict[Place, tuple[Step, Step]] = {}
    for step in steps:
        if step.address:
            place = step.place
            spans[place] = (spans[place][0], step) if place in spans else (step, step)
    return spans
