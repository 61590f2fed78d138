"""The executor, the gate and the rollback, on fake daemons: the outcome for every container."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from cortexctl.apply.events import Progress, RollbackStarted, StepDone, StepFailed, StepStarted
from cortexctl.apply.executor import Executor, Fate, Result
from cortexctl.apply.locking import LOCK_LASTS, Locks
from cortexctl.apply.perform import Performer
from cortexctl.apply.run import apply_plan
from cortexctl.desired.stack import Desired
from cortexctl.errors import DaemonRefused, GateFailed, LockHeld, LockLost, PathFailed, PlanStale, ProbeFailed
from cortexctl.instance import labels
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.plan.action import Action
from cortexctl.plan.model import Plan
from cortexctl.plan.planfile import plan_from_json, plan_to_json
from cortexctl.plan.request import Request
from cortexctl.plan.steps import CreateContainer, PassGate, RemoveContainer, StopContainer, TryReach
from cortexctl.reach import Reach
from cortexctl.render.apply.outcome import result_text
from cortexctl.render.plan.terminal import plan_text
from cortexctl.render.style import Ink
from tests.applying import PLAIN, TWO_HOSTS, crash, lock_info, locks, outcome, serving, stack, with_length
from tests.fakes.faults import ALWAYS, UNREACHABLE
from tests.fakes.world import World
from tests.reading import model_text


def test_a_create_ends_under_the_serving_name_with_its_restart_policy_on(tmp_path: Path) -> None:
    world = World("demo", "here")
    result = world.apply(world.plan(stack(tmp_path, with_length(1024))))
    assert result.exit_code == 0
    container = world.daemon().by_name("vllm-model-tiny")
    assert (container.state, container.restart) == ("running", "unless-stopped")
    assert "--max-model-len 1024" in " ".join(container.command)
    assert world.daemon().volumes == {}


def test_no_restart_policy_before_the_gate(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, model_text())))
    calls = world.daemon().calls
    start = next(i for i, c in enumerate(calls) if c.startswith("start"))
    policy = next(i for i, c in enumerate(calls) if c.startswith("set_restart"))
    gate = next(i for i, e in enumerate(world.events) if isinstance(e, StepDone) and "4 tokens" in e.note)
    done = [e.step.id for e in world.events[: gate + 1] if isinstance(e, StepDone)]
    assert start < policy
    assert done == ["here/01", "here/02", "here/03", "here/04"]


def test_a_replacement_keeps_the_old_one_stopped_under_its_generation(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    result = world.apply(world.plan(stack(tmp_path, with_length(2048))))
    assert result.exit_code == 0
    assert serving(world) == {"vllm-model-tiny": "running", "vllm-model-tiny--g1": "exited"}
    assert world.daemon().by_name("vllm-model-tiny--g1").restart == "no"


def test_no_more_old_generations_are_retained_than_requested(tmp_path: Path) -> None:
    world = World("demo", "here")
    for length in (1, 2, 3, 4, 5):
        models = with_length(length) + "[models.tiny.rollout]\nkeep = 2\n"
        assert world.apply(world.plan(stack(tmp_path, models))).exit_code == 0
    assert sorted(serving(world)) == ["vllm-model-tiny", "vllm-model-tiny--g3", "vllm-model-tiny--g4"]


def test_a_candidate_that_exits_fails_at_once_and_the_old_one_comes_back(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    world.daemon().behaviours.append(lambda c: crash(1, "ValueError: something")(c) if "4096" in c.command else None)
    before = world.clock.at
    result = world.apply(world.plan(stack(tmp_path, with_length(4096))))
    assert outcome(result, "here/tiny").fate is Fate.ROLLED_BACK
    assert result.exit_code == 1, "nothing is different from before"
    assert serving(world) == {"vllm-model-tiny": "running"}
    assert world.daemon().by_name("vllm-model-tiny").restart == "unless-stopped"
    assert world.clock.at - before < 10, "it must not wait for the start-up time-out"
    assert world.plan(stack(tmp_path, with_length(1024))).effective == ()


def test_a_failed_create_leaves_nothing(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.daemon().behaviours.append(
        crash(
            1,
            "OSError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/models/nope'. Use `repo_type` argument if needed.",
        )
    )
    result = world.apply(world.plan(stack(tmp_path, model_text())))
    failure = outcome(result, "here/tiny").failure
    assert isinstance(failure, GateFailed)
    assert "exited with code 1" in failure.message
    assert failure.cause.startswith("the container has no model at /models/nope")
    assert serving(world) == {}
    assert result.exit_code == 1


@pytest.mark.parametrize("code", [0, 1, 137])
def test_any_exit_code_is_a_failure_for_a_dead_daemon_exits_with_zero(tmp_path: Path, code: int) -> None:
    world = World("demo", "here")
    world.daemon().behaviours.append(crash(code))
    result = world.apply(world.plan(stack(tmp_path, model_text())))
    failure = outcome(result, "here/tiny").failure
    assert failure is not None
    assert f"exited with code {code}" in failure.message


def test_a_server_that_never_gets_ready_fails_after_the_startup_timeout(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.prober.unhealthy.add("vllm-model-tiny--g1")
    began = world.clock.at
    models = model_text() + '[models.tiny.gate]\nstartup_timeout = "90s"\n'
    result = world.apply(world.plan(stack(tmp_path, models)))
    failure = outcome(result, "here/tiny").failure
    assert failure is not None
    assert "its log showed no progress for 1m30s" in failure.message
    assert 90 <= world.clock.at - began < 95


def test_a_server_with_other_names_does_not_pass(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.prober.wrong_names["vllm-model-tiny--g1"] = ["something-else"]
    result = world.apply(world.plan(stack(tmp_path, model_text())))
    failure = outcome(result, "here/tiny").failure
    assert failure is not None
    assert "does not serve tiny; /v1/models lists something-else" in failure.message


def test_a_server_whose_first_request_fails_does_not_pass(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.prober.smoke_fails.add("vllm-model-tiny--g1")
    result = world.apply(world.plan(stack(tmp_path, model_text())))
    failure = outcome(result, "here/tiny").failure
    assert failure is not None
    assert "first request failed: status 500" in failure.message


def test_a_server_that_dies_while_it_is_watched_does_not_pass(tmp_path: Path) -> None:
    world = World("demo", "here")
    sleep = world.clock.sleep
    slept = 0

    def sleep_and_die(duration: float) -> None:
        nonlocal slept
        sleep(duration)
        slept += 1
        if slept == 4:
            world.daemon().by_name("vllm-model-tiny--g1").state = "exited"

    world.clock.sleep = sleep_and_die  # type: ignore[method-assign]
    result = world.apply(world.plan(stack(tmp_path, model_text())))
    assert result.exit_code == 1
    assert serving(world) == {}


def test_on_failure_halt_leaves_the_candidate_for_inspection(tmp_path: Path) -> None:
    world = World("demo", "here")
    halt = '[models.tiny.rollout]\non_failure = "halt"\n'
    world.apply(world.plan(stack(tmp_path, with_length(1024) + halt)))
    world.daemon().behaviours.append(lambda c: crash()(c) if "4096" in c.command else None)
    result = world.apply(world.plan(stack(tmp_path, with_length(4096) + halt)))
    assert result.exit_code == 5
    assert serving(world) == {"vllm-model-tiny": "exited", "vllm-model-tiny--g2": "exited"}


def test_a_rollback_that_fails_is_reported_as_such(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    world.daemon().behaviours.append(crash(1, "RuntimeError: boom"))
    result = world.apply(world.plan(stack(tmp_path, with_length(4096))))
    failed = outcome(result, "here/tiny")
    assert failed.fate is Fate.FAILED
    assert "exited with code 1" in failed.rollback_problem
    assert result.exit_code == 5


def test_a_failure_on_a_host_stops_what_follows_there_and_nothing_elsewhere(tmp_path: Path) -> None:
    world = World("demo", "one", "two")
    models = model_text("a", hosts='["one", "two"]') + model_text("b", hosts='["one", "two"]')
    world.daemon("one").behaviours.append(crash())
    rollout = "[rollout]\nmax_failures = 2\nparallel_starts = 1\n\n"
    result = world.apply(world.plan(stack(tmp_path, rollout, models, hosts=TWO_HOSTS)))
    fates = {o.change.address: o.fate for o in result.outcomes}
    assert fates == {
        "one/a": Fate.FAILED,
        "one/b": Fate.NOT_STARTED,
        "two/a": Fate.DONE,
        "two/b": Fate.DONE,
    }
    assert (result.exit_code, result.budget_spent) == (5, False)
    assert serving(world, "one") == {}


def test_after_the_maximum_of_failures_no_change_is_started(tmp_path: Path) -> None:
    world = World("demo", "one", "two")
    models = model_text("a", hosts='["one", "two"]') + model_text("b", hosts='["one", "two"]')
    world.daemon("one").behaviours.append(crash())
    plan = world.plan(stack(tmp_path, models, hosts=TWO_HOSTS))
    assert plan.max_failures == 1
    result = world.apply(plan, parallelism=1)
    fates = {o.change.address: o.fate for o in result.outcomes}
    assert (fates["one/a"], fates["two/b"], result.budget_spent) == (Fate.FAILED, Fate.NOT_STARTED, True)
    assert "vllm-model-b" not in serving(world, "two")
    assert world.plan(stack(tmp_path, models, hosts=TWO_HOSTS)).effective, "the next one goes on"


def test_a_lock_that_another_user_released_ends_the_run_on_that_host(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    plan = world.plan(stack(tmp_path, with_length(2048)))
    world.daemon().behaviours.append(lambda _c: world.daemon().volumes.clear())
    result = world.apply(plan)
    failure = outcome(result, "here/tiny").failure
    assert isinstance(failure, LockLost)
    assert "another user or run released this run's lock" in failure.message
    assert outcome(result, "here/tiny").left_behind
    assert serving(world) == {"vllm-model-tiny": "exited", "vllm-model-tiny--g2": "running"}
    world.daemon().behaviours.clear()
    assert world.apply(world.plan(stack(tmp_path, with_length(2048)))).exit_code == 0
    assert serving(world) == {"vllm-model-tiny": "running", "vllm-model-tiny--g1": "exited"}


def test_with_its_lock_lost_a_run_undoes_nothing_and_writes_nothing_down(tmp_path: Path) -> None:
    """Another run holds the lock, so a failure is for that run to handle."""
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    plan = world.plan(stack(tmp_path, with_length(2048)))

    def taken_over_and_refused(_container: str) -> None:
        world.daemon().volumes.clear()
        raise DaemonRefused("no GPU left", status=500)

    world.daemon().start = taken_over_and_refused  # type: ignore[method-assign,assignment]
    failed = outcome(world.apply(plan), "here/tiny")
    assert (failed.fate, failed.left_behind) == (Fate.FAILED, True)
    assert "another user or run released this run's lock" in failed.rollback_problem
    assert serving(world) == {"vllm-model-tiny": "exited", "vllm-model-tiny--g2": "created"}
    applied = world.daemon().read_record("demo").applied
    assert {a.generation for a in applied.values()} <= {1}


def test_a_run_waits_for_another_run_at_most_as_long_as_allowed(tmp_path: Path) -> None:
    world = World("demo", "here")
    plan = world.plan(stack(tmp_path, model_text()))
    world.daemon().volumes["cortexctl-lock-demo"] = lock_info("them", int(world.clock.now()) + 100)
    waits = locks(world, plan)
    waits.patience = 60
    notes: list[str] = []
    waits.waits = notes.append
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)
    began = world.clock.at
    with pytest.raises(LockHeld):
        apply_plan(plan, Executor(plan, performer, world.events.append), world.daemons, waits, world.recheck)
    assert 60 <= world.clock.at - began < 63
    assert notes == ["here: waiting for alice on ci-17 (pid 4711, run run0)"]


def test_a_replacement_in_progress_is_finished_after_an_interrupt(tmp_path: Path) -> None:
    """The old container is stopped already. An end of the run at this point would be an outage."""
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    plan = world.plan(stack(tmp_path, with_length(2048)))
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)

    def stop() -> bool:
        return any(isinstance(e, StepDone) and isinstance(e.step.task, StopContainer) for e in world.events)

    world.events.clear()
    executor = Executor(plan, performer, world.events.append, interrupted=stop)
    result = apply_plan(plan, executor, world.daemons, locks(world, plan), world.recheck)
    assert outcome(result, "here/tiny").fate is Fate.DONE
    assert serving(world) == {"vllm-model-tiny": "running", "vllm-model-tiny--g1": "exited"}


def test_an_interrupt_before_anything_serves_otherwise_leaves_it_so(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    plan = world.plan(stack(tmp_path, with_length(2048)))
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)

    def stop() -> bool:
        return any(isinstance(e, StepDone) and isinstance(e.step.task, CreateContainer) for e in world.events)

    world.events.clear()
    executor = Executor(plan, performer, world.events.append, interrupted=stop)
    result = apply_plan(plan, executor, world.daemons, locks(world, plan), world.recheck)
    stopped = outcome(result, "here/tiny")
    assert (result.exit_code, stopped.fate, stopped.left_behind) == (130, Fate.NOT_STARTED, False)
    assert serving(world) == {"vllm-model-tiny": "running", "vllm-model-tiny--g2": "created"}


def test_a_create_that_the_daemon_refuses_touches_nothing(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    world.daemon().faults.fail("create", times=ALWAYS, error=DaemonRefused("here: no space left on device", status=500))
    result = world.apply(world.plan(stack(tmp_path, with_length(4096))))
    assert result.exit_code == 1
    assert serving(world) == {"vllm-model-tiny": "running"}
    assert not any(c.startswith("stop") for c in world.daemon().calls[-3:])


def test_an_image_that_cannot_be_pulled_stops_the_run_before_the_lock(tmp_path: Path) -> None:
    world = World("demo", "here", images=())
    world.daemon().in_registry["image:v0.32.0"] = "sha256:" + "7" * 64
    plan = world.plan(stack(tmp_path, model_text()))
    assert plan.changes[0].detail.image is not None
    assert plan.changes[0].detail.image.pull
    world.daemon().faults.fail("pull", times=ALWAYS, error=DaemonRefused("here: unauthorized"))
    result = world.apply(plan)
    assert result.exit_code == 1
    assert outcome(result, "here/tiny").fate is Fate.NOT_STARTED
    assert [c for c in world.daemon().calls if not c.startswith("pull")] == []


def test_a_pulled_image_is_used_by_its_digest(tmp_path: Path) -> None:
    world = World("demo", "here", images=())
    world.daemon().in_registry["image:v0.32.0"] = "sha256:" + "7" * 64
    assert world.apply(world.plan(stack(tmp_path, model_text()))).exit_code == 0
    assert world.daemon().by_name("vllm-model-tiny").image == "image:v0.32.0@sha256:" + "7" * 64


def test_a_plan_that_reality_left_is_refused_and_touches_nothing(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    plan = world.plan(stack(tmp_path, with_length(4096)))
    world.daemon().by_name("vllm-model-tiny").state = "exited"
    calls = len(world.daemon().calls)
    with pytest.raises(PlanStale, match="was running and is now exited"):
        world.apply(plan)
    assert len(world.daemon().calls) == calls
    assert world.daemon().volumes == {}, "the lock is released"


def test_a_saved_plan_does_the_same_as_the_plan(tmp_path: Path) -> None:
    world = World("demo", "here")
    plan = world.plan(stack(tmp_path, with_length(1024)))
    assert world.apply(plan_from_json(plan_to_json(plan))).exit_code == 0
    assert world.plan(stack(tmp_path, with_length(1024))).effective == ()


def test_a_secret_reaches_the_container_and_the_gate_and_nothing_else(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.secrets.values["KEY"] = "planted-value"
    models = model_text() + '[models.tiny.secrets]\nVLLM_API_KEY = { env = "KEY" }\n'
    plan = world.plan(stack(tmp_path, models, KEY="planted-value"))
    assert world.apply(plan).exit_code == 0
    container = world.daemon().by_name("vllm-model-tiny")
    assert container.environment["VLLM_API_KEY"] == "planted-value"
    assert world.prober.keys_seen == ["planted-value"]
    everything = plan_to_json(plan) + repr(container.labels) + repr(container.command) + repr(world.events)
    assert "planted" not in everything


def test_a_secret_that_changed_since_the_plan_is_refused(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.secrets.values["KEY"] = "other"
    models = model_text() + '[models.tiny.secrets]\nHF_TOKEN = { env = "KEY" }\n'
    result = world.apply(world.plan(stack(tmp_path, models, KEY="planned")))
    failure = outcome(result, "here/tiny").failure
    assert isinstance(failure, PlanStale)
    assert "HF_TOKEN" in failure.message
    assert serving(world) == {}


def run_with(world: World, plan: Plan, *, dead: bool) -> Result:
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)
    executor = Executor(plan, performer, world.events.append)
    return apply_plan(plan, executor, world.daemons, locks(world, plan, dead=dead), world.recheck)


def test_a_lock_that_another_run_holds_is_respected_and_unchanged(tmp_path: Path) -> None:
    world = World("demo", "here")
    holder = lock_info("them", int(world.clock.now()) + 100)
    world.daemon().volumes["cortexctl-lock-demo"] = holder
    with pytest.raises(LockHeld, match=r"alice on ci-17 \(pid 4711, run run0\)"):
        run_with(world, world.plan(stack(tmp_path, model_text())), dead=False)
    assert world.daemon().volumes == {"cortexctl-lock-demo": holder}
    assert serving(world) == {}


def test_a_lock_whose_holder_is_provably_gone_is_taken_over(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.daemon().volumes["cortexctl-lock-demo"] = lock_info("them", 0)
    assert run_with(world, world.plan(stack(tmp_path, model_text())), dead=True).exit_code == 0
    assert world.daemon().volumes == {}


def test_a_lock_contains_the_time_of_its_expiry(tmp_path: Path) -> None:
    world = World("demo", "here")
    seen: list[LockInfo] = []
    world.daemon().behaviours.append(lambda _c: seen.extend(world.daemon().volumes.values()))
    run_with(world, world.plan(stack(tmp_path, model_text())), dead=False)
    assert [(i.expires or 0) - i.started for i in seen] == [LOCK_LASTS]
    assert seen[0].owner == "us@here"


def test_an_interrupt_starts_no_further_step_and_exits_130(tmp_path: Path) -> None:
    world = World("demo", "here")
    rollout = "[rollout]\nparallel_starts = 1\n\n"
    plan = world.plan(stack(tmp_path, rollout, model_text("a") + model_text("b")))
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)

    def stop() -> bool:
        return any(isinstance(e, StepDone) and e.step.address == "here/a" for e in world.events)

    executor = Executor(plan, performer, world.events.append, interrupted=stop)
    result = apply_plan(plan, executor, world.daemons, locks(world, plan), world.recheck)
    assert result.exit_code == 130
    assert world.daemon().volumes == {}
    assert serving(world) == {"vllm-model-a--g1": "created"}
    again = world.apply(world.plan(stack(tmp_path, model_text("a") + model_text("b"))))
    assert again.exit_code == 0
    assert serving(world) == {"vllm-model-a": "running", "vllm-model-b": "running"}


def test_an_interrupt_stops_the_steps_that_wait_for_a_free_worker(tmp_path: Path) -> None:
    """The first steps of both hosts are ready at the same time, and one step runs at a time."""
    world = World("demo", "one", "two")
    plan = world.plan(stack(tmp_path, model_text(hosts='["one", "two"]'), hosts=TWO_HOSTS))
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)

    def started() -> list[str]:
        return [e.step.id for e in world.events if isinstance(e, StepStarted)]

    executor = Executor(plan, performer, world.emit, parallelism=1, interrupted=lambda: bool(started()))
    result = apply_plan(plan, executor, world.daemons, locks(world, plan), world.recheck)
    assert (result.exit_code, started()) == (130, ["one/01"])
    assert world.daemon("two").calls == []


def test_starting_a_stopped_one_gates_it_and_stops_it_again_when_it_fails(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, model_text())))
    world.daemon().by_name("vllm-model-tiny").state = "exited"
    plan = world.plan(stack(tmp_path, model_text()))
    assert [c.action for c in plan.effective] == [Action.START]
    world.prober.smoke_fails.add("vllm-model-tiny--g1")
    result = world.apply(plan)
    assert result.exit_code == 1
    container = world.daemon().by_name("vllm-model-tiny")
    assert (container.state, container.restart) == ("exited", "no")
    world.prober.smoke_fails.clear()
    assert world.apply(world.plan(stack(tmp_path, model_text()))).exit_code == 0
    assert world.daemon().by_name("vllm-model-tiny").restart == "unless-stopped"


def test_destroy_takes_ours_and_leaves_the_rest(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.daemon().add("grafana", state="running")
    world.daemon().add(
        "vllm-model-theirs", state="running", labels={"cortexctl.stack": "other", "cortexctl.model": "x"}
    )
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    world.apply(world.plan(stack(tmp_path, with_length(2048))))
    result = world.apply(world.plan(stack(tmp_path, with_length(2048)), destroy=True))
    assert result.exit_code == 0
    assert sorted(serving(world)) == ["grafana", "vllm-model-theirs"]
    assert world.daemon().networks == {}
    assert world.daemon().volumes == {}


def test_a_network_with_another_container_stays(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, model_text())))
    world.daemon().add("gateway", state="exited", networks=["cortex_default"])
    world.apply(world.plan(stack(tmp_path, model_text()), destroy=True))
    assert list(world.daemon().networks) == ["cortex_default"]


def test_events_are_in_the_order_of_the_steps(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    world.events.clear()
    world.daemon().behaviours.append(lambda c: crash()(c) if "4096" in c.command else None)
    world.apply(world.plan(stack(tmp_path, with_length(4096))))
    kinds = [type(e).__name__ for e in world.events if not isinstance(e, Progress)]
    assert kinds.index("StepFailed") < kinds.index("RollbackStarted") < kinds.index("RollbackEnded")
    assert any(isinstance(e, StepFailed) for e in world.events)
    assert any(isinstance(e, RollbackStarted) for e in world.events)


def killed_in_the_gate(world: World, desired: Desired) -> None:
    """Leave what an apply leaves if its process is killed while its candidate is in the gate."""
    plan = world.plan(desired)
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)
    gate = next(i for i, s in enumerate(plan.steps) if isinstance(s.task, PassGate))
    Executor(plan, performer, world.events.append).run(plan.steps[:gate])


def test_an_old_one_that_a_killed_run_stopped_is_brought_back_when_the_next_run_fails(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    killed_in_the_gate(world, stack(tmp_path, with_length(4096)))
    assert serving(world) == {"vllm-model-tiny": "exited", "vllm-model-tiny--g2": "running"}
    world.prober.smoke_fails.add("vllm-model-tiny--g2")
    result = world.apply(world.plan(stack(tmp_path, with_length(4096))))
    assert outcome(result, "here/tiny").fate is Fate.ROLLED_BACK
    assert serving(world) == {"vllm-model-tiny": "running"}


def test_a_candidate_of_a_killed_run_is_restored_if_the_next_generation_fails(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    plan = world.plan(stack(tmp_path, with_length(2048)))
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)
    Executor(plan, performer, world.events.append).run(plan.steps[:-1])
    assert serving(world) == {"vllm-model-tiny--g1": "exited", "vllm-model-tiny--g2": "running"}
    world.daemon().behaviours.append(lambda c: crash()(c) if "4096" in c.command else None)
    result = world.apply(world.plan(stack(tmp_path, with_length(4096))))
    assert outcome(result, "here/tiny").fate is Fate.ROLLED_BACK
    assert serving(world) == {"vllm-model-tiny--g1": "exited", "vllm-model-tiny--g2": "running"}
    assert world.apply(world.plan(stack(tmp_path, with_length(2048)))).exit_code == 0
    assert serving(world) == {"vllm-model-tiny--g1": "exited", "vllm-model-tiny": "running"}


def test_a_bug_in_a_step_is_undone_like_any_failure(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))

    def broken(*_: object, **__: object) -> str:
        raise RecursionError("nobody thought of that")

    smoke = world.prober.smoke
    world.prober.smoke = broken  # type: ignore[method-assign]
    plan = world.plan(stack(tmp_path, with_length(4096)))
    world.daemon().behaviours.append(
        lambda _c: setattr(world.prober, "smoke", smoke) if len(world.daemon().calls) > 14 else None
    )
    result = world.apply(plan)
    failure = outcome(result, "here/tiny").failure
    assert failure is not None
    assert "this is a bug in cortexctl" in failure.message
    assert serving(world)["vllm-model-tiny"] == "running"


def test_an_apply_continues_without_a_reader_of_its_events(tmp_path: Path) -> None:
    world = World("demo", "here")
    plan = world.plan(stack(tmp_path, model_text()))
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)

    def gone(_event: object) -> None:
        raise BrokenPipeError

    executor = Executor(plan, performer, gone)
    result = apply_plan(plan, executor, world.daemons, locks(world, plan), world.recheck)
    assert result.exit_code == 0


def test_a_rollback_may_take_longer_than_the_startup_timeout(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    world.daemon().behaviours.append(lambda c: crash()(c) if "4096" in c.command else None)
    slow = world.clock.at + 60

    def health(reach: Reach) -> str:
        return "no connection" if world.clock.at < slow else ""

    world.prober.health = health  # type: ignore[method-assign]
    models = with_length(4096) + '[models.tiny.gate]\nstartup_timeout = "2s"\n'
    result = world.apply(world.plan(stack(tmp_path, models)))
    assert outcome(result, "here/tiny").fate is Fate.ROLLED_BACK


def test_a_server_that_flaps_does_not_pass(tmp_path: Path) -> None:
    world = World("demo", "here")
    beats = itertools.cycle(["", "no connection"])
    world.prober.health = lambda reach: next(beats)  # type: ignore[method-assign]
    models = model_text() + '[models.tiny.gate]\nstartup_timeout = "30s"\nstable_for = "5s"\n'
    result = world.apply(world.plan(stack(tmp_path, models)))
    failure = outcome(result, "here/tiny").failure
    assert failure is not None
    assert "never stayed healthy" in failure.message


def test_a_secret_in_an_answer_of_a_server_is_not_shown(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.secrets.values["KEY"] = "planted-value\nsecond-line"
    models = model_text() + '[models.tiny.secrets]\nVLLM_API_KEY = { env = "KEY" }\n'

    def refuses(*_: object, **__: object) -> str:
        raise ProbeFailed("status 401: bad key planted-value, second-line")

    world.prober.smoke = refuses  # type: ignore[method-assign]
    result = world.apply(world.plan(stack(tmp_path, models, KEY="planted-value\nsecond-line")))
    failure = outcome(result, "here/tiny").failure
    assert failure is not None
    assert "status 401: bad key ***, ***" in failure.message


def test_a_network_that_a_replacement_leaves_empty_is_removed(tmp_path: Path) -> None:
    hosts = '[hosts.here]\nmodels_dir = "/m"\nnetwork = "{}"\n'
    at_once = "[models.tiny.rollout]\nkeep = 0\n"
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, model_text(), at_once, hosts=hosts.format("first"))))
    world.apply(world.plan(stack(tmp_path, model_text(), at_once, hosts=hosts.format("second"))))
    assert list(world.daemon().networks) == ["second"]


# ---- the reach of a server


def test_a_server_that_cannot_be_reached_is_not_stopped_for_a_new_one(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    daemon = world.daemon()
    before = {c.id: (c.name, c.state) for c in daemon.all()}
    daemon.unreached.add("vllm-model-tiny")
    daemon.calls.clear()
    result = world.apply(world.plan(stack(tmp_path, with_length(4096))))
    failed = outcome(result, "here/tiny")
    assert (failed.fate, failed.left_behind, result.exit_code) == (Fate.FAILED, False, 1)
    assert isinstance(failed.failure, PathFailed)
    assert failed.failure.message.startswith(
        "the server in vllm-model-tiny cannot be reached from here, so its replacement"
    )
    assert {c.id: (c.name, c.state) for c in daemon.all()} == before
    assert not [c for c in daemon.calls if c.split()[0] in {"stop", "start", "rename", "set_restart"}]
    assert "everything is unchanged" in result_text(result, 1, "", PLAIN, {})


@pytest.mark.parametrize("state", ["restarting", "exited", "paused"])
def test_a_stopped_container_is_not_queried_before_it_is_replaced(tmp_path: Path, state: str) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    world.daemon().by_name("vllm-model-tiny").state = state
    plan = world.plan(stack(tmp_path, with_length(4096)))
    assert not [s for s in plan.steps if isinstance(s.task, TryReach)]
    assert world.apply(plan).exit_code == 0


@pytest.mark.parametrize("state", ["none", "exited"])
def test_a_new_container_that_could_not_be_reached_is_not_created(tmp_path: Path, state: str) -> None:
    """No instance runs that could be asked, so that which is known of the host must do."""
    world = World("demo", "here")
    if state != "none":
        world.apply(world.plan(stack(tmp_path, with_length(1024))))
        world.daemon().by_name("vllm-model-tiny").state = state
    before = {c.id: (c.name, c.state) for c in world.daemon().all()}
    world.daemon().path_problem = "the daemon refuses to run programs"
    result = world.apply(world.plan(stack(tmp_path, with_length(4096))))
    failed = outcome(result, "here/tiny")
    assert (failed.fate, failed.left_behind, result.exit_code) == (Fate.FAILED, False, 1)
    assert isinstance(failed.failure, PathFailed)
    assert "could not be checked: the daemon refuses to run programs" in failed.failure.message
    assert failed.failure.next_step == "do that"
    assert {c.id: (c.name, c.state) for c in world.daemon().all()} == before
    text = result_text(result, 1, "", PLAIN, {})
    assert "  fix    do that\n" in text
    assert "is unchanged" in text


def test_a_reach_that_is_lost_during_a_replacement_is_not_a_failure_of_the_old_container(tmp_path: Path) -> None:
    """The old container runs again and is reported as running. Whether it serves is unknown."""
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, with_length(1024))))
    daemon = world.daemon()
    daemon.behaviours.append(lambda _: daemon.unreached.update({"vllm-model-tiny--g2", "vllm-model-tiny"}))
    result = world.apply(world.plan(stack(tmp_path, with_length(4096))))
    failed = outcome(result, "here/tiny")
    assert (failed.fate, failed.rollback_problem) == (Fate.ROLLED_BACK, "")
    assert isinstance(failed.failure, PathFailed)
    assert failed.unproven == "it runs, but its health cannot be checked: no python3 can be run in it"
    assert daemon.by_name("vllm-model-tiny").state == "running"
    assert daemon.by_name("vllm-model-tiny").restart == "unless-stopped"
    text = result_text(result, 1, "", PLAIN, {})
    assert "ROLLBACK FAILED" not in text
    assert "generation 1 was started again, and it runs, but its health cannot be checked: no python3" in text


def test_a_reach_that_fails_for_a_moment_fails_nothing(tmp_path: Path) -> None:
    world = World("demo", "here")
    daemon, sleep = world.daemon(), world.clock.sleep
    daemon.behaviours.append(lambda c: daemon.unreached.add(c.name))
    lost = 0

    def back_after_a_while(duration: float) -> None:
        nonlocal lost
        sleep(duration)
        lost += bool(daemon.unreached)
        if lost > 5:
            daemon.unreached.clear()

    world.clock.sleep = back_after_a_while  # type: ignore[method-assign]
    assert world.apply(world.plan(stack(tmp_path, with_length(1024)))).exit_code == 0
    assert lost > 5


def test_an_old_generation_whose_removal_failed_is_removed_by_the_next_apply(tmp_path: Path) -> None:
    world = World("demo", "here")
    keep = "[models.tiny.rollout]\nkeep = 1\n"
    for length in (1, 2):
        assert world.apply(world.plan(stack(tmp_path, with_length(length) + keep))).exit_code == 0
    desired = stack(tmp_path, with_length(3) + keep)
    world.daemon().faults.fail("remove", times=ALWAYS, error=DaemonRefused("device or resource busy", status=500))
    assert world.apply(world.plan(desired)).exit_code == 5
    world.daemon().faults.clear()
    assert sorted(serving(world)) == ["vllm-model-tiny", "vllm-model-tiny--g1", "vllm-model-tiny--g2"]
    assert world.plan(desired, Request(only="drift")).effective == ()
    plan = world.plan(desired)
    assert [(c.address, c.action, c.cost.down) for c in plan.effective] == [("here/tiny--g1", Action.REMOVE, False)]
    assert [s.task for s in plan.steps] == [RemoveContainer(world.daemon().by_name("vllm-model-tiny--g1").id)]
    assert "at most 1 are retained" in plan_text(plan, Ink(enabled=False))
    assert plan_from_json(plan_to_json(plan)) == plan
    assert world.apply(plan).exit_code == 0
    assert sorted(serving(world)) == ["vllm-model-tiny", "vllm-model-tiny--g2"]
    assert world.plan(desired).effective == ()


def test_fewer_to_keep_removes_the_oldest_and_no_more(tmp_path: Path) -> None:
    world = World("demo", "here")
    for length in (1, 2, 3, 4):
        models = with_length(length) + "[models.tiny.rollout]\nkeep = 3\n"
        world.apply(world.plan(stack(tmp_path, models)))
    for keep, left in ((3, 3), (1, 1), (0, 0)):
        desired = stack(tmp_path, with_length(4) + f"[models.tiny.rollout]\nkeep = {keep}\n")
        plan = world.plan(desired)
        if plan.effective:
            assert world.apply(plan).exit_code == 0
        retained = [f"vllm-model-tiny--g{n}" for n in range(4 - left, 4)]
        assert sorted(serving(world)) == ["vllm-model-tiny", *retained]
        assert world.plan(desired).effective == ()


def test_the_lock_of_a_dead_holder_that_another_run_acquired_first_is_not_released(tmp_path: Path) -> None:
    """Two runs find the same dead holder. The quicker one acquires the lock and works."""
    world = World("demo", "here")
    planned = world.plan(stack(tmp_path, model_text()))
    lock_volume = "cortexctl-lock-demo"
    world.daemon().volumes[lock_volume] = lock_info("dead", 0)
    quicker = lock_info("quicker", int(world.clock.now()) + 100)

    def dead_and_replaced_meanwhile(holder: LockInfo, _now: int) -> bool:
        world.daemon().volumes[lock_volume] = quicker
        return holder.owner == "dead"

    taking = Locks(planned, world.daemons, lock_info("us", 0), world.clock, dead_and_replaced_meanwhile)
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock)
    with pytest.raises(LockHeld):
        apply_plan(planned, Executor(planned, performer, world.events.append), world.daemons, taking, world.recheck)
    assert world.daemon().volumes[lock_volume] == quicker
    assert world.daemon().calls == []


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_a_connection_that_breaks_in_the_gate_is_made_again(tmp_path: Path, call: int) -> None:
    """A broken connection, as of an ssh process that was killed, is not the candidate's fault."""
    world = World("demo", "here")
    assert world.apply(world.plan(stack(tmp_path, with_length(1024)))).exit_code == 0
    plan = world.plan(stack(tmp_path, with_length(4096)))
    world.daemon().faults.fail("state", call=call, times=2, after="start_container", error=UNREACHABLE)
    result = world.apply(plan)
    assert result.exit_code == 0, result
    assert world.daemon().by_name("vllm-model-tiny").labels[labels.GENERATION] == "2"
