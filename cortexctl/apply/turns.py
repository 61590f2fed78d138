"""Which steps of a plan may run now: those whose predecessors are done, and at most as many starts on a host at a time
as the plan allows.

A new instance that answers leaves its turn to the next new one, because `stable_for` passes without work for the host.
A change that stops a server neither leaves nor takes such a turn: no server must stop beside instances that may still
fail.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from cortexctl.plan.action import NEW
from cortexctl.plan.model import Plan
from cortexctl.plan.steps import UNNOTICED, Place, StartContainer, Step


class Turns:
    """The steps of one run that are not done. A change that starts a container counts from its first step, in which
    nothing has stopped yet: so no server is down only because others are starting.
    """

    def __init__(self, plan: Plan) -> None:
        self.done: set[str] = set()
        self._limit = plan.parallel_starts
        self._starting = {s.place for s in plan.steps if isinstance(s.task, StartContainer)}
        self._new = {(c.host, c.address) for c in plan.changes if c.action in NEW}
        self._answering: set[Place] = set()
        """New instances that have answered their first requests."""
        self._pending: dict[str, Step] = {}
        self._running: dict[str, Step] = {}
        self._missing: dict[str, int] = {}
        """For each pending step, how many of those that it waits for are not done."""
        self._followers: defaultdict[str, list[str]] = defaultdict(list)
        """For each step, those that wait for it."""
        self._left: Counter[Place] = Counter()
        """The number of steps of each change that are pending or running."""
        self._started: set[Place] = set()
        self._unfinished: set[Place] = set()
        """Those of them that start a container and have steps left."""
        self._underway: set[Place] = set()
        """Changes that have touched a serving container, or started a new one: they always finish."""
        self._closed: set[str] = set()
        """Hosts on which no further change begins."""

    def add(self, steps: Iterable[Step]) -> None:
        for step in steps:
            self._pending[step.id] = step
            self._left[step.place] += 1
            before = set(step.after) - self.done
            self._missing[step.id] = len(before)
            for other in before:
                self._followers[other].append(step.id)

    @property
    def are_left(self) -> bool:
        """Whether a step has not started."""
        return bool(self._pending)

    def take(self, free: int, *, begins_more: bool) -> list[Step]:
        """At most `free` steps; from now on they run. Changes that have started come first: a stopped server must not
        wait for a worker. Not `begins_more`: only changes that are underway go on, because half of a replacement is an
        outage.
        """
        ready = [step for id_, step in self._pending.items() if not self._missing[id_]]
        if not begins_more:
            ready = [s for s in ready if s.address and s.place in self._underway]
        ready = [s for s in ready if s.host not in self._closed or not s.address or s.place in self._underway]
        answering = Counter(host for host, _ in self._answering & self._unfinished)
        starts = Counter(host for host, _ in self._unfinished)
        full: set[str] = set()
        taken: list[Step] = []
        for step in sorted(ready, key=lambda s: not s.address or s.place not in self._started):
            if len(taken) == free:
                break
            place = step.place
            if place in self._starting and place not in self._started:
                if step.host in full:  # in order: what comes later does not overtake
                    continue
                if starts[step.host] - (answering[step.host] if place in self._new else 0) >= self._limit:
                    full.add(step.host)
                    continue
                starts[step.host] += 1
            taken.append(step)
        for step in taken:
            self._run(step)
        return taken

    def close(self, host: str) -> None:
        """A change on the host has failed and is being undone: no other one begins there. Called from any thread."""
        self._closed.add(host)

    def answers(self, place: Place) -> None:
        """Its container has answered its first requests; the rest of its gate only waits. Called from any thread."""
        if place in self._new:
            self._answering.add(place)

    def finish(self, step: Step) -> None:
        """It is done."""
        self._ends(step)
        self.done.add(step.id)
        for follower in self._followers[step.id]:
            self._missing[follower] -= 1

    def fail(self, step: Step) -> None:
        """It has failed: what waits for it does not run, and no other change of its host begins."""
        self.close(step.host)
        self._ends(step)
        here = (s for s in self._pending.values() if s.host == step.host and s.address)
        lost = {step.id, *(s.id for s in here if s.place not in self._underway)}
        self._drop(lost)
        while dependents := {s.id for s in self._pending.values() if lost.intersection(s.after)}:
            lost |= dependents
            self._drop(dependents)

    def _run(self, step: Step) -> None:
        self._running[step.id] = self._pending.pop(step.id)
        self._started.add(step.place)
        if step.place in self._starting:
            self._unfinished.add(step.place)
        if not isinstance(step.task, UNNOTICED):
            self._underway.add(step.place)

    def _drop(self, ids: Iterable[str]) -> None:
        for step_id in ids:
            if step := self._pending.pop(step_id, None):
                self._counts_as_gone(step)

    def _ends(self, step: Step) -> None:
        del self._running[step.id]
        self._counts_as_gone(step)

    def _counts_as_gone(self, step: Step) -> None:
        self._left[step.place] -= 1
        if not self._left[step.place]:
            self._unfinished.discard(step.place)
