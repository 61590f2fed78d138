"""Interference by others: containers changed in the middle of an apply, two applies at once, an image or a port that is
gone when a saved plan is applied, and wrong clocks.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from cortexctl.hosts.lock import this_machine, to_labels
from cortexctl.observed.lock_holder import LockInfo
from tests.engine.lanes import Lane, Lanes, lanes
from tests.fakes.watching import shifted_clock
from tests.forks import Forked

pytestmark = pytest.mark.engine
__all__ = ["lanes"]

LOCKED, CREATED, STOPPED, STARTED = 1, 2, 3, 4
"""The numbers of a replacement's requests (stop first) that change something: the lock first, then the steps."""
HOUR = 3600


# ---- containers, in the middle of an apply -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Meddling:
    """Another user's change of the old or the new container right after a request, and the result of apply."""

    verb: str
    whose: str
    at: int
    code: int
    text: str
    serves: str
    """The container with the serving name at the end: "old", "new", or "none"."""

    def __str__(self) -> str:
        return f"{self.whose} {self.verb} after request {self.at}"

    def do(self, here: Lane, old: str, new: str) -> None:
        name = old if self.whose == "old" else new
        match self.verb:
            case "removed":
                here.live.docker_cli("rm", "-f", name)
            case "stopped":
                here.live.docker_cli("kill", name)
            case "renamed":
                here.live.docker_cli("rename", name, f"{name}-elsewhere")


MEDDLING = [
    Meddling("removed", "new", STARTED, 1, "serves again", "old"),
    Meddling("stopped", "new", STARTED, 1, "serves again", "old"),
    Meddling("renamed", "new", STARTED, 0, "1 replaced", "new"),
    Meddling("removed", "new", CREATED, 1, "serves again", "old"),
    Meddling("removed", "old", CREATED, 5, "it was left partially applied", "none"),
    Meddling("stopped", "old", CREATED, 0, "1 replaced", "new"),
    Meddling("renamed", "old", CREATED, 0, "1 replaced", "new"),
    Meddling("removed", "old", STOPPED, 5, "it was left partially applied", "none"),
    Meddling("renamed", "old", STOPPED, 0, "1 replaced", "new"),
]


def test_a_container_that_another_user_changes_in_the_middle(lanes: Lanes) -> None:
    def meddle(here: Lane, case: Meddling) -> None:
        before, others = here.containers(), here.foreign()
        here.want()
        plan = here.plan()
        (change,) = plan.effective
        old, new = before[here.serving].id, f"{here.serving}--g{change.detail.generation}"
        here.watched.arm(case.at, lambda: case.do(here, old, new))
        code, output = here.apply(plan)
        here.watched.arm()
        assert (code, case.text in output) == (case.code, True), output
        after = here.containers()
        assert {s.id for s in before.values()} - {s.id for s in after.values()} <= (
            {old} if case.verb == "removed" and case.whose == "old" else set()
        ) | ({s.id for s in before.values()} - {old} if code == 0 else set()), "a retained container is gone"
        if case.serves == "none":
            assert here.serving not in after
            assert after[new].state == "running", "the new one does not serve under its candidate's name"
        else:
            assert (here.serves() == old) is (case.serves == "old")
        assert here.lock_holder_is_gone() is None
        assert here.foreign() == others
        if case.serves == "old":
            here.want()
        here.converge(before, old_is_gone=case.whose == "old" and case.verb == "removed")

    lanes.run(MEDDLING, meddle)


# ---- two at once -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Second:
    """Another apply of the same plan, started while the first holds the lock."""

    options: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return " ".join(("a second apply", *self.options))


SECONDS = [
    Second((), "has been applying the stack"),
    Second(("--lock-timeout", "60s"), "the plan is out of date"),
]


def test_of_two_applies_at_once_one_refuses(lanes: Lanes) -> None:
    def race(here: Lane, case: Second) -> None:
        before, others = here.containers(), here.foreign()
        here.want()
        plan = here.plan()
        second: list[Forked] = []
        here.watched.arm(LOCKED, lambda: second.append(here.begin(plan, *case.options, who="two")))
        code, output = here.apply(plan)
        refused, refusal = second[0].end()
        assert code == 0, output
        assert refused == 4, refusal
        assert case.text in refusal
        creations = [line for line in here.watched.requests if "containers/create" in line]
        assert len(creations) == 1, "both created a container"
        here.watched.arm()
        assert here.lock_holder_is_gone() is None
        assert here.foreign() == others
        here.converge(before)

    lanes.run(SECONDS, race)


def test_of_applies_that_start_at_the_same_moment_one_is_carried_out(lanes: Lanes) -> None:
    def race(here: Lane, count: int) -> None:
        before = here.containers()
        here.want()
        plan = here.plan()
        here.watched.arm()
        racers = [here.begin(plan, who=f"racer{n}") for n in range(count)]
        ends = [racer.end() for racer in racers]
        assert sorted(code for code, _ in ends) == [0, *[4] * (count - 1)], ends
        assert len([line for line in here.watched.requests if "containers/create" in line]) == 1
        here.watched.arm()
        here.converge(before)

    lanes.run([4], race)


