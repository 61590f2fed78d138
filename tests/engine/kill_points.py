"""The points of a replacement where cortexctl can be killed or interrupted.

They are not chosen by hand: one replacement is recorded. Every request that changes something on the daemon is a point,
and so is the end of the gate, which changes nothing.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cortexctl.plan.model import Plan
from cortexctl.plan.steps import (
    KIND_OF,
    CreateContainer,
    PassGate,
    RemoveContainer,
    RenameContainer,
    SetRestart,
    StartContainer,
    StopContainer,
)
from tests.engine.lanes import Lane, Lanes, after_steps
from tests.forks import Forked

REQUESTS = {
    CreateContainer: "POST /containers/create?",
    StartContainer: "/start",
    StopContainer: "/stop",
    SetRestart: "/update",
    RenameContainer: "/rename?",
    RemoveContainer: "DELETE /containers/",
}
"""Step -> part of its request. Other steps change nothing on the daemon."""
OLD, NEW = "old", "new"


@dataclass(frozen=True)
class Point:
    """A moment of an apply: after the daemon has done `request` (counted from 1) if `answered`, otherwise before. `steps`:
    the number of finished steps. `what`: the name of the step. `unlocks`: whether the request releases the lock.
    """

    request: int
    answered: bool
    steps: int
    what: str
    unlocks: bool = False

    def __str__(self) -> str:
        return f"{'after' if self.answered else 'before'} request {self.request} ({self.what})"


def points_of(lanes: Lanes, strategy: str) -> list[Point]:
    """Record a whole replacement. Returns the points where it can be interrupted."""
    points: list[Point] = []

    def watch(here: Lane, strategy: str) -> None:
        before = here.containers()
        here.want(strategy)
        plan = here.plan()
        here.watched.arm()
        code, output = here.apply(plan)
        assert code == 0, output
        points.extend(cut(plan, list(here.watched.requests)))
        here.converge(before)

    lanes.run([strategy], watch)
    return points


def cut(plan: Plan, requests: list[str]) -> list[Point]:
    """The points of these requests. Each request belongs to a step, in the order of the plan, or to the lock or the
    record. The record is written after the gate and at the end.
    """
    lines = [line.replace("/v1.41", "") for line in requests]
    assert "volumes/create" in lines[0], "the lock is taken first"
    points = [Point(1, answered=True, steps=0, what="the lock is taken")]
    for done, step in enumerate(plan.steps, 1):
        if isinstance(step.task, PassGate):
            points.append(Point(len(requests_of(points)) + 1, answered=False, steps=done, what="pass_gate"))
        if type(step.task) not in REQUESTS:
            continue
        points += volumes(lines, points, done - 1)
        number = len(requests_of(points)) + 1
        assert REQUESTS[type(step.task)] in lines[number - 1], (step, lines)
        points.append(Point(number, answered=True, steps=done, what=KIND_OF[type(step.task)]))
    points += volumes(lines, points, len(plan.steps))
    assert len(requests_of(points)) == len(lines), lines
    assert points[-1].unlocks
    return points


def requests_of(points: list[Point]) -> set[int]:
    """The requests before these points."""
    return {p.request for p in points if p.answered}


def volumes(lines: list[str], points: list[Point], steps: int) -> Iterator[Point]:
    """The points of the requests about volumes before the next step."""
    for number in range(len(requests_of(points)) + 1, len(lines) + 1):
        line = lines[number - 1]
        if "/volumes/" not in line:
            return
        what = f"{line.split()[0]} volume"
        yield Point(number, answered=True, steps=steps, what=what, unlocks="DELETE /volumes/cortexctl-lock-" in line)


def start(here: Lane, strategy: str, point: Point, then: Callable[[Forked], object]) -> tuple[Plan, int, str]:
    """Start a replacement, call `then` at the point, and wait for the end. Returns plan, exit code and output."""
    here.want(strategy)
    plan = here.plan()
    running: list[Forked] = []
    here.watched.arm(point.request, lambda: then(running[0]), answered=point.answered)
    running.append(here.begin(plan))
    code, output = running[0].end()
    assert len(here.watched.requests) >= point.request, output
    here.watched.arm()
    return plan, code, output


def killed(apply: Forked) -> bool:
    apply.kill()
    return False


def kill_after_every_step(lanes: Lanes, strategy: str) -> None:
    """Kill replacements, one after each step, and check after each that nothing is lost and that the next run continues."""
    points = points_of(lanes, strategy)

    def kill(here: Lane, point: Point) -> None:
        before, others = here.containers(), here.foreign()
        assert here.has_record()
        plan, code, output = start(here, strategy, point, killed)
        assert code == -signal.SIGKILL, output
        instances = here.containers()
        left = {name: (seen.state, seen.policy) for name, seen in instances.items()}
        assert left == after_steps(before, plan.steps[: point.steps])
        assert here.lock_holder_is_gone() is (None if point.unlocks else True)
        assert here.has_record(), "neither the old record nor the new one exists"
        assert here.foreign() == others
        if strategy == "start_first":
            assert any(s.state == "running" and s.policy == "unless-stopped" for s in instances.values()), (
                "nothing serves"
            )
        here.converge(before)

    lanes.run(points, kill)
