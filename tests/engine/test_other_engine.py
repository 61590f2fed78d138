"""A second engine on a real daemon: planned, launched, gated, compared and removed by the same code as vLLM.

Its server has another command line, other paths and another key (tests/lab/standin.py, as `other-server`): a request
that only vLLM answers would fail here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext

import pytest

from cortexctl.apply.executor import Fate, Result
from cortexctl.cli.run_output import run_output
from cortexctl.desired.stack import Desired
from cortexctl.engines.registry import ENGINES
from cortexctl.errors import GateFailed
from cortexctl.instance.fingerprint import fingerprint
from cortexctl.instance.spec import SecretRef
from cortexctl.operations.apply import ApplyRun, carry_out
from cortexctl.operations.apply_options import ApplyOptions
from cortexctl.operations.connections import OpenHosts, open_hosts
from cortexctl.operations.drift import DriftInputs, report_drift
from cortexctl.operations.plan import plan_live
from cortexctl.operations.run_log import NO_LOG
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.action import Action
from cortexctl.plan.drift.finding import Code
from cortexctl.plan.drift.report import DriftSelection
from cortexctl.plan.model import Plan
from cortexctl.plan.request import Request
from tests.engine.conftest import StackFile
from tests.fakes.other_engine import CONTRACT, OtherEngine
from tests.live import STAND_IN, LiveDaemon
from tests.reading import desired_from

pytestmark = pytest.mark.engine

KEY = "planted-key"


class OnDaemon:
    """A stack with one model of the other engine, as the stack's reader would resolve it, on the lab's daemon."""

    def __init__(self, live: LiveDaemon, stack: StackFile, hosts: OpenHosts) -> None:
        self.live, self.stack, self.hosts = live, stack, hosts

    def desired(self, depth: int, **env: str) -> Desired:
        return desired_of(self.stack, self.live, depth, **env)

    def plan(self, desired: Desired, *, destroy: bool = False) -> Plan:
        return plan_live(desired, self.hosts, Request(destroy=destroy))

    def apply(self, plan: Plan) -> Result:
        with run_output("", NO_LOG) as output:
            output.log.begins(plan)
            run = ApplyRun(
                self.hosts,
                StackChoice(),
                ApplyOptions(),
                output.log,
                progress=lambda _plan: nullcontext(lambda _event: None),
                is_stopped=lambda: False,
                report=lambda _note: None,
            )
            result = carry_out(plan, run, None).result
            output.log.ended(result, "")
        return result

    def arguments(self, depth: int) -> list[str]:
        return ["org/tiny", "--names", "tiny", "--port", str(CONTRACT.port), "--depth", str(depth)]

    def command(self) -> list[str]:
        config = self.live.inspect(self.stack.serving)["Config"]
        return [*config["Entrypoint"], *config["Cmd"]]

    def drift(self, desired: Desired) -> dict[str, Code]:
        """By the path of the setting, of an inspection and of the answer of the server."""
        inputs = DriftInputs(DriftSelection(), deep=True, health_timeout=10)
        report, _ = report_drift(desired, inputs)
        return {f.path: f.code for f in report.findings if f.subject == self.stack.address}


def desired_of(stack: StackFile, live: LiveDaemon, depth: int, **env: str) -> Desired:
    stack.write(**env)
    read = desired_from(stack.path)
    (instance,) = read.instances
    key = SecretRef(
        CONTRACT.key_variable, "env", "KEY_OF_THE_TEST", fingerprint(live.stack, CONTRACT.key_variable, KEY)
    )
    container = dataclasses.replace(instance.spec.container, port=CONTRACT.port, secrets=(key,))
    server = dataclasses.replace(instance.spec.server, engine="other", version=None, args={"depth": depth})
    spec = dataclasses.replace(instance.spec, container=container, server=server)
    hosts = tuple(dataclasses.replace(h, docker=live.docker) for h in read.hosts)
    return dataclasses.replace(read, hosts=hosts, instances=(dataclasses.replace(instance, spec=spec),))


@pytest.fixture
def world(live: LiveDaemon, stack: StackFile, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnDaemon]:
    monkeypatch.setitem(ENGINES, "other", OtherEngine())
    monkeypatch.setenv("KEY_OF_THE_TEST", KEY)
    with ExitStack() as ends:
        hosts = ends.enter_context(open_hosts(desired_of(stack, live, 1)))
        yield OnDaemon(live, stack, hosts)


def test_it_is_planned_launched_gated_replaced_and_removed(world: OnDaemon) -> None:
    wanted = world.desired(depth=1)
    created = world.plan(wanted)
    assert [c.action for c in created.changes] == [Action.CREATE]
    assert world.apply(created).exit_code == 0
    assert world.live.containers() == {world.stack.serving: "running"}
    assert world.command() == ["other-server", *world.arguments(depth=1)]
    log = world.live.docker_cli("logs", world.stack.serving)
    for request in ("GET /ready", "GET /names", "POST /say"):
        assert f'"{request} HTTP/1.1" 200' in log
    assert 'HTTP/1.1" 404' not in log

    assert world.plan(wanted).effective == ()
    assert world.drift(wanted) == {}

    changed = world.desired(depth=2)
    replacement = world.plan(changed)
    (change,) = replacement.effective
    assert (change.action, [f.path for f in change.fields]) == (Action.REPLACE, ["args.depth"])
    assert world.apply(replacement).exit_code == 0
    assert world.command() == ["other-server", *world.arguments(depth=2)]
    assert world.live.containers() == {world.stack.serving: "running", f"{world.stack.serving}--g1": "exited"}
    assert world.plan(changed).effective == ()

    assert world.apply(world.plan(changed, destroy=True)).exit_code == 0
    assert world.live.everything() == {"containers": [], "networks": [], "volumes": []}


def test_a_failed_start_is_diagnosed_by_it_and_the_old_instance_serves_again(world: OnDaemon) -> None:
    assert world.apply(world.plan(world.desired(depth=1))).exit_code == 0
    old = world.live.inspect(world.stack.serving)["Id"]
    crashing = world.desired(depth=2, CRASH_AFTER_SECONDS="0.2", START_SECONDS="60", LOG="it burns")
    (outcome,) = world.apply(world.plan(crashing)).outcomes
    assert outcome.fate is Fate.ROLLED_BACK
    assert isinstance(outcome.failure, GateFailed)
    assert (outcome.failure.cause, outcome.failure.fix) == ("the server burns", "put it out")
    assert world.live.inspect(world.stack.serving)["Id"] == old
    assert world.plan(world.desired(depth=1)).effective == ()


def test_changes_by_hand_are_drift_in_its_own_terms(world: OnDaemon) -> None:
    wanted = world.desired(depth=1)
    assert world.apply(world.plan(wanted)).exit_code == 0
    name = world.stack.serving
    labels = world.live.inspect(name)["Config"]["Labels"]
    options = [word for label, value in labels.items() for word in ("--label", f"{label}={value}")]
    world.live.docker_cli("rm", "-f", name)
    world.live.docker_cli(
        "run", "-d", "--name", name, "--network", f"{world.stack.stack}-net", "--publish", f"127.0.0.1::{CONTRACT.port}",
        "--entrypoint", "other-server", *options, STAND_IN, *world.arguments(depth=3),
    )  # fmt: skip
    findings = world.drift(wanted)
    assert findings["command"] is Code.CHANGED
    world.live.docker_cli("stop", "--time", "0", name)
    assert world.drift(wanted)["state"] is Code.STOPPED
    assert [c.action for c in world.plan(wanted).effective] == [Action.START]
