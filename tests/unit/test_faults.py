"""The scripted faults of the fake daemon fail the calls that they describe."""

from __future__ import annotations

import pytest

from cortexctl.errors import DaemonRefused, DaemonUnreachable
from tests.fakes.daemon import FakeDaemon
from tests.fakes.faults import ALWAYS
from tests.fakes.world import World


@pytest.fixture
def world() -> World:
    return World("demo", "here")


@pytest.fixture
def daemon(world: World) -> FakeDaemon:
    daemon = world.daemon()
    daemon.add("a", state="exited", labels={"cortexctl.stack": "demo"})
    return daemon


def outcomes(daemon: FakeDaemon, method: str, times: int) -> list[str]:
    """The outcomes of `times` calls of a method for the container `a`."""
    seen = []
    for _ in range(times):
        try:
            getattr(daemon, method)(*{"set_restart": ("a", "always")}.get(method, ("a",)))
        except DaemonRefused:
            seen.append("refused")
        except DaemonUnreachable:
            seen.append("unreachable")
        else:
            seen.append("done")
    return seen


def test_the_nth_call_of_a_method_fails_so_often(daemon: FakeDaemon) -> None:
    daemon.faults.fail("start", call=2, times=2)
    assert outcomes(daemon, "start", 4) == ["done", "refused", "refused", "done"]
    assert outcomes(daemon, "state", 1) == ["done"]


def test_a_fault_may_stay(daemon: FakeDaemon) -> None:
    daemon.faults.fail("start", call=2, times=ALWAYS)
    assert outcomes(daemon, "start", 4) == ["done", "refused", "refused", "refused"]
    daemon.faults.clear()
    assert outcomes(daemon, "start", 1) == ["done"]


def test_calls_count_from_the_end_of_a_step(daemon: FakeDaemon) -> None:
    daemon.faults.fail("set_restart", after="pass_gate")
    assert outcomes(daemon, "set_restart", 2) == ["done", "done"]
    daemon.faults.step_done("start_container")
    assert outcomes(daemon, "set_restart", 1) == ["done"]
    daemon.faults.step_done("pass_gate")
    assert outcomes(daemon, "set_restart", 2) == ["refused", "done"]


def test_a_call_that_fails_changes_nothing_and_names_the_host(daemon: FakeDaemon) -> None:
    daemon.faults.fail("start")
    with pytest.raises(DaemonRefused, match="here: device or resource busy"):
        daemon.start("a")
    assert daemon.by_name("a").state == "exited"


def test_an_answer_may_be_lost_after_the_daemon_has_acted(daemon: FakeDaemon) -> None:
    daemon.faults.fail("start", answer_lost=True)
    assert outcomes(daemon, "start", 1) == ["unreachable"]
    assert daemon.by_name("a").state == "running"


def test_a_daemon_is_away_for_so_many_calls_of_any_method(daemon: FakeDaemon) -> None:
    daemon.faults.away("start", call=2, calls=3)
    assert outcomes(daemon, "start", 1) == ["done"]
    assert outcomes(daemon, "state", 2) == ["done", "done"]
    assert outcomes(daemon, "start", 1) == ["unreachable"]
    assert outcomes(daemon, "state", 3) == ["unreachable", "unreachable", "done"]


def test_a_daemon_is_away_until_a_time_of_the_fake_clock(world: World, daemon: FakeDaemon) -> None:
    daemon.faults.away("start", seconds=30)
    assert outcomes(daemon, "state", 1) == ["done"]
    assert outcomes(daemon, "start", 2) == ["unreachable", "unreachable"]
    assert world.daemons.observe("here").problem == "here: nothing answers"
    world.clock.sleep(29)
    assert outcomes(daemon, "state", 1) == ["unreachable"]
    world.clock.sleep(1)
    assert outcomes(daemon, "start", 2) == ["done", "done"]
    assert world.daemons.observe("here").problem == ""


def test_an_answer_may_be_late(world: World, daemon: FakeDaemon) -> None:
    daemon.faults.late("state", seconds=5, call=2)
    began = world.clock.elapsed()
    assert outcomes(daemon, "state", 1) == ["done"]
    assert world.clock.elapsed() == began
    assert outcomes(daemon, "state", 2) == ["done", "done"]
    assert world.clock.elapsed() == began + 5
