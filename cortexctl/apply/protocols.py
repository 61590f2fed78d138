"""The outside world of apply, as narrow protocols. The adapters are passed in; tests use fakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from cortexctl.desired.hook import Hook
from cortexctl.desired.stack import Smoke
from cortexctl.instance.launch import Launch
from cortexctl.instance.spec import InPlace, SecretRef
from cortexctl.observed.container_state import ContainerState
from cortexctl.observed.health import Speed
from cortexctl.observed.host import ImageFacts, ObservedHost
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.observed.record import HostRecord
from cortexctl.plan.model import Change
from cortexctl.plan.steps import Step
from cortexctl.reach import Reach


class Daemon(Protocol):
    """One host's daemon. Every call is an "ensure" and raises DaemonError if it cannot be done."""

    def image(self, reference: str) -> ImageFacts: ...

    def pull(self, reference: str, digest: str) -> None: ...

    def ensure_network(self, name: str, owner: str) -> bool:
        """Whether it had to be created."""
        ...

    def remove_network(self, name: str, owner: str) -> bool:
        """Only if we created it and no container uses it. Returns whether it is gone."""
        ...

    def create(self, launch: Launch) -> None: ...

    def start(self, container: str) -> None: ...

    def stop(self, container: str, timeout: int) -> None: ...

    def set_restart(self, container: str, policy: str) -> None: ...

    def update(self, container: str, memory: int | None, cpus: float | None) -> None:
        """Limits in place; None leaves one unchanged."""
        ...

    def in_place(self, container: str) -> InPlace:
        """The container's real restart policy and limits."""
        ...

    def rename(self, container: str, name: str) -> None: ...

    def remove(self, container: str) -> None: ...

    def state(self, container: str) -> ContainerState: ...

    def endpoint(self, container: str) -> str:
        """The URL of its server for clients; empty if it has none."""
        ...

    def logs(self, container: str, tail: int, *, this_run: bool = False) -> Sequence[str]:
        """The last lines; with `this_run` none from before the container was last started."""
        ...

    def reach(self, container: str) -> Reach:
        """The route to the server in a container."""
        ...

    def now(self) -> float:
        """Seconds since the epoch by the daemon's clock, which the times in its lock refer to."""
        ...

    def take_lock(self, owner: str, wanted: LockInfo) -> LockInfo: ...

    def read_lock(self, owner: str) -> LockInfo | None: ...

    def release_lock(self, owner: str) -> None: ...

    def read_record(self, owner: str) -> HostRecord:
        """The record of earlier applies; empty if nothing is recorded."""
        ...

    def write_record(self, owner: str, new: HostRecord) -> None: ...

    def settle_record(self, owner: str) -> None:
        """Repair the record after a run that was killed while it wrote. The lock is held."""
        ...

    def adopt(self, container: str) -> None:
        """From now on it counts as ours, although it has no labels. Refuses another stack's container."""
        ...

    def connect(self, container: str, network: str) -> None: ...


class Daemons(Protocol):
    """The daemon of a host, by its name."""

    def daemon(self, host: str) -> Daemon: ...

    def check_path(self, host: str) -> None:
        """Raises PathFailed if it is known that no server in a new container of the host can be reached."""
        ...

    def observe(self, host: str) -> ObservedHost: ...


class Prober(Protocol):
    """Sends requests to a running server. Every answer is a value: "does not answer" is not an exception. All raise
    PathFailed if the server cannot be reached.
    """

    def health(self, reach: Reach) -> str:
        """Empty if it is healthy; else the status: "status 503", "no connection", "no answer"."""
        ...

    def served_names(self, reach: Reach, api_key: str | None) -> Sequence[str]:
        """Raises ProbeFailed."""
        ...

    def smoke(self, reach: Reach, api_key: str | None, task: str, model: str, smoke: Smoke) -> str:
        """One request of the model's task. Returns the answer in a few words. Raises ProbeFailed."""
        ...

    def speed(self, reach: Reach, api_key: str | None, model: str, smoke: Smoke) -> Speed:
        """The speed of one streamed request to a generating model. Raises ProbeFailed."""
        ...


class Secrets(Protocol):
    def value(self, reference: SecretRef) -> str:
        """Raises SecretUnresolved."""
        ...


class Hooks(Protocol):
    """The stack's hooks during an apply. Called from several threads; `after_failure` and `after_apply` raise
    nothing.
    """

    def before_apply(self) -> None:
        """Under the locks, before the first step. Raises HookRefused."""
        ...

    def before_step(self, step: Step, change: Change | None) -> bool:
        """Whether a hook ran. Raises HookFailed: the step does not start."""
        ...

    def after_step(self, step: Step, change: Change | None) -> None:
        """Raises HookFailed: the step counts as failed."""
        ...

    def after_failure(self, step: Step, change: Change | None, failure: str, outcome: str) -> None:
        """Called after everything possible was restored. `outcome`: the result of the change."""
        ...

    def after_apply(self, exit_code: int, failures: Sequence[str]) -> None:
        """Before the locks are released."""
        ...


class Recorder(Protocol):
    """Records what was applied, as it happens. Called from several threads; raises nothing."""

    def begins(self, change: Change) -> None:
        """Before the first step of a change."""
        ...

    def proven(self, change: Change) -> None:
        """It has passed its gate, and does not have the serving name yet."""
        ...

    def is_restored(self, change: Change) -> None:
        """The container that served before has passed its gate again, in place of the failed one."""
        ...


class RunsHook(Protocol):
    """Runs one hook with its facts, by name in lower case. Raises HookFailed."""

    def __call__(self, hook: Hook, facts: Mapping[str, str]) -> None: ...


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def elapsed(self) -> float:
        """Seconds on a clock that is never set back."""
        ...

    def sleep(self, duration: float) -> None: ...
