"""A rollback to a retained container: it must pass its gate, and no container that has served is ever lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cortexctl.apply.executor import Fate
from cortexctl.errors import DaemonRefused
from cortexctl.plan.action import Action
from cortexctl.plan.drift.finding import Code, Kind
from cortexctl.plan.drift.report import find_drift
from cortexctl.plan.model import Plan
from cortexctl.plan.planfile import plan_from_json, plan_to_json
from cortexctl.plan.request import Request
from cortexctl.plan.rollback import RollbackTarget, plan_rollback
from tests.applying import crash, outcome, serving, stack, with_length
from tests.fakes.faults import ALWAYS
from tests.fakes.world import World
from tests.reading import model_text


def applied(tmp_path: Path, *lengths: int, keep: int = 2) -> World:
    """A world in which these lengths were applied one after the other."""
    world = World("demo", "here")
    for length in lengths:
        models = with_length(length) + f"[models.tiny.rollout]\nkeep = {keep}\n"
        assert world.apply(world.plan(stack(tmp_path, models))).exit_code == 0
    return world


def rollback_plan(world: World, tmp_path: Path, address: str = "here/tiny", generation: int | None = None) -> Plan:
    desired = stack(tmp_path, with_length(4096))
    return plan_rollback(desired, world.observe_for(desired), RollbackTarget(address, generation))


def length_of(world: World) -> str:
    command = world.daemon().by_name("vllm-model-tiny").command
    return command[command.index("--max-model-len") + 1]


def test_the_newest_older_generation_serves_again_and_the_newer_one_is_retained(tmp_path: Path) -> None:
    world = applied(tmp_path, 1024, 2048)
    plan = rollback_plan(world, tmp_path)
    (change,) = plan.changes
    assert (change.action, change.detail.generation, change.detail.is_rollback) == (Action.REPLACE, 1, True)
    assert [f.path for f in change.fields] == ["args.max_model_len"]
    assert [h.containers for h in plan.hosts] == [2]
    assert plan_from_json(plan_to_json(plan)) == plan
    assert world.apply(plan).exit_code == 0
    assert serving(world) == {"vllm-model-tiny": "running", "vllm-model-tiny--g2-undone": "exited"}
    assert length_of(world) == "1024"
    assert world.daemon().by_name("vllm-model-tiny").restart == "unless-stopped"


def test_after_a_rollback_the_old_stack_plans_to_no_changes(tmp_path: Path) -> None:
    world = applied(tmp_path, 1024, 2048)
    world.apply(rollback_plan(world, tmp_path))
    assert world.plan(stack(tmp_path, with_length(1024))).effective == ()
    forward = world.plan(stack(tmp_path, with_length(2048)))
    assert [(c.action, c.detail.generation, c.detail.candidate) for c in forward.effective] == [
        (Action.REPLACE, 3, None)
    ]
    assert world.apply(forward).exit_code == 0
    assert serving(world)["vllm-model-tiny"] == "running"
    assert length_of(world) == "2048"


def test_a_rollback_can_be_rolled_back(tmp_path: Path) -> None:
    world = applied(tmp_path, 1024, 2048)
    world.apply(rollback_plan(world, tmp_path))
    assert world.apply(rollback_plan(world, tmp_path, generation=2)).exit_code == 0
    assert serving(world) == {"vllm-model-tiny": "running", "vllm-model-tiny--g1": "exited"}
    assert length_of(world) == "2048"


def test_a_chosen_generation(tmp_path: Path) -> None:
    world = applied(tmp_path, 1, 2, 3, keep=3)
    assert world.apply(rollback_plan(world, tmp_path, generation=1)).exit_code == 0
    assert length_of(world) == "1"
    assert sorted(serving(world)) == ["vllm-model-tiny", "vllm-model-tiny--g2", "vllm-model-tiny--g3-undone"]


def test_a_failed_rollback_restores_the_serving_container_and_loses_nothing(tmp_path: Path) -> None:
    world = applied(tmp_path, 1024, 2048)
    world.daemon().behaviours.append(lambda c: crash(1, "RuntimeError: boom")(c) if "1024" in c.command else None)
    result = world.apply(rollback_plan(world, tmp_path))
    assert outcome(result, "here/tiny").fate is Fate.ROLLED_BACK
    assert serving(world) == {"vllm-model-tiny": "running", "vllm-model-tiny--g1": "exited"}
    assert length_of(world) == "2048"


def test_a_retained_generation_serves_again_if_nothing_serves(tmp_path: Path) -> None:
    world = applied(tmp_path, 1024, 2048)
    gone = world.daemon().by_name("vllm-model-tiny")
    del world.daemon().containers[gone.id]
    plan = rollback_plan(world, tmp_path)
    assert plan.changes[0].action is Action.CREATE
    assert world.apply(plan).exit_code == 0
    assert serving(world) == {"vllm-model-tiny": "running"}


@pytest.mark.parametrize(
    ("address", "generation", "summary", "advice"),
    [
        ("here/tiny", 7, "generation 7 is not retained", "retained generations: 1; name one with --generation"),
        (
            "here/tiny",
            2,
            "generation 2 is the serving one",
            "retained generations: 1; name one with --generation",
        ),
        ("here/other", None, "no container of it", "rollout.keep"),
        ("there/tiny", None, "there is no host", "write HOST/MODEL"),
        ("tiny", None, "there is no host", "write HOST/MODEL"),
    ],
)
def test_an_impossible_rollback_has_a_reason(
    tmp_path: Path, address: str, generation: int | None, summary: str, advice: str
) -> None:
    plan = rollback_plan(applied(tmp_path, 1024, 2048), tmp_path, address, generation)
    (diagnostic,) = plan.diagnostics
    assert (diagnostic.rule, plan.changes, plan.has_errors) == ("CX415", (), True)
    assert summary in diagnostic.summary
    assert advice in diagnostic.help


def test_without_a_retained_generation_there_is_no_rollback(tmp_path: Path) -> None:
    plan = rollback_plan(applied(tmp_path, 1024), tmp_path)
    assert "no older one is retained" in plan.diagnostics[0].summary


def test_a_model_that_took_its_port_since_blocks_a_rollback(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(8, publish='"127.0.0.1:8801"'))))
    world.apply(world.plan(stack(tmp_path, with_length(8, publish='"127.0.0.1:8802"'))))
    desired = stack(
        tmp_path, with_length(8, publish='"127.0.0.1:8802"'), model_text("other", publish='"127.0.0.1:8801"')
    )
    assert world.apply(world.plan(desired)).exit_code == 0
    plan = plan_rollback(desired, world.observe_for(desired), RollbackTarget("here/tiny"))
    assert [d.rule for d in plan.diagnostics if d.is_error] == ["CX407"]


def test_a_rollback_runs_the_hooks_and_names_the_audit_log(tmp_path: Path) -> None:
    world = applied(tmp_path, 1024, 2048)
    own = "".join(f'[models.tiny.hooks.{p}]\non = "{p}"\ncommand = ["true"]\n\n' for p in ("pre_stop", "post_healthy"))
    desired = stack(tmp_path, with_length(2048) + own)
    plan = plan_rollback(desired, world.observe_for(desired), RollbackTarget("here/tiny"))
    hook_runs: list[str] = []
    world.hook = lambda hook, facts: hook_runs.append(f"{hook.on} {facts['generation']}")
    assert world.apply(plan).exit_code == 0
    assert hook_runs == ["pre_stop 1", "post_healthy 1"]
    assert plan.audit_log == "stack.audit.jsonl"


@pytest.mark.parametrize("strategy", ["stop_first", "start_first", "auto"])
@pytest.mark.parametrize("publish", ['"127.0.0.1"', '"127.0.0.1:8801"'])
def test_a_rollback_is_possible_with_every_strategy(tmp_path: Path, strategy: str, publish: str) -> None:
    """A rollback always stops first, so that the serving container and the retained one may share a port."""
    world = World("demo", "here")
    for length in (1024, 2048):
        before = with_length(length, publish=publish) + "[models.tiny.rollout]\nstrategy = "
        assert world.apply(world.plan(stack(tmp_path, f'{before}"stop_first"\n'))).exit_code == 0
    desired = stack(tmp_path, f'{before}"{strategy}"\n')
    plan = plan_rollback(desired, world.observe_for(desired), RollbackTarget("here/tiny"))
    assert plan.diagnostics == ()
    assert plan.changes[0].detail.start_first is False
    assert world.apply(plan).exit_code == 0
    assert length_of(world) == "1024"


def test_drift_is_quiet_after_a_rollback_and_once_the_old_text_is_back(tmp_path: Path) -> None:
    """An undone generation is retained, however new it is: `rollback --generation 2` starts it again."""
    world = applied(tmp_path, 1024, 2048)
    world.apply(rollback_plan(world, tmp_path))
    records = {"here": world.daemon().read_record("demo")}
    for length, kinds in ((2048, [Kind.PENDING]), (1024, [])):
        report = find_drift(stack(tmp_path, with_length(length)), replace(world.observe(), records=records))
        assert [f.kind for f in report.findings] == kinds
    nothing = world.plan(stack(tmp_path, with_length(2048)), Request(only="drift"))
    assert nothing.effective == ()


def test_an_undone_generation_that_runs_again_is_drift(tmp_path: Path) -> None:
    world = applied(tmp_path, 1024, 2048)
    world.apply(rollback_plan(world, tmp_path))
    world.daemon().by_name("vllm-model-tiny--g2-undone").state = "running"
    (finding,) = find_drift(stack(tmp_path, with_length(1024)), world.observe()).findings
    assert (finding.code, finding.container) == (Code.RETAINED_RUNS, "vllm-model-tiny--g2-undone")


def test_an_undone_generation_is_not_a_candidate_if_the_serving_container_is_gone(tmp_path: Path) -> None:
    world = applied(tmp_path, 1024, 2048)
    world.apply(rollback_plan(world, tmp_path))
    records = {"here": world.daemon().read_record("demo")}
    world.daemon().remove("vllm-model-tiny")
    desired = stack(tmp_path, with_length(1024))
    (finding,) = find_drift(desired, replace(world.observe(), records=records)).findings
    assert finding.code is Code.REMOVED
    assert world.apply(world.plan(desired, Request(only="drift"))).exit_code == 0
    assert length_of(world) == "1024"
    assert serving(world)["vllm-model-tiny--g2-undone"] == "exited"


def test_a_rollback_that_was_interrupted_between_its_renames_is_continued_and_not_reversed(tmp_path: Path) -> None:
    """The older generation runs and has passed its gate. The newer one is stopped, under the name of an undone one."""
    world = applied(tmp_path, 1, 2)
    rename, renames = world.daemon().rename, iter([True, False])

    def only_once(container: str, name: str) -> None:
        if not next(renames):
            raise DaemonRefused("busy", status=500)
        rename(container, name)

    world.daemon().rename = only_once  # type: ignore[method-assign]
    assert world.apply(rollback_plan(world, tmp_path)).exit_code == 5
    world.daemon().rename = rename  # type: ignore[method-assign]
    assert serving(world) == {"vllm-model-tiny--g1": "running", "vllm-model-tiny--g2-undone": "exited"}
    again = rollback_plan(world, tmp_path)
    assert [c.detail.generation for c in again.changes] == [1]
    assert world.apply(again).exit_code == 0
    assert serving(world) == {"vllm-model-tiny": "running", "vllm-model-tiny--g2-undone": "exited"}
    assert length_of(world) == "1"


@pytest.mark.parametrize(("generation", "length"), [(None, "1"), (1, "1"), (2, "2")])
def test_after_a_replacement_that_was_killed_between_its_renames_a_rollback_returns_to_the_old_one(
    tmp_path: Path, generation: int | None, length: str
) -> None:
    """Unless the new one, which has passed its gate, is named: it gets the serving name."""
    world = applied(tmp_path, 1)
    plan = world.plan(stack(tmp_path, with_length(2)))
    world.daemon().faults.fail("rename", call=2, times=ALWAYS, error=DaemonRefused("busy", status=500))
    assert world.apply(plan).exit_code == 5
    world.daemon().faults.clear()
    assert serving(world) == {"vllm-model-tiny--g1": "exited", "vllm-model-tiny--g2": "running"}
    assert world.apply(rollback_plan(world, tmp_path, generation=generation)).exit_code == 0
    assert length_of(world) == length
    assert sorted(serving(world).values()) == ["exited", "running"]


def test_after_a_killed_rollback_to_a_newer_generation_the_running_one_keeps_its_place(tmp_path: Path) -> None:
    """It runs under the name of an undone generation."""
    world = applied(tmp_path, 1, 2)
    assert world.apply(rollback_plan(world, tmp_path)).exit_code == 0
    world.daemon().faults.fail("rename", call=2, times=ALWAYS, error=DaemonRefused("busy", status=500))
    assert world.apply(rollback_plan(world, tmp_path, generation=2)).exit_code == 5
    world.daemon().faults.clear()
    assert serving(world) == {"vllm-model-tiny--g1": "exited", "vllm-model-tiny--g2-undone": "running"}
    running = world.daemon().by_name("vllm-model-tiny--g2-undone").id
    desired = stack(tmp_path, with_length(2))
    assert world.apply(world.plan(desired)).exit_code == 0
    assert world.daemon().by_name("vllm-model-tiny").id == running
    assert not world.plan(desired).effective


def test_after_a_rollback_that_was_cut_off_before_its_renames_one_server_stays_where_both_are_alike(
    tmp_path: Path,
) -> None:
    world = applied(tmp_path, 1)
    desired = stack(tmp_path, with_length(1))
    assert world.apply(world.plan(desired, Request(replace=("tiny",)))).exit_code == 0
    world.daemon().faults.fail("rename", times=ALWAYS, error=DaemonRefused("busy", status=500))
    assert world.apply(rollback_plan(world, tmp_path)).exit_code == 5
    world.daemon().faults.clear()
    assert serving(world) == {"vllm-model-tiny": "exited", "vllm-model-tiny--g1": "running"}
    assert world.apply(world.plan(desired)).exit_code == 0
    assert sorted(serving(world).values()) == ["exited", "running"]
    assert serving(world)["vllm-model-tiny"] == "running"
    assert not world.plan(desired).effective


@pytest.mark.parametrize("length", [1, 2])
def test_after_a_rollback_forward_that_was_killed_before_its_renames_one_server_runs(
    tmp_path: Path, length: int
) -> None:
    """It passed its gate under the name of one that was rolled back, and the older one has stopped."""
    world = applied(tmp_path, 1, 2)
    assert world.apply(rollback_plan(world, tmp_path)).exit_code == 0
    world.daemon().faults.fail("rename", times=ALWAYS, error=DaemonRefused("busy", status=500))
    assert world.apply(rollback_plan(world, tmp_path, generation=2)).exit_code == 5
    world.daemon().faults.clear()
    assert serving(world) == {"vllm-model-tiny": "exited", "vllm-model-tiny--g2-undone": "running"}
    desired = stack(tmp_path, with_length(length))
    assert world.apply(world.plan(desired)).exit_code == 0
    assert [state for state in serving(world).values() if state == "running"] == ["running"]
    assert length_of(world) == str(length)
    assert not world.plan(desired).effective


def test_an_undone_generation_is_pruned_before_the_one_that_served_last(tmp_path: Path) -> None:
    """The next apply fails to remove the surplus container: the one to remove is still the undone one."""
    world = applied(tmp_path, 1, 2, keep=1)
    assert world.apply(rollback_plan(world, tmp_path)).exit_code == 0
    desired = stack(tmp_path, with_length(3) + "[models.tiny.rollout]\nkeep = 1\n")
    world.daemon().faults.fail("remove", times=ALWAYS, error=DaemonRefused("busy", status=500))
    assert world.apply(world.plan(desired)).exit_code == 5
    world.daemon().faults.clear()
    assert sorted(serving(world)) == ["vllm-model-tiny", "vllm-model-tiny--g1", "vllm-model-tiny--g2-undone"]
    assert world.apply(world.plan(desired)).exit_code == 0
    assert sorted(serving(world)) == ["vllm-model-tiny", "vllm-model-tiny--g1"]
