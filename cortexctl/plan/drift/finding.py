"""The findings that a reading of the hosts can give. Six separate kinds; each finding has a code of a closed set.

`render.drift.phrases` has the texts; here, only facts that were read are text for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.diagnostics import Diagnostic
from cortexctl.instance.spec import InPlace
from cortexctl.observed.health import Answer
from cortexctl.observed.inspected import Inspected
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.text.invocation import Invocation

FORMAT_VERSION = "2.0"
"""Version of the JSON report. Minor versions only add fields."""


class Kind(StrEnum):
    """In reading order: possible outages first."""

    UNREACHABLE = "unreachable"
    UNHEALTHY = "unhealthy"
    DRIFT = "drift"
    PENDING = "pending"
    ORPHAN = "orphan"
    UNMANAGED = "unmanaged"


class Code(StrEnum):
    """The finding within its kind."""

    UNREADABLE_HOST = "unreadable_host"

    NOT_SERVING = "not_serving"
    RESTARTING = "restarting"

    STOPPED = "stopped"
    REMOVED = "removed"
    RENAMED = "renamed"
    DISCONNECTED = "disconnected"
    NOT_PUBLISHED = "not_published"
    UNFINISHED = "unfinished"
    LEFTOVER = "leftover"
    RETAINED_RUNS = "retained_runs"
    DUPLICATE = "duplicate"
    ROLLED_BACK = "rolled_back"
    UNREADABLE_SPEC = "unreadable_spec"
    UPDATED = "updated"
    CHANGED = "changed"
    RETAGGED = "retagged"

    NEW = "new"
    TO_ADOPT = "to_adopt"
    EDITED = "edited"
    MOVED = "moved"

    NOT_IN_STACK = "not_in_stack"
    DISABLED = "disabled"
    OTHER_HOST = "other_host"

    FOREIGN = "foreign"
    LEFT_ALONE = "left_alone"
    NAME_TAKEN = "name_taken"
    PORT_TAKEN = "port_taken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One deviation.

    `subject` is HOST/MODEL; HOST/CONTAINER for a container that is not ours; for a host its name. `path` is a field of
    the spec, or `state`, `name`, `health` and the like. `expected` and `actual` are plain JSON values; None: absent.
    For secrets they show only that there is one. `detail` is a fact that was read: a run, a next step for the host.
    """

    kind: Kind
    code: Code
    host: str
    subject: str
    model: str = ""
    container: str = ""
    path: str = ""
    expected: Any = None
    actual: Any = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class UncheckedServer:
    """A server whose health was not checked, and the reason."""

    subject: str
    why: str


@dataclass(frozen=True, slots=True)
class Note:
    """Information for the reader that is not a finding, by host or instance."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class CheckedHost:
    """A host of the report. `problem`: why it could not be read. `busy`: the lock holder, if an apply is running; then
    the host was not judged.
    """

    name: str
    daemon: str = ""
    instances: int = 0
    problem: str = ""
    busy: LockInfo | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts beyond the container lists: the health of servers, and with --deep inspections and images.

    `inspected` and `health` by host and container id; `in_place` likewise, for containers whose label alone is not
    enough. `images` by host: the current id of each tag. `busy`: the hosts with a running apply. `version` is this
    cortexctl's.
    """

    deep: bool = False
    inspected: Mapping[tuple[str, str], Inspected] = field(default_factory=dict)
    in_place: Mapping[tuple[str, str], InPlace] = field(default_factory=dict)
    images: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    health: Mapping[tuple[str, str], Answer] = field(default_factory=dict)
    health_checked: bool = True
    unchecked: tuple[UncheckedServer, ...] = ()
    busy: Mapping[str, LockInfo] = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """`instances` are the stack's on the hosts that were read, `checked` those whose health was checked.
    `kinds`: the selected kinds, empty for all. `ignored`: the number of findings that the stack ignores.
    `unknown_secrets`: secrets without a value here, which could not be compared. `invocation`: the
    run, for the next commands.
    """

    stack: str
    stack_path: str
    stack_digest: str
    env: str
    deep: bool
    health_checked: bool
    kinds: tuple[Kind, ...]
    selection: tuple[str, ...]
    hosts: tuple[CheckedHost, ...]
    findings: tuple[Finding, ...]
    checked: int = 0
    unchecked: tuple[UncheckedServer, ...] = ()
    notes: tuple[Note, ...] = ()
    ignored: int = 0
    unknown_secrets: int = 0
    invocation: Invocation = Invocation()
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def instances(self) -> int:
        return sum(h.instances for h in self.hosts)

    @property
    def unreachable(self) -> tuple[CheckedHost, ...]:
        return tuple(h for h in self.hosts if h.problem)

    @property
    def busy(self) -> tuple[CheckedHost, ...]:
        return tuple(h for h in self.hosts if h.busy)

    def of(self, kind: Kind) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.kind is kind)

    def to_report(self, *, allow_unreachable: bool = False) -> tuple[Finding, ...]:
        """The findings to report. Containers of others only if they were selected."""
        passed = {Kind.UNREACHABLE} if allow_unreachable else set()
        if Kind.UNMANAGED not in self.kinds:
            passed.add(Kind.UNMANAGED)
        return tuple(f for f in self.findings if f.kind not in passed)

    def shows(self, kind: Kind) -> bool:
        """A host that cannot be read is always shown, because nothing else is known about it."""
        return not self.kinds or kind in self.kinds or kind is Kind.UNREACHABLE
