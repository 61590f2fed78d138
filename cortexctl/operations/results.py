"""Results of the use cases, for `render/`: values only, without access to the adapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from cortexctl.dataclass import dataclass

if TYPE_CHECKING:
    from cortexctl.desired.measured_card import MeasuredCard
    from cortexctl.desired.stack import Host
    from cortexctl.diagnostics import Diagnostic
    from cortexctl.engines.base import Diagnosis
    from cortexctl.observed.container_state import ContainerState
    from cortexctl.observed.host import ObservedHost
    from cortexctl.observed.host_facts import FolderFacts, HostFacts
    from cortexctl.observed.host_probe import HostProbe
    from cortexctl.plan.diff import FieldChange


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The fields that every record of a run has in common, as plain values."""

    run: str
    stack: str
    env: str
    who: Mapping[str, str]
    revision: str


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The effect of another release on a stack. `before` and `after`: diagnostics before and after the edits. `now`:
    model -> its release, empty if unknown. `defaults`: (option, before, after) of options that the stack does not set.
    `unread`: the stack's environments that were not read.
    """

    stack: str
    to: str
    now: dict[str, str]
    before: list[Diagnostic]
    old_text: str
    new_text: str
    by_hand: list[str]
    after: list[Diagnostic]
    defaults: list[tuple[str, Any, Any]]
    unread: list[str]

    @property
    def has_edits(self) -> bool:
        return self.new_text != self.old_text

    @property
    def is_left(self) -> bool:
        """Whether the edits leave errors."""
        return any(d.is_error for d in self.after)


@dataclass(frozen=True, slots=True)
class IgnoredField:
    """A field in which a container differs from a new one of its model. `networks`: the networks of the container.
    `why`: instead of both values.
    """

    change: FieldChange
    networks: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """A container as a model of the stack. `table`: the model, with its ignored fields. `ignored`: path -> the
    difference. `notes`: key -> a comment. `preface`: comments before the block. `needed`: environment variables that
    must have the container's values. `reasons`: why it cannot be adopted. `action`: the action that a plan shows.
    """

    container: str
    name: str
    table: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, IgnoredField] = field(default_factory=dict)
    preface: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    action: str = ""


@dataclass(frozen=True, slots=True)
class ImportCandidate:
    """A container without a stack that runs vLLM. `name`: of its model. `reasons`: why it cannot be adopted."""

    container: str
    image: str
    model: str
    state: str
    name: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """`of`: an address or the name of a log. `state`: None for a log alone. `last`: vLLM's last error line."""

    of: str
    diagnosis: Diagnosis | None
    last: str
    next_step: str
    container: str = ""
    role: str = ""
    generation: int = 0
    state: ContainerState | None = None
    health: str = ""
    """The result of /health, for a running container; "healthy" if it serves, or if a log alone shows that it does."""
    stage: str = ""

    @property
    def is_well(self) -> bool:
        return self.diagnosis is None and self.health == "healthy"

    @property
    def is_explained(self) -> bool:
        """The cause is known, or the instance is well."""
        return self.diagnosis is not None or self.is_well


@dataclass(frozen=True, slots=True)
class Durations:
    """`at`: the start of the observation, in seconds since the epoch. `seconds`: its duration."""

    at: int
    seconds: float


@dataclass(frozen=True, slots=True)
class LabelHistory:
    """The history in the labels of the stack's containers, one row each, and the hosts that could not be read."""

    rows: tuple[dict[str, str], ...]
    unreachable: tuple[ObservedHost, ...]


@dataclass(frozen=True, slots=True)
class HostFinding:
    """A sentence about a host, its parts in `details`, and the next step if there is one. Not a problem: something to
    know.
    """

    text: str
    next_step: str = ""
    details: tuple[str, ...] = ()
    is_problem: bool = False
    is_fixable: bool = False
    """`doctor --write` fixes it."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """One image on one GPU. `card`: what it showed. `problem`: why there is nothing."""

    image: str
    gpu: int | None = None
    card: MeasuredCard | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class HostReport:
    """`image`: an image on the host that a probe can use; empty if there is none. `probe`: None without one. `folders`:
    as the probe knows them, else as containers of the stack show them.
    """

    host: Host
    facts: HostFacts
    image: str
    probe: HostProbe | None
    folders: tuple[FolderFacts, ...] = ()
    findings: tuple[HostFinding, ...] = ()
    calibrations: tuple[Calibration, ...] = ()

    @property
    def has_problem(self) -> bool:
        return any(finding.is_problem for finding in self.findings)


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """`probed`: whether the hosts were to be read in temporary containers, too. `command`: the command line that reads
    the same hosts without a probe.
    """

    stack: str
    hosts: tuple[HostReport, ...]
    probed: bool
    command: str

    @property
    def has_problem(self) -> bool:
        return any(report.has_problem for report in self.hosts)


@dataclass(frozen=True, slots=True)
class GpuEdit:
    """The GPUs of the hosts in the stack's text. `by_hand`: host -> why its GPUs cannot be written."""

    stack: str
    old_text: str
    new_text: str
    by_hand: Mapping[str, str] = field(default_factory=dict)

    @property
    def sentences(self) -> tuple[str, ...]:
        return tuple(f"{host}: {reason}" for host, reason in self.by_hand.items())

    @property
    def has_edits(self) -> bool:
        return self.new_text != self.old_text
