"""The calls that carry out a change, in order. Every one is an "ensure": doing it twice does no harm.

That is what makes a killed apply resumable: the next plan finds the existing containers and runs the rest.
"""

from __future__ import annotations

from cortexctl.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class PullImage:
    """Fetch `reference` at `digest`, while the old instance still serves."""

    reference: str
    digest: str


@dataclass(frozen=True, slots=True)
class EnsureNetwork:
    name: str


@dataclass(frozen=True, slots=True)
class CreateContainer:
    """Create the candidate, not started, restart policy off. Keeps an existing one of that name and spec."""

    name: str
    generation: int
    image: str


@dataclass(frozen=True, slots=True)
class AdoptContainer:
    """From here on a container without our labels counts as ours during this run: the stack adopts it by name."""

    container: str


@dataclass(frozen=True, slots=True)
class TryReach:
    """Try the route to the server in a running container, which the gate uses too: before anything is stopped."""

    container: str


@dataclass(frozen=True, slots=True)
class StopContainer:
    """SIGTERM, then SIGKILL after `timeout` seconds."""

    container: str
    timeout: int


@dataclass(frozen=True, slots=True)
class StartContainer:
    container: str


@dataclass(frozen=True, slots=True)
class PassGate:
    """Wait until the container serves, or fail."""

    container: str


@dataclass(frozen=True, slots=True)
class SetRestart:
    container: str
    policy: str


@dataclass(frozen=True, slots=True)
class UpdateContainer:
    """Change limits in place: memory in bytes, cpus in cores; None leaves a limit unchanged."""

    container: str
    memory: int | None
    cpus: float | None


@dataclass(frozen=True, slots=True)
class ConnectNetwork:
    """Reconnect it to a network that it was removed from."""

    container: str
    network: str


@dataclass(frozen=True, slots=True)
class RenameContainer:
    """`was` is its name until then, for texts about it."""

    container: str
    name: str
    was: str = ""


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    container: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Between two batches: time to observe the new instances."""

    seconds: int


@dataclass(frozen=True, slots=True)
class RemoveNetwork:
    """Only if we created it and no container uses it."""

    name: str


Task = (
    PullImage
    | EnsureNetwork
    | CreateContainer
    | AdoptContainer
    | TryReach
    | StopContainer
    | StartContainer
    | PassGate
    | SetRestart
    | UpdateContainer
    | ConnectNetwork
    | RenameContainer
    | RemoveContainer
    | RemoveNetwork
    | Pause
)

TASK_KINDS: dict[str, type[Task]] = {
    "pull_image": PullImage,
    "ensure_network": EnsureNetwork,
    "create_container": CreateContainer,
    "adopt_container": AdoptContainer,
    "try_reach": TryReach,
    "stop_container": StopContainer,
    "start_container": StartContainer,
    "pass_gate": PassGate,
    "set_restart": SetRestart,
    "update_container": UpdateContainer,
    "connect_network": ConnectNetwork,
    "rename_container": RenameContainer,
    "remove_container": RemoveContainer,
    "remove_network": RemoveNetwork,
    "pause": Pause,
}
UNNOTICED = AdoptContainer | CreateContainer | TryReach
"""Tasks without a visible effect: if one of these fails, there is nothing to restore."""
KIND_OF: dict[type[Task], str] = {task: kind for kind, task in TASK_KINDS.items()}


Place = tuple[str, str]
"""Host and address of a change."""


@dataclass(frozen=True, slots=True)
class Step:
    """One task, run after all steps in `after` are done. `address` is empty for a host's own steps."""

    id: str
    host: str
    address: str
    after: tuple[str, ...]
    task: Task

    @property
    def place(self) -> Place:
        """The change that it belongs to."""
        return self.host, self.address