# ---- between plan and apply --------------------------------------------------------------------------------------------


def test_an_image_that_is_removed_between_plan_and_apply(lanes: Lanes) -> None:
    def remove(here: Lane, image: str) -> None:
        before, others, began = here.containers(), here.foreign(), here.began(here.serving)
        here.live.docker_cli("commit", f"{here.live.stack}-foreign", f"{here.live.stack}:v0.32.0")
        here.want(image=f"{here.live.stack}:v0.32.0")
        plan = here.plan()
        here.live.docker_cli("rmi", f"{here.live.stack}:v0.32.0")
        code, output = here.apply(plan)
        assert code == 1, output
        assert "No such image" in output
        assert here.containers() == before
        assert here.began(here.serving) == began, "the serving instance was stopped without need"
        assert here.lock_holder_is_gone() is None
        assert here.foreign() == others
        here.want()
        here.converge(before)

    lanes.run(["image"], remove)


def test_a_port_that_is_taken_between_plan_and_apply(lanes: Lanes) -> None:
    def take(here: Lane, who: str) -> None:
        before, others, began = here.containers(), here.foreign(), here.began(here.serving)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        here.want(publish=f"127.0.0.1:{port}")
        plan = here.plan()
        name = f"{here.live.stack}-taker"
        with socket.socket() as other:
            if who == "a container":
                here.live.run_foreign(name, "-p", f"127.0.0.1:{port}:8000")
            else:
                other.bind(("127.0.0.1", port))
                other.listen()
            code, output = here.apply(plan)
        assert "serves again" in output or code == 4, output
        assert code == (4 if who == "a container" else 1), output
        assert {n: s for n, s in here.containers().items() if n in before} == before
        assert here.serves() == before[here.serving].id
        if code == 4:
            assert here.began(here.serving) == began, "the serving instance was stopped without need"
            assert f"127.0.0.1:{port} is now used by {name}" in output
            here.live.docker_cli("rm", "-f", name)
        assert here.lock_holder_is_gone() is None
        assert here.foreign() == others
        here.converge(before)

    lanes.run(["a container", "a process"], take)


# ---- clocks ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clock:
    """The daemon's clock is `ahead` seconds ahead of this machine's. By the daemon's clock, the lock of another machine
    expires in `left` seconds.
    """

    ahead: int
    left: int

    def __str__(self) -> str:
        return f"a daemon {self.ahead} s ahead, a lock with {self.left} s left"


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_a_clock_that_is_an_hour_off(lanes: Lanes, tmp_path: Path, ahead: int) -> None:
    def lock(here: Lane, case: Clock) -> None:
        before = here.containers()
        with shifted_clock(tmp_path / f"{case.left}.sock", here.live.docker, case.ahead) as (url, now):
            at = now()
            other = LockInfo("x@here", "ann", "elsewhere#1", 1, "r1", at - 600, at + case.left)
            labels = [f"--label={k}={v}" for k, v in to_labels(here.live.stack, other).items()]
            here.live.docker_cli("volume", "create", *labels, f"cortexctl-lock-{here.live.stack}")
            here.proxy, was = url, here.proxy
            here.want()

            def ran(*arguments: str) -> tuple[int, str]:
                return Forked(tmp_path / f"{case.left}.output", url, *arguments).end()

            status = ran("lock", "status", str(here.path))[1]
            assert "for 10m" in status, status
            assert ("its holder is gone" in status) is (case.left <= 0), status
            drift = ran("drift", str(here.path), "--detailed-exitcode")[1]
            assert ("not checked: " in drift) is (case.left > 0), drift
            doctor = ran("doctor", "--stack", str(here.path))
            assert doctor[0] == 1, doctor[1]
            where = "ahead of" if ahead > 0 else "behind"
            assert re.search(rf"its clock is (1h|59m5\ds) {where} this machine's", doctor[1]), doctor[1]
            code, output = here.apply(here.plan())
            if case.left > 0:
                assert code == 4, output
                assert "ann on elsewhere (pid 1, run r1) has been applying" in output
                assert " for 10m" in output
                assert here.containers() == before
                here.live.docker_cli("volume", "rm", f"cortexctl-lock-{here.live.stack}")
            else:
                assert code == 0, output
            assert here.lock_holder_is_gone() is None
            here.converge(before)
            code, drift = ran("drift", str(here.path), "--detailed-exitcode")
            assert code == 0, drift
            here.proxy = was

    assert this_machine() != "elsewhere#1"
    lanes.run([Clock(ahead, 1800), Clock(ahead, -60)], lock)
