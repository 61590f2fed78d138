"""The calls that carry out a change, in order. Every one is an "ensure": doing it twice does no harm.

That is what makes a killed apply resumable: the next plan finds the existing containers and runs the rest.
"""

from __future__ import annotations

from dataclasses import dataclass


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
    """Make the candidate, not started, restart policy off. Keeps one by that name and spec."""

    name: str
    generation: int
    image: str


@dataclass(frozen=True, slots=True)
class AdoptContainer:
    """From here on a container without our labels counts as ours, for this run: the stack takes it by name."""

    container: str


@dataclass(frozen=True, slots=True)
class TryReach:
    """Try the way to the server in a container that runs, which is the gate's way too: before anything is stopped."""

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
    """Change limits in place: memory in bytes, cpus in cores; None leaves a limit as it is."""

    container: str
    memory: int | None
    cpus: float | None


@dataclass(frozen=True, slots=True)
class ConnectNetwork:
    """Back on a network that it was taken from."""

    container: str
    network: str


@dataclass(frozen=True, slots=True)
class RenameContainer:
    """`was` is what it is called until then, for the words about it."""

    container: str
    name: str
    was: str = ""


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    container: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Between two batches: time for what is new to show what it is worth."""

    seconds: int


@dataclass(frozen=True, slots=True)
class RemoveNetwork:
    """Only if we made it and nobody is on it."""

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
"""What changes nothing that anybody notices: when one of these fails, there is nothing to bring back."""
KIND_OF: dict[type[Task], str] = {task: kind for kind, task in TASK_KINDS.items()}


@dataclass(frozen=True, slots=True)
class Step:
    """One task, run when all steps in `after` are done. `address` is empty for a host's own steps."""

    id: str
    host: str
    address: str
    after: tuple[str, ...]
    task: Task
