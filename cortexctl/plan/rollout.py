"""A model's instances over all hosts: how many are down at a time, and how many serve meanwhile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cortexctl.plan.action import Action
from cortexctl.plan.model import Change, Rollout
from cortexctl.plan.steps import Step
from cortexctl.spec.desired import Desired

_DOWN_FOR_A_WHILE = {Action.REPLACE, Action.RESTART}


def rollouts(desired: Desired, changes: Iterable[Change], serving: Mapping[str, int]) -> tuple[Rollout, ...]:
    """One for each model that loses an instance for a while or for good. `serving`: instances that run now, by model.

    It is a promise for a rollout in which what is stopped comes back; an instance that does not is down as well.
    """
    limits = {i.model: i.max_unavailable for i in desired.instances}
    wanted = {m: sum(i.model == m for i in desired.instances) for m in limits}
    by_model: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        if change.cost.down:
            by_model[change.model].append(change)
    found = []
    for model, down in sorted(by_model.items()):
        for_good = sum(c.action is Action.REMOVE for c in down)
        at_a_time = min(limits.get(model, 1), len(down) - for_good)
        never_below = max(serving.get(model, 0) - for_good - at_a_time, 0)
        found.append(Rollout(model, serving.get(model, 0), wanted.get(model, 0), never_below, at_a_time))
    return tuple(found)


def in_batches(steps: Sequence[Step], changes: Iterable[Change], desired: Desired) -> list[Step]:
    """Across hosts: no more than `max_unavailable` of a model's instances are down for a replacement at a time.

    The order is that of the steps, host after host, so that no two can wait for each other.
    """
    limits = {i.model: i.max_unavailable for i in desired.instances}
    down = {(c.host, c.address): c.model for c in changes if c.cost.down and c.action in _DOWN_FOR_A_WHILE}
    spans: dict[str, dict[tuple[str, str], _Span]] = defaultdict(dict)
    for step in steps:
        key = (step.host, step.address)
        if key in down:
            known = spans[down[key]]
            known[key] = _Span(known[key].first, step.id) if key in known else _Span(step.id, step.id)
    waits: dict[str, str] = {}
    for model, by_instance in spans.items():
        ordered = list(by_instance.values())
        limit = limits.get(model, 1)
        waits |= {later.first: earlier.last for earlier, later in zip(ordered, ordered[limit:], strict=False)}
    return [
        replace(s, after=(*s.after, waits[s.id])) if s.id in waits and waits[s.id] not in s.after else s for s in steps
    ]


@dataclass(frozen=True, slots=True)
class _Span:
    """The ids of an instance's first and last step."""

    first: str
    last: str
