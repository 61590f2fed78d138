"""What apply needs of the world, as narrow protocols. The adapters are passed in; fakes stand in for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cortexctl.observed.state import ContainerState, ImageFacts, LockInfo, ObservedHost
from cortexctl.spec.container import SecretRef
from cortexctl.spec.desired import Smoke
from cortexctl.spec.launch import Launch


class Engine(Protocol):
    """One host's engine. Every call is an "ensure" and raises EngineError when it cannot be done."""

    def image(self, reference: str) -> ImageFacts: ...

    def pull(self, reference: str, digest: str) -> None: ...

    def ensure_network(self, name: str, stack: str) -> None: ...

    def remove_network(self, name: str, stack: str) -> None: ...

    def create(self, launch: Launch) -> None: ...

    def start(self, container: str) -> None: ...

    def stop(self, container: str, timeout: int) -> None: ...

    def set_restart(self, container: str, policy: str) -> None: ...

    def rename(self, container: str, name: str) -> None: ...

    def remove(self, container: str) -> None: ...

    def state(self, container: str) -> ContainerState: ...

    def logs(self, container: str, tail: int, *, this_run: bool = False) -> Sequence[str]:
        """The last lines; with `this_run` none from before the container was last started."""
        ...

    def take_lock(self, stack: str, wanted: LockInfo) -> LockInfo: ...

    def read_lock(self, stack: str) -> LockInfo | None: ...

    def release_lock(self, stack: str) -> None: ...


class Engines(Protocol):
    """The engine of a host, by its name."""

    def engine(self, host: str) -> Engine: ...

    def observe(self, host: str) -> ObservedHost: ...


class Prober(Protocol):
    """Asks a running server. Every answer is a value: "does not answer" is no exception."""

    def healthy(self, endpoint: str) -> bool: ...

    def served_names(self, endpoint: str, api_key: str | None) -> Sequence[str]:
        """Raises ProbeFailed."""
        ...

    def smoke(self, endpoint: str, api_key: str | None, task: str, model: str, smoke: Smoke) -> str:
        """One request of the model's task. What came back, in a few words. Raises ProbeFailed."""
        ...


class Secrets(Protocol):
    def value(self, reference: SecretRef) -> str:
        """Raises SecretUnresolved."""
        ...


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def elapsed(self) -> float:
        """Seconds on a clock that is never set back."""
        ...

    def sleep(self, duration: float) -> None: ...
