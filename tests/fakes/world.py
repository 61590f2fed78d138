"""Fake clocks, probes and secrets, and a world that puts them together with fake daemons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cortexctl.apply.events import Event, StepDone
from cortexctl.apply.executor import Executor, Result
from cortexctl.apply.locking import Locks
from cortexctl.apply.perform import Performer
from cortexctl.apply.protocols import RunsHook
from cortexctl.apply.run import apply_plan
from cortexctl.apply.run_hooks import NO_HOOKS, PlannedHooks
from cortexctl.desired.stack import Desired, Host, Smoke
from cortexctl.engines.base import Contract
from cortexctl.errors import ProbeFailed, SecretUnresolved
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_from_label
from cortexctl.instance.labels import RUN
from cortexctl.instance.spec import SecretRef
from cortexctl.observe.gather import observe_for_plan, observe_identity
from cortexctl.observe.recheck import recheck
from cortexctl.observed.health import Speed
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.observed.observation import Observed
from cortexctl.plan.model import Plan
from cortexctl.plan.planner import plan
from cortexctl.plan.request import Request
from cortexctl.plan.steps import KIND_OF
from cortexctl.reach import Reach
from tests.fakes.container import FakeContainer
from tests.fakes.daemon import FakeDaemon, FakeDaemons


@dataclass
class FakeClock:
    """Time passes only in `sleep`."""

    at: float = 1_700_000_000.0

    def now(self) -> float:
        return self.at

    def elapsed(self) -> float:
        return self.at

    def sleep(self, duration: float) -> None:
        self.at += duration


@dataclass
class FakeProber:
    """Answers for containers of the fake daemons: by default a container is healthy as soon as it runs."""

    daemons: FakeDaemons
    unhealthy: set[str] = field(default_factory=set)
    engine_died: set[str] = field(default_factory=set)
    wrong_names: dict[str, Sequence[str]] = field(default_factory=dict)
    smoke_fails: set[str] = field(default_factory=set)
    keys_seen: list[str | None] = field(default_factory=list)
    speeds: Sequence[Speed] = (Speed(0.02, 50.0),)
    """The speeds of measured requests, in turn."""
    measured: int = 0
    contracts: list[Contract] = field(default_factory=list)
    """The contracts of the engines for which a prober was requested."""

    def __call__(self, contract: Contract) -> FakeProber:
        self.contracts.append(contract)
        return self

    def health(self, reach: Reach) -> str:
        name = self._name(reach)
        reach.connect(1).close()
        return "status 503" if name in self.engine_died else "no connection" if name in self.unhealthy else ""

    def served_names(self, reach: Reach, api_key: str | None) -> Sequence[str]:
        self.keys_seen.append(api_key)
        name = self._name(reach)
        if name in self.wrong_names:
            return self.wrong_names[name]
        container = self._container(reach)
        if labels.SPEC in container.labels:
            return spec_from_label(container.labels[labels.SPEC]).server.served_names
        command = container.command
        start = command.index("--served-model-name") + 1
        return command[start : command.index("--host")]

    def smoke(self, reach: Reach, api_key: str | None, task: str, model: str, smoke: Smoke) -> str:
        if self._name(reach) in self.smoke_fails:
            raise ProbeFailed("status 500: EngineCore encountered an issue")
        return f"{smoke.max_tokens} tokens"

    def speed(self, reach: Reach, api_key: str | None, model: str, smoke: Smoke) -> Speed:
        self.measured += 1
        return self.speeds[(self.measured - 1) % len(self.speeds)]

    def _container(self, reach: Reach) -> FakeContainer:
        return next(c for daemon in self.daemons.by_host.values() for c in daemon.all() if c.id == reach.target)

    def _name(self, reach: Reach) -> str:
        return self._container(reach).name


@dataclass
class FakeSecrets:
    values: dict[str, str] = field(default_factory=dict)

    def value(self, reference: SecretRef) -> str:
        if reference.key not in self.values:
            raise SecretUnresolved(f"the environment variable {reference.key} is not set")
        return self.values[reference.key]


class World:
    """Hosts, and everything that apply needs."""

    def __init__(self, stack: str, *hosts: str, images: Sequence[str] = ("image:v0.32.0",)) -> None:
        self.stack = stack
        self.daemons = FakeDaemons({h: FakeDaemon(h, stack, images) for h in hosts})
        self.clock = FakeClock()
        for daemon in self.daemons.by_host.values():
            daemon.faults.clock = self.clock
        self.prober = FakeProber(self.daemons)
        self.secrets = FakeSecrets()
        self.events: list[Event] = []
        self.hook: RunsHook | None = None
        self.runs = 0

    def daemon(self, host: str = "here") -> FakeDaemon:
        return self.daemons.by_host[host]

    def observe(self) -> Observed:
        """Observe all hosts, and the owner of labels that may come from an image."""
        stack, _, env = self.stack.partition("@")
        hosts = tuple(Host(name, "unix:///x.sock") for name in self.daemons.by_host)
        return self.observe_for(Desired(stack, "stack.toml", hosts, (), env=env))

    def observe_for(self, desired: Desired) -> Observed:
        """Observe all hosts, and the containers that the stack adopts by name."""
        return observe_identity(desired, self.daemons)

    def plan(self, desired: Desired, request: Request = Request(), *, destroy: bool = False) -> Plan:  # noqa: B008
        request = replace(request, destroy=request.destroy or destroy)
        return plan(desired, observe_for_plan(desired, self.daemons, request), request)

    def recheck(self, hosts: Sequence[str]) -> Observed:
        return recheck(self.daemons, hosts)

    def apply(self, plan: Plan, parallelism: int = 10) -> Result:
        self.runs += 1
        run = f"run{self.runs}"
        performer = Performer(self.stack, self.daemons, self.prober, self.secrets, self.clock, {RUN: run})
        known = {"stack": plan.stack, "env": plan.env, "run": run}
        hooks = (
            PlannedHooks(plan, self.hook, self.events.append, self.daemons, self.clock, known)
            if self.hook
            else NO_HOOKS
        )
        executor = Executor(plan, performer, self.emit, parallelism, hooks=hooks)
        who = LockInfo(run, "tester", "machine", 1, run, 0, 0)
        locks = Locks(plan, self.daemons, who, self.clock, self._has_ended)
        return apply_plan(plan, executor, self.daemons, locks, self.recheck)

    def emit(self, event: Event) -> None:
        """Record the event, and arm the faults that depend on it."""
        self.events.append(event)
        if isinstance(event, StepDone):
            self.daemon(event.step.host).faults.step_done(KIND_OF[type(event.step.task)])

    def _has_ended(self, holder: LockInfo, _now: int) -> bool:
        """Runs are sequential here: an earlier run that still holds a lock has ended without releasing it."""
        return holder.run in {f"run{n}" for n in range(1, self.runs)}
