"""An apply whose plan nobody approved plans again when another run was quicker; a plan that was approved never changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from cortexctl.apply.perform import Performer
from cortexctl.cli import carry_out as cli
from cortexctl.cli.run_output import run_output
from cortexctl.desired.stack import Desired
from cortexctl.errors import LockHeld, PlanStale, Refused
from cortexctl.hosts.fleet import DockerDaemons
from cortexctl.instance.labels import RUN
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.operations import apply as operation
from cortexctl.operations.apply_options import ApplyOptions
from cortexctl.operations.run_log import NO_LOG, RunLog
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.model import Plan
from tests.applying import serving, stack, with_length
from tests.fakes.daemon import FakeDaemons
from tests.fakes.world import FakeClock, World
from tests.reading import model_text

HOURS = 10_000


@dataclass
class WhileItWaits(FakeClock):
    """Something happens in the first wait."""

    happens: Callable[[], None] = lambda: None
    _once: list[bool] = field(default_factory=list)

    def sleep(self, duration: float) -> None:
        super().sleep(duration)
        if not self._once:
            self._once.append(True)
            self.happens()


class Daemons(FakeDaemons):
    def close(self) -> None:
        """There is nothing to close."""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """The command line works on fake daemons, and another run has the lock."""
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))

    def performer(owner: str, _path: str, _choice: StackChoice, _daemons: Any, run: RunLog) -> Performer:
        return Performer(owner, world.daemons, world.prober, world.secrets, world.clock, {RUN: run.run})

    monkeypatch.setattr(operation, "make_performer", performer)
    monkeypatch.setattr(cli, "_stop_on_signal", lambda _plan: cast("Any", _Never()))
    monkeypatch.setattr("cortexctl.operations.apply.learn_from_apply", lambda *_: ())
    now = int(world.clock.now())
    world.daemon().volumes["cortexctl-lock-demo"] = LockInfo("them", "bob", "ci", 1, "run0", now, now + HOURS)
    return world


class _Never:
    def is_set(self) -> bool:
        return False


def while_it_waits(world: World, others: Desired) -> None:
    """The other run applies its own stack and releases its lock."""

    def they_do() -> None:
        del world.daemon().volumes["cortexctl-lock-demo"]
        assert world.apply(world.plan(others)).exit_code == 0

    world.clock = WhileItWaits(world.clock.at, they_do)


def carried_out(world: World, plan: Plan, again: Callable[[], Plan] | None, *, patience: float = 60) -> int:
    daemons = cast("DockerDaemons", Daemons(world.daemons.by_host))
    options = ApplyOptions(lock_timeout=patience)
    with run_output("", NO_LOG) as output:
        return cli.carry_out(
            plan, daemons, choice=StackChoice(), approved=True, options=options, output=output, plan_again=again
        )


def length_of(world: World) -> str:
    command = world.daemon().by_name("vllm-model-tiny").command
    return command[command.index("--max-model-len") + 1]


@pytest.mark.parametrize("theirs", [2048, 4096])
def test_a_stale_plan_is_made_again_under_the_lock(
    world: World, tmp_path: Path, theirs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other run made the same change or another one. In both cases the stack is applied in the end."""
    desired = stack(tmp_path, with_length(4096))
    plan = world.plan(desired)
    others = stack(tmp_path, with_length(theirs))
    while_it_waits(world, others)
    holders: list[LockInfo | None] = []

    def again() -> Plan:
        holders.append(world.daemon().read_lock("demo"))
        return world.plan(desired)

    assert carried_out(world, plan, again) == 0
    (holder,) = holders
    assert holder is not None
    assert holder.owner != "them"
    assert world.daemon().volumes == {}, "the lock outlives the run"
    assert length_of(world) == "4096"
    assert world.plan(desired).effective == ()
    captured = capsys.readouterr()
    assert "planning again under the lock" in captured.err
    assert ("No changes" in captured.out) == (theirs == 4096)
    generations = 2 if theirs == 4096 else 3
    assert set(serving(world)) == {"vllm-model-tiny", *(f"vllm-model-tiny--g{n}" for n in range(1, generations))}


@pytest.mark.parametrize("is_approved", [False, True])
def test_a_model_that_the_other_run_created_does_not_stay(world: World, tmp_path: Path, *, is_approved: bool) -> None:
    """The two pipelines have different stacks, and no container of the second plan changed: it is not stale. The stack
    of the second is applied in the end, except if a person approved another plan.
    """
    desired = stack(tmp_path, with_length(4096))
    plan = world.plan(desired)
    while_it_waits(world, stack(tmp_path, with_length(1024), model_text("more")))
    assert carried_out(world, plan, None if is_approved else lambda: world.plan(desired)) == 0
    assert length_of(world) == "4096"
    assert ("vllm-model-more" in serving(world)) == is_approved
    assert bool(world.plan(desired).effective) == is_approved


def test_an_approved_plan_is_carried_out_unchanged_or_not_at_all(world: World, tmp_path: Path) -> None:
    desired = stack(tmp_path, with_length(4096))
    plan = world.plan(desired)
    while_it_waits(world, stack(tmp_path, with_length(2048)))
    with pytest.raises(PlanStale) as refused:
        carried_out(world, plan, None)
    assert refused.value.exit_code == 4
    assert length_of(world) == "2048"
    assert world.daemon().volumes == {}


def test_an_error_in_the_new_plan_refuses_it(world: World, tmp_path: Path) -> None:
    desired = stack(tmp_path, with_length(4096, publish='"127.0.0.1:8801"'))
    plan = world.plan(desired)
    while_it_waits(world, stack(tmp_path, with_length(2048)))

    def again() -> Plan:
        port = {"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 8801, "Type": "tcp"}
        world.daemon().add("nginx", state="running", ports=[port])
        return world.plan(desired)

    with pytest.raises(Refused, match="the plan has errors"):
        carried_out(world, plan, again)
    assert length_of(world) == "2048"
    assert world.daemon().volumes == {}


def test_a_plan_that_manual_changes_overtake_again_and_again_is_refused(world: World, tmp_path: Path) -> None:
    desired = stack(tmp_path, with_length(4096))
    plan = world.plan(desired)
    world.daemon().volumes.clear()

    def again() -> Plan:
        planned = world.plan(desired)
        container = world.daemon().by_name("vllm-model-tiny")
        container.state = "exited" if container.state == "running" else "running"
        return planned

    first = again()
    with pytest.raises(PlanStale):
        carried_out(world, first, again)
    assert plan.effective
    assert world.daemon().volumes == {}


def test_without_patience_it_is_refused_at_once(world: World, tmp_path: Path) -> None:
    desired = stack(tmp_path, with_length(4096))
    with pytest.raises(LockHeld):
        carried_out(world, world.plan(desired), lambda: world.plan(desired), patience=0)
    assert length_of(world) == "1024"
