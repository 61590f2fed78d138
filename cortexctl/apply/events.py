"""What happens during an apply, as values. Who shows them, and how, is not this package's business."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from cortexctl.desired.hook import Hook
from cortexctl.plan.model import Change
from cortexctl.plan.steps import Step
from cortexctl.text.shorten import LONGEST_TEXT, shortened

LAST_ERROR = "'s last word: "
"""Stands between an engine's title and the last error of its log, in the message of a failed gate."""

Probe = Literal["process", "health", "names", "smoke", "bounds", "stable"]
"""What a gate looks at, in this order; `process` and `health` again and again."""


@dataclass(frozen=True, slots=True)
class StepStarted:
    step: Step


@dataclass(frozen=True, slots=True)
class StepDone:
    """`seconds` it took; `note` is what is worth saying about it."""

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
    """Where a gate stands: the stage in words, and a share from 0 to 1 where vLLM tells one."""

    address: str
    stage: str
    seconds: float
    share: float | None = None


@dataclass(frozen=True, slots=True)
class GateProbe:
    """What a look of the gate showed that the look before did not. `detail` in a few words, no secret in it;
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
    """`problem` is empty when what was is back. `unproven`: why it could not be asked whether it serves, if so."""

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
    """`problem` is empty when it did what it should; `output` is what it said last, without secrets, if it failed."""

    hook: Hook
    seconds: float
    address: str = ""
    host: str = ""
    problem: str = ""
    output: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LockChanged:
    """The host's lock is ours, or no longer."""

    host: str
    held: bool


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
    """The event, its own texts not longer than anybody reads: a server may answer with a name of megabytes."""
    long: dict[str, Any] = {
        f.name: shortened(text)
        for f in fields(event)
        if isinstance(text := getattr(event, f.name), str) and len(text) > LONGEST_TEXT
    }
    return replace(event, **long) if long else event
