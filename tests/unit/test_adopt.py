"""Containers that a person started and the stack adopts by their name: their plan and their apply."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cortexctl.apply.executor import Executor, Fate
from cortexctl.apply.perform import Performer
from cortexctl.desired.stack import Desired
from cortexctl.engines.base import HIDDEN
from cortexctl.errors import DaemonRefused
from cortexctl.instance import labels
from cortexctl.instance.spec import Spec
from cortexctl.observed.observation import Observed
from cortexctl.observed.snapshot import snapshot_from_json, snapshot_to_json
from cortexctl.plan.action import Action
from cortexctl.plan.adopt.normalise import read_back
from cortexctl.plan.hypothetical import as_if_applied
from cortexctl.plan.model import Change, Plan
from cortexctl.plan.planfile import plan_to_json
from cortexctl.plan.planner import plan
from cortexctl.plan.request import Request
from cortexctl.plan.steps import RenameContainer, SetRestart, StartContainer
from tests.fakes.container import FakeContainer
from tests.fakes.world import World
from tests.reading import desired_from, model_text, stack_text
from tests.specs import change_spec

BY_HAND: dict[str, Any] = {
    "HostConfig": {"CapDrop": None, "SecurityOpt": None, "LogConfig": {"Type": "json-file", "Config": None}},
    "Config": {"StopSignal": ""},
}
"""The settings of a container that `docker run` creates without these options."""
AS_IT_IS = '["cap_drop", "log", "security_opt", "network"]'
SERVING, RETAINED = "vllm-model-tiny", "vllm-model-tiny--g0"


def stack(tmp_path: Path, *more: str, **lines: str) -> Desired:
    path = tmp_path / "stack.toml"
    text = model_text(**{"adopt": '"llm"', "ignore": AS_IT_IS, "publish": '"127.0.0.1:8001"', **lines})
    path.write_text(stack_text(text + "".join(more), hosts='[hosts.here]\nmodels_dir = "/m"\ngpus = { count = 4 }\n'))
    return desired_from(path)


def args(**values: object) -> str:
    return "[models.tiny.args]\n" + "".join(f"{k} = {v}\n" for k, v in values.items()) + "\n"


def world_with(
    desired: Desired, name: str = "llm", changes: Mapping[str, Any] = BY_HAND, **fields: Any
) -> tuple[World, FakeContainer]:
    """A host with the declared container, started by a person with the defaults of `docker run`."""
    world = World("demo", "here")
    spec = change_spec(desired.instances[0].spec, network="bridge", **fields)
    return world, world.daemon().add_by_hand(name, spec, changes)


def only_change(plan: Plan) -> Change:
    assert plan.diagnostics == (), plan.diagnostics
    (change,) = plan.changes
    return change


def names(world: World) -> dict[str, str]:
    return {c.name: c.state for c in world.daemon().containers.values()}


def test_it_is_adopted_without_a_restart_and_then_there_is_nothing_to_do(tmp_path: Path) -> None:
    desired = stack(tmp_path)
    world, container = world_with(desired)
    change = only_change(world.plan(desired))
    assert (change.action, change.fields, change.detail.rename) == (Action.ADOPT, (), SERVING)
    assert world.apply(world.plan(desired)).exit_code == 0
    assert (container.name, container.state, container.labels) == (SERVING, "running", {})
    assert not any(call.startswith(("start", "stop", "create")) for call in world.daemon().calls)
    assert only_change(world.plan(desired)).action is Action.NO_OP


def test_its_settings_are_changed_in_place_as_it_is_adopted(tmp_path: Path) -> None:
    desired = stack(tmp_path, restart='"always"', memory='"1 GiB"')
    world, container = world_with(desired, restart="no", memory=None)
    change = only_change(world.plan(desired))
    assert change.action is Action.ADOPT
    assert [(f.path, f.before) for f in change.fields] == [("memory", None), ("restart", "no")]
    assert world.apply(world.plan(desired)).exit_code == 0
    assert (container.restart, container.memory) == ("always", 2**30)
    assert only_change(world.plan(desired)).action is Action.NO_OP


def test_it_joins_the_network_where_that_is_not_ignored(tmp_path: Path) -> None:
    desired = stack(tmp_path, ignore='["cap_drop", "log", "security_opt"]')
    world, container = world_with(desired)
    assert world.apply(world.plan(desired)).exit_code == 0
    assert container.networks == ["bridge", "cortex_default"]
    assert "ensure_network cortex_default" in world.daemon().calls
    assert only_change(world.plan(desired)).action is Action.NO_OP


def test_one_on_the_hosts_network_cannot_join_another(tmp_path: Path) -> None:
    desired = stack(tmp_path, ignore='["cap_drop", "log", "security_opt"]')
    on_host = {**BY_HAND, "HostConfig": {**BY_HAND["HostConfig"], "NetworkMode": "host"}}
    world, container = world_with(desired, changes=on_host)
    container.networks = ["host"]
    change = only_change(world.plan(desired))
    assert (change.action, [(f.path, f.before) for f in change.fields]) == (Action.REPLACE, [("network", "host")])


def test_what_differs_and_is_not_ignored_takes_a_new_container(tmp_path: Path) -> None:
    desired = stack(tmp_path, args(max_model_len=2048), ignore='["log", "network"]')
    world, container = world_with(desired, args={"max_model_len": 1024})
    change = only_change(world.plan(desired))
    assert [f.path for f in change.fields] == ["args.max_model_len", "cap_drop", "security_opt"]
    assert world.apply(world.plan(desired)).exit_code == 0
    new = world.daemon().by_name(SERVING)
    assert names(world) == {SERVING: "running", RETAINED: "exited"}
    assert (container.name, container.restart, new.labels[labels.GENERATION]) == (RETAINED, "no", "1")
    assert only_change(world.plan(desired)).action is Action.NO_OP
    without = stack(tmp_path, args(max_model_len=2048), adopt='""')
    assert only_change(world.plan(without)).action is Action.NO_OP
    assert world.apply(world.plan(stack(tmp_path, args(max_model_len=512)))).exit_code == 0
    assert names(world) == {SERVING: "running", RETAINED: "exited", f"{SERVING}--g1": "exited"}


def test_another_spelling_of_the_same_settings_is_no_difference(tmp_path: Path) -> None:
    desired = stack(tmp_path, args(max_model_len=8192, gpu_memory_utilization=0.9, hf_overrides='{ b = 1, a = "x" }'))
    argv = ["/models/tiny", "--max-model-len", "8192", "--gpu_memory_utilization=0.90", "--served-model-name", "tiny"]
    argv += ["--hf-overrides", '{"a": "x",  "b":1}', "--shutdown-timeout=30"]
    changes = {**BY_HAND, "Config": {"Entrypoint": ["/usr/bin/vllm"], "Cmd": ["serve", *argv], "StopSignal": ""}}
    world, _ = world_with(desired, changes=changes)
    assert only_change(world.plan(desired)).action is Action.ADOPT
    script = f"exec vllm serve {shlex.join(argv)}"
    world, _ = world_with(desired, changes={**BY_HAND, "Config": {"Entrypoint": ["bash", "-c"], "Cmd": [script]}})
    assert only_change(world.plan(desired)).action is Action.ADOPT


def test_the_module_is_another_program_with_the_same_arguments(tmp_path: Path) -> None:
    desired = stack(tmp_path, args(max_model_len=1024), ignore=AS_IT_IS.replace("]", ', "entrypoint"]'))
    argv = ["--model", "/models/tiny", "--served-model-name", "tiny", "--shutdown-timeout", "30"]
    config = {"Entrypoint": ["python3", "-m", "vllm.entrypoints.openai.api_server"], "StopSignal": ""}
    for length, action in ((1024, Action.ADOPT), (512, Action.REPLACE)):
        cmd = {**config, "Cmd": [*argv, "--max-model-len", str(length)]}
        world, _ = world_with(desired, changes={**BY_HAND, "Config": cmd})
        assert only_change(world.plan(desired)).action is action, length


def test_another_image_takes_a_new_container(tmp_path: Path) -> None:
    desired = stack(tmp_path)
    world, _ = world_with(desired, image="other:v0.31.0")
    assert [f.path for f in only_change(world.plan(desired)).fields] == ["image"]
    named = {**BY_HAND, "Config": {"Image": "docker.io/library/image:v0.32.0", "StopSignal": ""}}
    world, _ = world_with(desired, changes=named)
    assert only_change(world.plan(desired)).action is Action.ADOPT


def test_a_stopped_one_is_started_and_must_pass_its_gate(tmp_path: Path) -> None:
    desired = stack(tmp_path)
    world, container = world_with(desired)
    container.state = "exited"
    assert only_change(world.plan(desired)).action is Action.START
    assert world.apply(world.plan(desired)).exit_code == 0
    assert names(world) == {SERVING: "running"}
    assert only_change(world.plan(desired)).action is Action.NO_OP


def test_a_restart_and_a_replacement_can_be_requested(tmp_path: Path) -> None:
    desired = stack(tmp_path)
    world, container = world_with(desired)
    plan = world.plan(desired, Request(restart=("tiny",)))
    assert only_change(plan).action is Action.RESTART
    assert world.apply(plan).exit_code == 0
    assert (container.name, container.state) == (SERVING, "running")
    plan = world.plan(desired, Request(replace=("tiny",)))
    assert world.apply(plan).exit_code == 0
    assert names(world) == {SERVING: "running", RETAINED: "exited"}


def test_one_on_another_port_can_start_first(tmp_path: Path) -> None:
    desired = stack(tmp_path)
    world, _ = world_with(desired)
    world.apply(world.plan(desired))
    first = '[models.tiny.rollout]\nstrategy = "start_first"\n'
    assert only_change(world.plan(stack(tmp_path, first, publish='"127.0.0.1:8002"'))).detail.start_first
    same = world.plan(stack(tmp_path, args(max_model_len=1024), first))
    assert [d.rule for d in same.diagnostics] == ["CX225"]


def test_a_number_of_gpus_is_met_by_those_that_it_has(tmp_path: Path) -> None:
    desired = stack(tmp_path, args(tensor_parallel_size=2), gpus="2")
    world, _ = world_with(desired, gpus=(2, 3))
    change = only_change(world.plan(desired))
    assert change.action is Action.ADOPT
    assert change.detail.after is not None
    assert change.detail.after.container.gpus == (2, 3)


@pytest.mark.parametrize("fails", ["start", "gate"])
def test_a_replacement_that_fails_restores_the_adopted_container(tmp_path: Path, fails: str) -> None:
    desired = stack(tmp_path, restart='"always"')
    world, container = world_with(desired)
    assert world.apply(world.plan(desired)).exit_code == 0
    edited = stack(tmp_path, args(max_model_len=1024), restart='"always"')
    if fails == "start":
        world.daemon().behaviours.append(lambda c: setattr(c, "state", "exited") if c is not container else None)
    else:
        world.prober.unhealthy.add(f"{SERVING}--g1")
    result = world.apply(world.plan(edited))
    assert result.outcomes[0].fate is Fate.ROLLED_BACK, result
    assert names(world) == {SERVING: "running"}
    assert (container.name, container.restart) == (SERVING, "always")
    world.daemon().behaviours.clear()
    world.prober.unhealthy.clear()
    assert world.apply(world.plan(edited)).exit_code == 0
    assert names(world) == {SERVING: "running", RETAINED: "exited"}


def test_what_comes_back_is_judged_by_what_it_served(tmp_path: Path) -> None:
    desired = stack(tmp_path)
    world, _ = world_with(desired)
    edited = stack(tmp_path, served_names='["other-name"]')
    world.prober.unhealthy.add(f"{SERVING}--g1")
    assert world.apply(world.plan(edited)).outcomes[0].fate is Fate.ROLLED_BACK
    assert names(world) == {"llm": "running"}, "it was never adopted, so it keeps its name"


def killed(world: World, plan: Plan, steps: int) -> None:
    """Carry out only the first steps, as a run that is killed."""
    performer = Performer("demo", world.daemons, world.prober, world.secrets, world.clock, {labels.RUN: "killed"})
    Executor(plan, performer, world.events.append).run(plan.steps[:steps])
    for daemon in world.daemons.by_host.values():
        daemon.adopted.clear()  # a new process does not know what an earlier one adopted


@pytest.mark.parametrize("kind", ["adopt", "start", "restart", "replace", "replace after adopting"])
def test_a_run_that_is_killed_after_any_step_is_finished_by_the_next(tmp_path: Path, kind: str) -> None:
    desired = stack(tmp_path, restart='"always"')
    wanted = stack(tmp_path, args(max_model_len=1024)) if "replace" in kind else desired
    request = Request(restart=("tiny",)) if kind == "restart" else Request()
    steps = 0
    while True:
        world, container = world_with(desired, restart="no")
        if kind == "replace after adopting":
            world.apply(world.plan(desired))
        if kind == "start":
            container.state = "exited"
        plan = world.plan(wanted, request)
        if steps > len(plan.steps):
            break
        killed(world, plan, steps)
        result = world.apply(world.plan(wanted))
        assert result.exit_code == 0, (steps, result)
        assert only_change(world.plan(wanted)).action is Action.NO_OP, steps
        expected = {SERVING: "running"} | ({RETAINED: "exited"} if "replace" in kind else {})
        assert names(world) == expected, steps
        steps += 1


def test_steps_change_nothing_before_the_container_is_adopted(tmp_path: Path) -> None:
    desired = stack(tmp_path)
    world, container = world_with(desired)
    with pytest.raises(DaemonRefused):
        world.daemon().rename(container.id, "x")
    world.daemon().adopt(container.id)
    world.daemon().rename(container.id, "x")
    other = world.daemon().add("theirs", labels={labels.STACK: "other"})
    with pytest.raises(DaemonRefused):
        world.daemon().adopt(other.id)


def test_a_container_that_turns_out_not_to_be_adoptable_is_left_unchanged(tmp_path: Path) -> None:
    desired = stack(tmp_path, args(max_model_len=1024))
    world, container = world_with(desired, args={})
    plan = world.plan(desired)
    container.labels[labels.STACK] = "other"
    result = Executor(plan, Performer("demo", world.daemons, world.prober, world.secrets, world.clock), print).run()
    assert result.outcomes[0].fate is Fate.FAILED
    assert result.exit_code == 1, "nothing is different"
    assert names(world) == {"llm": "running"}


def test_a_name_that_no_container_has_and_one_of_another_stack(tmp_path: Path) -> None:
    desired = stack(tmp_path)
    world, container = world_with(desired, "another")
    (diagnostic,) = [d for d in world.plan(desired).diagnostics if d.rule == "CX412"]
    assert diagnostic.summary == "here/tiny: there is no container named llm to adopt"
    assert "another" in diagnostic.help
    container.name, container.labels = "llm", {labels.STACK: "other"}
    diagnostic = next(d for d in world.plan(desired).diagnostics if d.rule == "CX412")
    assert diagnostic.summary == 'here/tiny: the container llm belongs to the stack "other"'
    assert not [d for d in world.plan(desired, Request(exclude=("tiny",))).diagnostics if d.rule == "CX412"]


def test_two_that_may_be_meant_and_two_who_want_one(tmp_path: Path) -> None:
    desired = stack(tmp_path)
    world, _ = world_with(desired)
    world.daemon().add_by_hand(SERVING, desired.instances[0].spec)
    assert [d.rule for d in world.plan(desired).diagnostics] == ["CX406", "CX406"]
    meant = stack(tmp_path, adopt=f'"{SERVING}"')
    assert [d for d in world.plan(meant).diagnostics if d.is_error] == []
    twice = stack(tmp_path, model_text("twin", adopt='"llm"', served_names='["x"]'))
    world, _ = world_with(twice)
    assert [d.rule for d in world.plan(twice).diagnostics] == ["CX226"]


def test_one_that_removes_itself_is_refused(tmp_path: Path) -> None:
    desired = stack(tmp_path)
    world, _ = world_with(desired, changes={**BY_HAND, "HostConfig": {**BY_HAND["HostConfig"], "AutoRemove": True}})
    assert [d.rule for d in world.plan(desired).diagnostics] == ["CX413"]


def test_the_name_of_the_retained_container_must_be_free(tmp_path: Path) -> None:
    desired = stack(tmp_path, args(max_model_len=1024))
    world, _ = world_with(desired, args={})
    world.daemon().add(RETAINED)
    assert [d.rule for d in world.plan(desired).diagnostics] == ["CX406"]


def test_destroy_removes_what_was_adopted_and_nothing_that_was_not(tmp_path: Path) -> None:
    desired = stack(tmp_path)
    world, _ = world_with(desired)
    assert world.plan(desired, destroy=True).effective == ()
    world.apply(world.plan(desired))
    plan = world.plan(desired, destroy=True)
    assert [c.action for c in plan.effective] == [Action.REMOVE]
    assert world.apply(plan).exit_code == 0
    assert names(world) == {}


def test_protect_is_not_recorded_and_holds_while_the_stack_declares_it(tmp_path: Path) -> None:
    desired = stack(tmp_path, protect="true")
    world, _ = world_with(desired)
    assert [d.rule for d in world.plan(desired).diagnostics] == ["CX409"]
    world.apply(world.plan(desired))
    assert [d.rule for d in world.plan(desired, destroy=True).diagnostics] == ["CX403"]


def test_only_drift_restores_an_adopted_container_and_replaces_nothing(tmp_path: Path) -> None:
    desired = stack(tmp_path, memory='"1 GiB"')
    world, container = world_with(desired)
    assert world.plan(desired, Request(only="drift")).effective == (), "it was never applied"
    world.apply(world.plan(desired))
    container.state, container.memory = "exited", 5
    edited = stack(tmp_path, args(max_model_len=1024), memory='"1 GiB"')
    plan = world.plan(edited, Request(only="drift"))
    assert [(c.action, [f.path for f in c.fields]) for c in plan.effective] == [(Action.START, ["memory"])]
    assert world.apply(plan).exit_code == 0
    assert (container.state, container.memory) == ("running", 2**30)


def test_only_drift_starts_one_that_had_its_name_before(tmp_path: Path) -> None:
    desired = stack(tmp_path, adopt=f'"{SERVING}"', memory='"1 GiB"')
    world, container = world_with(desired, SERVING, memory=None)
    container.state = "exited"
    plan = world.plan(desired, Request(only="drift"))
    assert [(c.action, c.fields) for c in plan.effective] == [(Action.START, ())]


def test_the_plan_of_a_stack_alone_assumes_that_the_container_exists(tmp_path: Path) -> None:
    desired = stack(tmp_path)
    before = replace(desired, instances=())
    assert [c.action for c in plan(desired, as_if_applied(before, desired)).effective] == [Action.ADOPT]
    edited = stack(tmp_path, args(max_model_len=1024))
    assert [c.action for c in plan(edited, as_if_applied(desired, edited)).effective] == [Action.REPLACE]


def test_a_snapshot_without_inspections_is_an_error_that_names_them(tmp_path: Path) -> None:
    desired = stack(tmp_path)
    world, _ = world_with(desired)
    observed = world.observe_for(desired)
    there = snapshot_from_json(snapshot_to_json(observed))
    assert [c.action for c in plan(desired, there).effective] == [Action.ADOPT]
    assert plan_to_json(plan(desired, there)) == plan_to_json(plan(desired, observed))
    without = snapshot_from_json(snapshot_to_json(Observed(observed.hosts)))
    (diagnostic,) = [d for d in plan(desired, without).diagnostics if d.rule == "CX412"]
    assert "could not inspect" in diagnostic.summary


PLANTED = "planted-7f3a"


def secretive(spec: Spec) -> dict[str, Any]:
    argv = [
        "/models/tiny",
        "--api-key",
        f"{PLANTED}-a",
        f"--foo={PLANTED}-b",
        "--hf-overrides",
        f'{{"k": "{PLANTED}-c"}}',
    ]
    env = [f"SOME_TOKEN={PLANTED}-d", f"OPEN={PLANTED}-e", f"ELSE={PLANTED}-f"]
    log = {"Type": "splunk", "Config": {"splunk-token": f"{PLANTED}-g"}}
    host = {**BY_HAND["HostConfig"], "LogConfig": log}
    return {"Config": {"Entrypoint": ["vllm", "serve"], "Cmd": argv, "Env": env, "StopSignal": ""}, "HostConfig": host}


def test_no_value_that_may_be_a_secret_is_in_a_plan_or_a_snapshot(tmp_path: Path) -> None:
    desired = stack(tmp_path, args(max_model_len=1024), '[models.tiny.env]\nOPEN = "x"\n')
    world, _ = world_with(desired, changes=secretive(desired.instances[0].spec))
    observed = world.observe_for(desired)
    plan = world.plan(desired)
    assert only_change(plan).action is Action.REPLACE
    assert HIDDEN in plan_to_json(plan)
    assert PLANTED not in plan_to_json(plan) + snapshot_to_json(observed) + repr(observed)
    at, inspected = next(iter(observed.adoptable.items()))
    assert read_back(desired.instances[0].spec, inspected) == inspected, at


def test_a_script_that_does_more_is_another_program(tmp_path: Path) -> None:
    desired = stack(tmp_path)
    config = {"Entrypoint": ["sh", "-c", f"export KEY={PLANTED}; vllm serve x"], "Cmd": None, "StopSignal": ""}
    world, _ = world_with(desired, changes={**BY_HAND, "Config": config})
    plan = world.plan(desired)
    assert [(f.path, f.before) for f in only_change(plan).fields] == [("entrypoint", "sh")]
    assert PLANTED not in plan_to_json(plan)


def test_the_steps_of_an_adoption(tmp_path: Path) -> None:
    desired = stack(tmp_path, restart='"always"')
    world, container = world_with(desired, restart="no")
    tasks = [s.task for s in world.plan(desired).steps]
    assert tasks[1:] == [SetRestart(container.id, "always"), RenameContainer(container.id, SERVING, "llm")]
    assert not any(isinstance(t, StartContainer) for t in tasks)


def test_destroy_names_what_it_leaves_of_an_adopted_model_and_how_to_remove_it(tmp_path: Path) -> None:
    desired = stack(tmp_path)
    world, _ = world_with(desired)
    assert world.apply(world.plan(desired)).exit_code == 0
    world.daemon().by_name(SERVING).networks = ["cortex_default"]
    assert world.apply(world.plan(stack(tmp_path, args(max_model_len=8)))).exit_code == 0
    assert names(world) == {SERVING: "running", RETAINED: "exited"}
    (diagnostic,) = world.plan(stack(tmp_path, args(max_model_len=8)), destroy=True).diagnostics
    assert diagnostic.rule == "CX417", "also while the block says `adopt`"
    path = tmp_path / "stack.toml"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("adopt")))
    desired = desired_from(path)
    for _ in range(2):
        plan = world.plan(desired, destroy=True)
        (diagnostic,) = plan.diagnostics
        assert (diagnostic.rule, diagnostic.is_error) == ("CX417", False)
        assert diagnostic.summary.startswith(f"here/tiny: {RETAINED} stays")
        assert "cortex_default" in diagnostic.detail
        command = diagnostic.help.partition(": ")[2].partition(";")[0]
        assert command == f"docker -H {desired.hosts[0].docker} rm {RETAINED}"
        if plan.effective:
            assert world.apply(plan).exit_code == 0
    assert names(world) == {RETAINED: "exited"}
    world.daemon().containers.clear()
    last = world.plan(desired, destroy=True)
    assert last.diagnostics == ()
    assert world.apply(last).exit_code == 0
    assert world.daemon().networks == {}


def test_a_model_that_leaves_the_stack_names_its_remaining_container(tmp_path: Path) -> None:
    desired = stack(tmp_path, model_text("other"))
    world, _ = world_with(desired)
    assert world.apply(world.plan(desired)).exit_code == 0
    assert world.apply(world.plan(stack(tmp_path, args(max_model_len=8), model_text("other")))).exit_code == 0
    path = tmp_path / "stack.toml"
    path.write_text(stack_text(model_text("other"), hosts='[hosts.here]\nmodels_dir = "/m"\n'))
    plan = world.plan(desired_from(path))
    assert [(d.rule, d.summary.partition(" stays")[0]) for d in plan.diagnostics] == [
        ("CX417", f"here/tiny: {RETAINED}")
    ]
    assert world.plan(stack(tmp_path, args(max_model_len=8), model_text("other"))).diagnostics == ()


def test_a_lost_successor_of_an_adopted_container_is_created_again(tmp_path: Path) -> None:
    """The block still has `adopt`. The container that was applied last is not the adopted one."""
    world, _ = world_with(stack(tmp_path))
    assert world.apply(world.plan(stack(tmp_path))).exit_code == 0
    desired = stack(tmp_path, args(max_model_len=8))
    assert world.apply(world.plan(desired)).exit_code == 0
    lost = world.daemon().by_name(SERVING)
    del world.daemon().containers[lost.id]
    plan = world.plan(stack(tmp_path, args(max_model_len=9)), Request(only="drift"))
    assert world.apply(plan).exit_code == 0
    restored = world.daemon().by_name(SERVING)
    assert (restored.state, "8" in restored.command, "9" in restored.command) == ("running", True, False)
