"""A second engine behind the protocol: planned, shown, launched, gated and diagnosed, with nothing of vLLM in it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cortexctl.apply.executor import Fate
from cortexctl.desired.stack import Desired
from cortexctl.engines.registry import DEFAULT, ENGINES, UnknownEngine, command_of, engine_named
from cortexctl.engines.vllm.contract import CONTRACT as VLLM
from cortexctl.errors import GateFailed
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_from_label
from cortexctl.instance.fingerprint import fingerprint
from cortexctl.instance.spec import Publish, SecretRef
from cortexctl.plan.action import Action
from cortexctl.plan.diff import diff
from cortexctl.plan.planfile import plan_from_json, plan_to_json
from cortexctl.render.launch import compose_service, docker_run
from cortexctl.render.plan.terminal import plan_text
from cortexctl.render.style import Ink
from tests.applying import crash, stack, with_length
from tests.fakes.container import FakeContainer
from tests.fakes.other_engine import CONTRACT, OtherEngine
from tests.fakes.world import World
from tests.reading import model_text, read, stack_text
from tests.specs import change_spec, new_spec

SPEC = new_spec(
    "other:v1",
    "/models/tiny",
    ("tiny", "small"),
    engine="other",
    port=CONTRACT.port,
    publish=Publish("127.0.0.1", 8001),
)
SERVING = "vllm-model-tiny"


def burns(container: FakeContainer) -> None:
    """Crash every container of the other engine."""
    if container.command[0] == "other-server":
        crash(1, "it burns")(container)


@pytest.fixture(autouse=True)
def other_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "other", OtherEngine())


def desired(tmp_path: Path, **changes: object) -> Desired:
    """A resolved stack whose model is served by the other engine."""
    resolved = stack(tmp_path, model_text(gpus='"none"'))
    (instance,) = resolved.instances
    spec = change_spec(instance.spec, engine="other", port=CONTRACT.port, version=None, **changes)
    return dataclasses.replace(resolved, instances=(dataclasses.replace(instance, spec=spec),))


def test_it_is_planned_launched_and_gated_through_its_own_contract(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.secrets.values["KEY"] = "planted"
    key = SecretRef(CONTRACT.key_variable, "env", "KEY", fingerprint("demo", CONTRACT.key_variable, "planted"))
    wanted = desired(tmp_path, secrets=(key,), publish=Publish("127.0.0.1", 8001))
    plan = world.plan(wanted)
    assert [c.action for c in plan.changes] == [Action.CREATE]
    assert plan_from_json(plan_to_json(plan)) == plan
    assert world.apply(plan).exit_code == 0
    container = world.daemon().by_name(SERVING)
    assert container.command == ["other-server", "/models/tiny", "--names", "tiny", "--port", "9009"]
    assert [p["PrivatePort"] for p in container.ports] == [CONTRACT.port]
    assert spec_from_label(container.labels[labels.SPEC]).server.engine == "other"
    assert world.prober.contracts == [CONTRACT]
    assert world.prober.keys_seen == ["planted"]
    assert world.plan(wanted).effective == ()


def test_a_stack_is_checked_by_the_engine_of_its_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry picks it: vLLM's catalogue is not asked."""
    monkeypatch.setitem(ENGINES, DEFAULT, OtherEngine())
    (instance,) = stack(tmp_path, model_text(gpus='"none"'), "[models.tiny.args]\ndepth = 2\n").instances
    assert (instance.spec.container.port, instance.spec.server.args) == (CONTRACT.port, {"depth": 2})
    path = tmp_path / "stack.toml"
    path.write_text(stack_text(model_text(gpus='"none"') + "[models.tiny.args]\nmax_model_len = 8\n"))
    _, diagnostics = read(path)
    (diagnostic,) = (d for d in diagnostics if d.is_error)
    assert (diagnostic.rule, diagnostic.summary) == ("CX301", "it has no max_model_len")
    assert diagnostic.span is not None
    assert diagnostic.span.line == path.read_text().splitlines().index("max_model_len = 8") + 1


def test_its_arguments_are_compared_by_itself(tmp_path: Path) -> None:
    world = World("demo", "here")
    assert world.apply(world.plan(desired(tmp_path, args={"depth": 1}))).exit_code == 0
    plan = world.plan(desired(tmp_path, args={"depth": 2}))
    assert [(c.action, [f.path for f in c.fields]) for c in plan.changes] == [(Action.REPLACE, ["args.depth"])]
    assert "args.depth" in plan_text(plan, Ink(enabled=False))
    assert world.apply(plan).exit_code == 0
    assert "--depth" in world.daemon().by_name(SERVING).command


def test_a_change_of_the_engine_is_a_replacement_and_is_rolled_back_on_failure(tmp_path: Path) -> None:
    world = World("demo", "here")
    assert world.apply(world.plan(stack(tmp_path, with_length(8, gpus='"none"')))).exit_code == 0
    plan = world.plan(desired(tmp_path))
    assert [f.path for c in plan.effective for f in c.fields if "." not in f.path] == ["engine", "port"]
    world.daemon().behaviours.append(burns)
    (outcome,) = world.apply(plan).outcomes
    assert outcome.fate is Fate.ROLLED_BACK
    assert isinstance(outcome.failure, GateFailed)
    assert (outcome.failure.cause, outcome.failure.fix) == ("the server burns", "put it out")
    assert "Other's last error: it burns" in outcome.failure.message
    assert world.prober.contracts == [VLLM, CONTRACT, VLLM]


def test_it_is_shown_in_the_forms_of_other_tools() -> None:
    argv = docker_run(SERVING, SPEC)
    assert argv[argv.index("--entrypoint") + 1] == "other-server"
    assert argv[argv.index("--publish") + 1] == "127.0.0.1:8001:9009"
    assert argv[-5:] == ["/models/tiny", "--names", "tiny,small", "--port", "9009"]
    assert "other-server" in compose_service(SERVING, SPEC)


def test_what_starts_it_is_read_back_to_the_same_server() -> None:
    command = command_of(SPEC)
    server = engine_named("other").read_command([*command.program, *command.arguments])
    assert server == SPEC.server
    assert engine_named("vllm").read_command([*command.program, *command.arguments]) is None


def test_two_engines_differ_by_name() -> None:
    assert [f.path for f in diff(SPEC, change_spec(SPEC, engine="vllm"))] == ["engine"]


def test_a_spec_of_an_engine_that_is_not_known_is_left_alone_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World("demo", "here")
    assert world.apply(world.plan(desired(tmp_path))).exit_code == 0
    monkeypatch.delitem(ENGINES, "other")
    plan = world.plan(stack(tmp_path, with_length(8, gpus='"none"')))
    assert [d.rule for d in plan.diagnostics] == ["CX402"]
    assert 'the engine "other" is unknown; this cortexctl knows vllm' in plan.diagnostics[0].summary
    assert plan.steps == ()
    with pytest.raises(UnknownEngine):
        engine_named("other")
