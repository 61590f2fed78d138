"""One function per kind of task. Each returns a note for the user, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import assert_never

from cortexctl.apply.events import Sink
from cortexctl.apply.gate.gate import NO_LISTENER, Gate, Listener
from cortexctl.apply.gate.path_check import try_reach
from cortexctl.apply.gate.reporter import GateReporter
from cortexctl.apply.protocols import Clock, Daemon, Daemons, Prober, Secrets
from cortexctl.dataclass import dataclass
from cortexctl.engines.base import Contract
from cortexctl.engines.registry import DEFAULT, command_of, engine_named
from cortexctl.errors import PlanStale
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.fingerprint import fingerprint
from cortexctl.instance.launch import Launch
from cortexctl.instance.spec import SecretRef, Spec
from cortexctl.plan.model import Change
from cortexctl.plan.recipes import serving_of
from cortexctl.plan.steps import (
    AdoptContainer,
    ConnectNetwork,
    CreateContainer,
    EnsureNetwork,
    PassGate,
    Pause,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RenameContainer,
    SetRestart,
    StartContainer,
    StopContainer,
    Task,
    TryReach,
    UpdateContainer,
)


@dataclass(frozen=True, slots=True)
class Performer:
    """Carries out tasks with the adapters it was given. `marks` are labels that every new container gets."""

    owner: str
    daemons: Daemons
    probers: Callable[[Contract], Prober]
    """A prober for the servers of an engine."""
    secrets: Secrets
    clock: Clock
    marks: Mapping[str, str] = field(default_factory=dict)

    def perform(  # noqa: C901, PLR0912 - a kind, a case
        self, task: Task, host: str, change: Change | None, report: Sink, listener: Listener = NO_LISTENER
    ) -> str:
        """Do one task. `listener`: of a gate. Raises CortexctlError."""
        daemon = self.daemons.daemon(host)
        match task:
            case PullImage(reference, digest):
                daemon.pull(reference, digest)
            case EnsureNetwork(name):
                return "created" if daemon.ensure_network(name, self.owner) else ""
            case CreateContainer():
                self._create(daemon, task, _known(change))
            case AdoptContainer(container):
                daemon.adopt(container)
            case TryReach(container):
                return try_reach(daemon.reach(container), serving_of(_known(change)).name, self.clock)
            case StopContainer(container, timeout):
                daemon.stop(container, timeout)
            case StartContainer(container):
                daemon.start(container)
            case PassGate(container):
                return self._gate(daemon, container, _known(change), report, listener)
            case SetRestart(container, policy):
                daemon.set_restart(container, policy)
            case UpdateContainer(container, memory, cpus):
                daemon.update(container, memory, cpus)
            case ConnectNetwork(container, network):
                daemon.connect(container, network)
            case RenameContainer(container, name, _):
                daemon.rename(container, name)
            case RemoveContainer(container):
                daemon.remove(container)
            case RemoveNetwork(name):
                is_gone = daemon.remove_network(name, self.owner)
                return "removed" if is_gone else "not removed: it is in use, or not ours"
            case Pause():
                raise ValueError("a pause is the executor's")
            case _:
                assert_never(task)
        return ""

    def _create(self, daemon: Daemon, task: CreateContainer, change: Change) -> None:
        spec = change.detail.after
        if spec is None:
            raise ValueError(f"{change.address}: nothing to create")
        if change.detail.serving is None or change.detail.serving.state != "running":
            self.daemons.check_path(change.host)  # no instance of it runs over which `TryReach` could test the path
        values = {s.name: self._secret(s) for s in spec.container.secrets}
        command = command_of(spec)
        daemon.create(
            Launch(
                task.name,
                task.image,
                command.program,
                command.arguments,
                spec,
                self._labels(change, spec),
                values,
            )
        )

    def _labels(self, change: Change, spec: Spec) -> dict[str, str]:
        return {
            **labels.owner_labels(self.owner),
            labels.MODEL: change.model,
            labels.HOST: change.host,
            labels.ORDINAL: str(change.detail.ordinal),
            labels.GENERATION: str(change.detail.generation),
            labels.SPEC: spec_to_label(spec),
            labels.PROTECT: "true" if change.detail.policy.protect else "false",
            **({labels.ON_REMOVE: change.detail.policy.on_remove} if change.detail.policy.on_remove != "stop" else {}),
            **self.marks,
        }

    def _secret(self, reference: SecretRef) -> str:
        """The value, if it is still the planned one."""
        value = self.secrets.value(reference)
        if fingerprint(self.owner, reference.name, value) != reference.fingerprint:
            raise PlanStale(
                f"the value of the secret {reference.name} ({reference.origin}) has changed since the plan was created",
                next_step="plan again",
            )
        return value

    def _gate(self, daemon: Daemon, container: str, change: Change, report: Sink, listener: Listener) -> str:
        spec = change.detail.after or change.detail.before
        values = {s.name: self.secrets.value(s) for s in spec.container.secrets} if spec else {}
        secrets = tuple(values.values())
        reporter = GateReporter(change.address, self.clock, report, secrets)
        engine = engine_named(spec.server.engine if spec else DEFAULT)
        key = values.get(engine.contract.key_variable)
        prober = self.probers(engine.contract)
        gate = Gate(daemon, prober, self.clock, container, change, engine, key, reporter, secrets, listener)
        return gate.pass_or_fail()


def _known(change: Change | None) -> Change:
    if change is None:
        raise ValueError("a step of an instance without its change")
    return change
