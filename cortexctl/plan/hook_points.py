"""The hooks of the stack that a plan runs, and when."""

from __future__ import annotations

from collections.abc import Sequence

from cortexctl.desired.hook import Hook, Point
from cortexctl.plan.action import Action
from cortexctl.plan.model import Change
from cortexctl.plan.steps import PassGate, StopContainer, Task

_TAKES_AWAY = {Action.REPLACE, Action.RESTART, Action.REMOVE}
_STARTS = {Action.CREATE, Action.REPLACE, Action.RESTART, Action.START}


def hooks_needed(hooks: Sequence[Hook], changes: Sequence[Change]) -> tuple[Hook, ...]:
    """The hooks that will run on success, or may run on a failure; none if nothing changes."""
    effective = [c for c in changes if c.action.does_something]
    return tuple(hook for hook in hooks if any(hook.applies_to(c.model) and _comes_to(hook.on, c) for c in effective))


def hooks_at(hooks: Sequence[Hook], point: Point, models: Sequence[str]) -> tuple[Hook, ...]:
    """The hooks of a point for any of the models; for a host's own steps (no models), the hooks for all models."""
    return tuple(
        h for h in hooks if h.on is point and (any(map(h.applies_to, models)) if models else h.models == ("*",))
    )


def stops_serving(change: Change, task: Task) -> bool:
    """Whether the task stops a container that served when the plan was created."""
    if not isinstance(task, StopContainer) or change.action not in _TAKES_AWAY:
        return False
    return any(ref.id == task.container and ref.state == "running" for ref in change.detail.touched)


def proves(change: Change, task: Task) -> bool:
    """Whether the task ends with an instance that serves."""
    return isinstance(task, PassGate) and change.action in _STARTS


def _comes_to(point: Point, change: Change) -> bool:
    match point:
        case Point.PRE_STOP:
            return change.action in _TAKES_AWAY and any(ref.state == "running" for ref in change.detail.touched)
        case Point.POST_HEALTHY:
            return change.action in _STARTS
        case Point.PRE_APPLY | Point.POST_APPLY | Point.ON_FAILURE:
            return True
