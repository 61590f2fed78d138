"""cortexctl is killed, or interrupted, after every step of a replacement: nothing is lost, and the next run continues."""

from __future__ import annotations

import signal

import pytest

from tests.engine.kill_points import Point, kill_after_every_step, points_of, start
from tests.engine.lanes import Lane, Lanes, after_steps, lanes

pytestmark = pytest.mark.engine
__all__ = ["lanes"]

STRATEGIES = ["stop_first", "start_first"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_killed_after_every_step(lanes: Lanes, strategy: str) -> None:
    kill_after_every_step(lanes, strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_interrupted_after_every_step(lanes: Lanes, strategy: str) -> None:
    points = points_of(lanes, strategy)

    def stop(here: Lane, point: Point) -> None:
        before, others = here.containers(), here.foreign()
        plan, code, output = start(here, strategy, point, lambda apply: apply.send(signal.SIGTERM))
        assert code in {0, 130}, output
        done = plan.steps if code == 0 else plan.steps[: point.steps]
        left = {name: (seen.state, seen.policy) for name, seen in here.containers().items()}
        assert left == after_steps(before, done), output
        assert here.serves() != before[here.serving].id if code == 0 else here.serves() == before[here.serving].id
        assert here.lock_holder_is_gone() is None
        assert here.foreign() == others
        here.converge(before)

    lanes.run(points, stop)
