"""A world of two hosts, and a watch that holds the laws at every moment of a run."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

from cortexctl.apply.events import Event, StepDone, StepFailed
from cortexctl.apply.executor import Executor, Result
from cortexctl.apply.perform import Performer
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.labels import is_generation_name, serving_name
from cortexctl.plan.model import Plan
from cortexctl.plan.steps import PassGate, Step
from tests.fakes.container import FakeContainer
from tests.fakes.daemon import FakeDaemon
from tests.fakes.world import World
from tests.generated import HOSTS, LOCAL_IMAGES, REMOTE_IMAGE, STACK, Case


def two_hosts() -> World:
    """Two hosts on which others have containers, too."""
    world = World(STACK, *HOSTS, images=LOCAL_IMAGES)
    for host in HOSTS:
        daemon = world.daemon(host)
        daemon.in_registry[REMOTE_IMAGE] = "sha256:" + "d" * 64
        daemon.add(
            "postgres",
            state="running",
            ports=[{"IP": "0.0.0.0", "PrivatePort": 5432, "PublicPort": 5432, "Type": "tcp"}],
        )
        daemon.add("vllm-by-hand", state="exited", labels={"com.example": "x"})
        daemon.add("a-of-another-stack", state="running", labels={labels.STACK: "other", labels.MODEL: "a"})
    return world


def daemons_of(world: World) -> list[FakeDaemon]:
    return [world.daemon(h) for h in HOSTS]


def is_own(container: FakeContainer) -> bool:
    return container.labels.get(labels.STACK) == STACK


def own_containers(world: World) -> list[FakeContainer]:
    return [c for e in daemons_of(world) for c in e.containers.values() if is_own(c)]


def foreign_containers(world: World) -> list[FakeContainer]:
    return [copy.deepcopy(c) for e in daemons_of(world) for c in e.containers.values() if not is_own(c)]


def serving_state(world: World) -> dict[tuple[str, str], tuple[str, str, str]]:
    """(host, name) of each serving container -> its spec, its state, its restart policy."""
    return {
        (e.host, c.name): (c.labels[labels.SPEC], c.state, c.restart)
        for e in daemons_of(world)
        for c in e.containers.values()
        if is_own(c) and not is_generation_name(c.name)
    }


def wanted_state(case: Case) -> dict[tuple[str, str], tuple[str, str, str]]:
    return {
        (i.host, serving_name(i.model, i.ordinal)): (spec_to_label(i.spec), "running", "unless-stopped")
        for i in case.desired.instances
    }


def plan_of(world: World, case: Case) -> Plan:
    planned = world.plan(case.desired)
    assert planned.diagnostics == ()
    return planned


def apply_case(world: World, case: Case) -> Result:
    world.secrets.values = dict(case.values)
    result = world.apply(plan_of(world, case))
    assert result.exit_code == 0, result
    return result


@dataclass
class Watch:
    """Checks the hosts when a step starts and ends: only instances that passed their gate serve, and restart."""

    world: World
    stays: frozenset[tuple[str, str, str]] = frozenset()
    """Host, model and ordinal of what served before and shall serve after."""
    gated: set[str] = field(default_factory=set)
    checks: int = 0

    def __call__(self, event: Event) -> None:
        self.world.events.append(event)
        self.checks += 1
        if isinstance(event, StepDone) and isinstance(event.step.task, PassGate):
            named = event.step.task.container
            daemon = self.world.daemon(event.step.host)
            self.gated |= {c.id for c in daemon.containers.values() if named in {c.id, c.name}}
        for container in own_containers(self.world):
            if not is_generation_name(container.name):
                assert container.id in self.gated, f"{container.name} serves and has not passed its gate ({event})"
            if container.restart != "no":
                assert container.id in self.gated, f"{container.name} restarts and has not passed its gate ({event})"
        for host, model, ordinal in self.stays:
            assert any(
                c.id in self.gated
                for c in self.world.daemon(host).containers.values()
                if is_own(c) and (c.labels[labels.MODEL], c.labels[labels.ORDINAL]) == (model, ordinal)
            ), f"no proven container of {host}/{model} is left ({event})"


def run_steps(world: World, planned: Plan, steps: Sequence[Step], watch: Watch) -> None:
    """One step at a time, so that every moment is checked."""
    performer = Performer(STACK, world.daemons, world.prober, world.secrets, world.clock, {labels.RUN: "killed"})
    Executor(planned, performer, watch, parallelism=1).run(steps)
    assert [e for e in world.events if isinstance(e, StepFailed)] == []
