"""cortexctl killed, and told to stop, after every single step of a replacement: nothing is lost, and it is gone on with.

The points are not picked by hand: a replacement is watched once, and every request of it that changes something on the
daemon is a point, and so is the end of its gate, which changes nothing.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

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
from tests.engine.lanes import Lane, Lanes, after_steps, lanes
from tests.forks import Forked

pytestmark = pytest.mark.engine
__all__ = ["lanes"]

ASKS = {
    CreateContainer: "POST /containers/create?",
    StartContainer: "/start",
    StopContainer: "/stop",
    SetRestart: "/update",
    RenameContainer: "/rename?",
    RemoveContainer: "DELETE /containers/",
}
"""What the request of a step looks like. Steps that are not here change nothing on the daemon."""
STRATEGIES = ["stop_first", "start_first"]
OLD, NEW = "old", "new"


@dataclass(frozen=True)
class Point:
    """`request` of the apply, from 1; `answered`: when the daemon has done it, else when it is about to. `steps`: so many
    of the plan's are done then. `what` is the step in words. `unlocks`: whether the lock is released by it.
    """

    request: int
    answered: bool
    steps: int
    what: str
    unlocks: bool = False

    def __str__(self) -> str:
        return f"{'after' if self.answered else 'before'} request {self.request} ({self.what})"


def points_of(lanes: Lanes, strategy: str) -> list[Point]:
    """Watch a whole replacement, and tell where it can be cut."""
    points: list[Point] = []

    def watch(here: Lane, strategy: str) -> None:
        before = here.containers()
        here.want(strategy)
        plan = here.plan()
        here.watched.arm()
        code, said = here.apply(plan)
        assert code == 0, said
        points.extend(cut(plan, list(here.watched.requests)))
        here.converge(before)

    lanes.run([strategy], watch)
    return points


def cut(plan: Plan, requests: list[str]) -> list[Point]:
    """Every request belongs to a step, in the order of the plan, or to the lock or the record: that is written after the
    gate and at the end.
    """
    asks = [line.replace("/v1.41", "") for line in requests]
    assert "volumes/create" in asks[0], "the lock is taken first"
    points = [Point(1, answered=True, steps=0, what="the lock is taken")]
    for done, step in enumerate(plan.steps, 1):
        if isinstance(step.task, PassGate):
            points.append(Point(len(asks_of(points)) + 1, answered=False, steps=done, what="pass_gate"))
        if type(step.task) not in ASKS:
            continue
        points += volumes(asks, points, done - 1)
        number = len(asks_of(points)) + 1
        assert ASKS[type(step.task)] in asks[number - 1], (step, asks)
        points.append(Point(number, answered=True, steps=done, what=KIND_OF[type(step.task)]))
    points += volumes(asks, points, len(plan.steps))
    assert len(asks_of(points)) == len(asks), asks
    assert points[-1].unlocks
    return points


def asks_of(points: list[Point]) -> set[int]:
    """The requests that are told of already."""
    return {p.request for p in points if p.answered}


def volumes(asks: list[str], points: list[Point], steps: int) -> Iterator[Point]:
    """What is asked about volumes until the next step."""
    for number in range(len(asks_of(points)) + 1, len(asks) + 1):
        line = asks[number - 1]
        if "/volumes/" not in line:
            return
        what = f"{line.split()[0]} volume"
        yield Point(number, answered=True, steps=steps, what=what, unlocks="DELETE /volumes/cortexctl-lock-" in line)


def start(here: Lane, strategy: str, point: Point, then: Callable[[Forked], object]) -> tuple[Plan, int, str]:
    """Begin a replacement, do something to it at the point, wait for its end: the plan, exit code and what it said."""
    here.want(strategy)
    plan = here.plan()
    running: list[Forked] = []
    here.watched.arm(point.request, lambda: then(running[0]), answered=point.answered)
    running.append(here.begin(plan))
    code, said = running[0].end()
    assert len(here.watched.requests) >= point.request, said
    here.watched.arm()
    return plan, code, said


def killed(apply: Forked) -> bool:
    apply.kill()
    return False


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_killed_after_every_step(lanes: Lanes, strategy: str) -> None:
    points = points_of(lanes, strategy)

    def kill(here: Lane, point: Point) -> None:
        before, others = here.containers(), here.foreign()
        assert here.has_record()
        plan, code, said = start(here, strategy, point, killed)
        assert code == -signal.SIGKILL, said
        found = here.containers()
        left = {name: (seen.state, seen.policy) for name, seen in found.items()}
        assert left == after_steps(before, plan.steps[: point.steps])
        assert here.lock_holder_is_gone() is (None if point.unlocks else True)
        assert here.has_record(), "the old record or the new one is there at every moment"
        assert here.foreign() == others
        if strategy == "start_first":
            assert any(s.state == "running" and s.policy == "unless-stopped" for s in found.values()), "nothing serves"
        here.converge(before)

    lanes.run(points, kill)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_told_to_stop_after_every_step(lanes: Lanes, strategy: str) -> None:
    points = points_of(lanes, strategy)

    def stop(here: Lane, point: Point) -> None:
        before, others = here.containers(), here.foreign()
        plan, code, said = start(here, strategy, point, lambda apply: apply.send(signal.SIGTERM))
        assert code in {0, 130}, said
        done = plan.steps if code == 0 else plan.steps[: point.steps]
        left = {name: (seen.state, seen.policy) for name, seen in here.containers().items()}
        assert left == after_steps(before, done), said
        assert here.serves() != before[here.serving].id if code == 0 else here.serves() == before[here.serving].id
        assert here.lock_holder_is_gone() is None
        assert here.foreign() == others
        here.converge(before)

    lanes.run(points, stop)
