"""The steps of each change of a plan, and the change of each step. A plan itself would search all of them each time."""

from __future__ import annotations

from collections import defaultdict

from cortexctl.plan.model import Change, Plan
from cortexctl.plan.steps import Place, Step


class PlanIndex:
    """Of a plan that does not change."""

    def __init__(self, plan: Plan) -> None:
        self._changes = {(c.host, c.address): c for c in reversed(plan.changes)}
        self._steps: defaultdict[Place, list[Step]] = defaultdict(list)
        for step in plan.steps:
            self._steps[step.place].append(step)

    def steps_of(self, change: Change) -> tuple[Step, ...]:
        """In the order of the plan."""
        return tuple(self._steps[change.host, change.address])

    def change_of(self, step: Step) -> Change | None:
        """None for a step that belongs to a host."""
        return self._changes.get(step.place)
