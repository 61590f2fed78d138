"""What a look at the hosts may find. Six kinds, kept apart; each finding has a code of a closed set.

The words for them are in `render.drift_words`; nothing here is text for people but what was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cortexctl.diagnostics import Diagnostic
from cortexctl.instance.spec import InPlace
from cortexctl.observed.health import Answer
from cortexctl.observed.inspected import Inspected
from cortexctl.observed.lock_holder import LockInfo

FORMAT_VERSION = "1.0"
"""Of the report as JSON. Minor versions only add fields."""


class Kind(StrEnum):
    """In reading order: what may be down first."""

    UNREACHABLE = "unreachable"
    UNHEALTHY = "unhealthy"
    DRIFT = "drift"
    PENDING = "pending"
    ORPHAN = "orphan"
    UNMANAGED = "unmanaged"


class Code(StrEnum):
    """What it is, within its kind."""

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
    KEPT_RUNS = "kept_runs"
    TWIN = "twin"
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
    """One thing that is not as it should be.

    `subject` is HOST/MODEL, of what is not ours HOST/CONTAINER, of a host its name. `path` is a field of the spec, or
    `state`, `name`, `health` and the like. `expected` and `found` are plain JSON values; None: not there. Of secrets
    they say only that there is one. `detail` is what was read: a run, a next step of the host.
    """

    kind: Kind
    code: Code
    host: str
    subject: str
    model: str = ""
    container: str = ""
    path: str = ""
    expected: Any = None
    found: Any = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NotAsked:
    """A server whose health was not asked for, and why."""

    subject: str
    why: str


@dataclass(frozen=True, slots=True)
class Note:
    """What a reader should know that is no finding, by host or instance."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class CheckedHost:
    """A host of the report. `problem`: why it could not be read. `busy`: who is applying there, so that what is on it
    was not judged.
    """

    name: str
    daemon: str = ""
    instances: int = 0
    problem: str = ""
    busy: LockInfo | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What was asked beyond the lists: the health of servers, and under --deep inspections and images.

    `inspected` and `health` by host and container id; `in_place` likewise, of those whose label alone does not tell.
    `images` by host: what a tag means there now. `busy`: the hosts that somebody is applying to. `version` is this
    cortexctl's.
    """

    deep: bool = False
    inspected: Mapping[tuple[str, str], Inspected] = field(default_factory=dict)
    in_place: Mapping[tuple[str, str], InPlace] = field(default_factory=dict)
    images: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    health: Mapping[tuple[str, str], Answer] = field(default_factory=dict)
    health_asked: bool = True
    not_asked: tuple[NotAsked, ...] = ()
    busy: Mapping[str, LockInfo] = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """`instances` are the stack's on the hosts that were read, `asked` those whose server was asked for its health.
    `kinds`: those that were asked for, none for all. `ignored`: how many findings the stack says to pass over.
    `unknown_secrets`: those that have no value here, so that they could not be compared. `given`: the options that gave
    variables their values, for the next command, each with a blank before it.
    """

    stack: str
    stack_path: str
    stack_digest: str
    env: str
    deep: bool
    health_asked: bool
    kinds: tuple[Kind, ...]
    selection: tuple[str, ...]
    hosts: tuple[CheckedHost, ...]
    findings: tuple[Finding, ...]
    asked: int = 0
    not_asked: tuple[NotAsked, ...] = ()
    notes: tuple[Note, ...] = ()
    ignored: int = 0
    unknown_secrets: int = 0
    given: str = ""
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

    def telling(self, *, allow_unreachable: bool = False) -> tuple[Finding, ...]:
        """What somebody is to be told of. Containers of others are only if they were asked for."""
        passed = {Kind.UNREACHABLE} if allow_unreachable else set()
        if Kind.UNMANAGED not in self.kinds:
            passed.add(Kind.UNMANAGED)
        return tuple(f for f in self.findings if f.kind not in passed)

    def shows(self, kind: Kind) -> bool:
        """A host that cannot be read is always shown: nothing else can be said of it."""
        return not self.kinds or kind in self.kinds or kind is Kind.UNREACHABLE
