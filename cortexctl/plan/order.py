"""The order of the changes of a host, and of the models of a stack."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field, replace

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired
from cortexctl.plan.action import Action
from cortexctl.plan.model import Change
from cortexctl.plan.steps import Step

_IN_ORDER = (
    Action.REMOVE,
    Action.MOVE,
    Action.ADOPT,
    Action.UPDATE,
    Action.RESTART,
    Action.REPLACE,
    Action.START,
    Action.CREATE,
)
"""Changes that free GPUs and ports come before changes that take them."""


@dataclass(frozen=True, slots=True)
class Order:
    """The inputs of the order on a host: `ranks` by model, from `after`; and which of its model's instances goes first,
    by host and address.
    """

    ranks: Mapping[str, int] = field(default_factory=dict)
    canaries: Collection[tuple[str, str]] = ()


def in_order(changes: Iterable[Change], order: Order = Order()) -> list[Change]:  # noqa: B008 - frozen
    """The order in which they are carried out on a host."""
    effective = (c for c in changes if c.action.does_something)

    def key(change: Change) -> tuple[bool, int, bool, tuple[int, str]]:
        is_canary = (change.host, change.address) in order.canaries
        return change.action is not Action.REMOVE, order.ranks.get(change.model, 0), not is_canary, _key(change)

    return sorted(effective, key=key)


def _key(change: Change) -> tuple[int, str]:
    return _IN_ORDER.index(change.action), change.address


def ranks_of(desired: Desired) -> dict[str, int]:
    """The depth of each model's `after` chain. A cycle (which is refused elsewhere) ends the chain."""
    after = {i.model: i.after for i in desired.instances}

    def depth(model: str, seen: frozenset[str]) -> int:
        waits = [m for m in after.get(model, ()) if m not in seen]
        return 1 + max((depth(m, seen | {model}) for m in waits), default=-1)

    return {model: depth(model, frozenset()) for model in after}


def _all_before(desired: Desired) -> dict[str, list[str]]:
    """The models that each model waits for, directly or not. A cycle (which is refused elsewhere) ends the chain."""
    after = {i.model: i.after for i in desired.instances}

    def before(model: str, seen: dict[str, None]) -> dict[str, None]:
        for other in after.get(model, ()):
            if other not in seen:
                seen[other] = None
                before(other, seen)
        return seen

    return {model: [m for m in before(model, {}) if m != model] for model in after}


def with_waits(steps: Sequence[Step], changes: Sequence[Change], desired: Desired) -> list[Step]:
    """On all hosts: a model's first step waits for the last steps of the models in its `after`, and of those in theirs:
    a model in between may have no change.
    """
    after = _all_before(desired)
    models = {(c.host, c.address): c.model for c in changes}
    removals = {(c.host, c.address) for c in changes if c.action is Action.REMOVE}
    last: dict[str, dict[str, str]] = {}
    for step in steps:
        model = models.get(step.place)
        if model:
            last.setdefault(model, {})[step.address] = step.id
    started: set[str] = set()
    waiting = []
    for step in steps:
        model = models.get(step.place, "")
        waits = [i for m in after.get(model, ()) for i in last.get(m, {}).values() if i not in step.after]
        goes = step.place in removals  # removals come first on their host, whatever waits
        if step.address and step.address not in started and waits and not goes:
            step = replace(step, after=(*step.after, *sorted(waits)))  # noqa: PLW2901
        started.add(step.address)
        waiting.append(step)
    return waiting
