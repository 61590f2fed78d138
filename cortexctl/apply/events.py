"""The events of an apply, as values. Other packages decide who shows them, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Literal

from cortexctl.dataclass import dataclass
from cortexctl.desired.hook import Hook
from cortexctl.plan.model import Change
from cortexctl.plan.steps import Step
from cortexctl.text.shorten import LONGEST_TEXT, shortened

LAST_ERROR = "'s last error: "
"""Stands between an engine's title and the last error of its log, in the message of a failed gate."""

Probe = Literal["process", "health", "names", "smoke", "bounds", "stable"]
"""The checks of a gate, in this order; `process` and `health` are repeated."""


@dataclass(frozen=True, slots=True)
class StepStarted:
    step: Step


@dataclass(frozen=True, slots=True)
class StepDone:
    """`seconds` it took; `note` is additional information for the user."""

    step: Step
    seconds: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class StepFailed:
    step: Step
    seconds: float
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a gate: the stage as text, and a share from 0 to 1 if the engine's log shows one."""

    address: str
    stage: str
    seconds: float
    share: float | None = None


@dataclass(frozen=True, slots=True)
class GateProbe:
    """A result of the gate's checks that differs from the one before. `detail` in a few words, without secrets;
    `seconds` since the gate began.
    """

    address: str
    probe: Probe
    ok: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RollbackStarted:
    change: Change


@dataclass(frozen=True, slots=True)
class RollbackEnded:
    """`problem` is empty if the old state is restored. `unproven`: why its health could not be checked, if so."""

    change: Change
    problem: str = ""
    unproven: str = ""


@dataclass(frozen=True, slots=True)
class HookStarted:
    """`address` and `host` are empty for a hook of the whole run."""

    hook: Hook
    address: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class HookEnded:
    """`problem` is empty if it succeeded; `output` is the end of its output, without secrets, if it failed."""

    hook: Hook
    seconds: float
    address: str = ""
    host: str = ""
    problem: str = ""
    output: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LockChanged:
    """Our run has taken or released the host's lock."""

    host: str
    is_held: bool


Event = (
    StepStarted
    | StepDone
    | StepFailed
    | Progress
    | GateProbe
    | RollbackStarted
    | RollbackEnded
    | HookStarted
    | HookEnded
    | LockChanged
)


Sink = Callable[[Event], None]
"""Called from several threads."""


def bounded(event: Event) -> Event:
    """The event with its own texts shortened to a readable length: a server may answer with a name of megabytes."""
    long: dict[str, Any] = {
        f.name: shortened(text)
        for f in fields(event)
        if isinstance(text := getattr(event, f.name), str) and len(text) > LONGEST_TEXT
    }
    return replace(event, **long) if long else event
