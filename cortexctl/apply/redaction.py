"""Removes secrets from texts that come from outside: from a daemon, a server, a hook.

Only those texts are changed. Addresses and names come from the plan, and other code looks them up.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

from cortexctl.apply.events import Event, GateProbe, HookEnded, Progress, RollbackEnded, Sink, StepDone, StepFailed
from cortexctl.apply.executor import Result
from cortexctl.errors import CortexctlError

Hide = Callable[[str], str]


def discreet(sink: Sink, hide: Hide) -> Sink:
    """The sink, which gets every event with its secrets hidden."""
    return lambda event: sink(event_without(event, hide))


def event_without(event: Event, hide: Hide) -> Event:
    match event:
        case StepDone(note="") | GateProbe(detail=""):  # most have no such text
            return event
        case StepDone(note=note):
            return replace(event, note=hide(note))
        case StepFailed(message=message):
            return replace(event, message=hide(message))
        case Progress(stage=stage):
            return replace(event, stage=hide(stage))
        case GateProbe(detail=detail):
            return replace(event, detail=hide(detail))
        case RollbackEnded(problem=problem, unproven=unproven):
            return replace(event, problem=hide(problem), unproven=hide(unproven))
        case HookEnded(problem=problem, output=output):
            return replace(event, problem=hide(problem), output=tuple(map(hide, output)))
    return event


def result_without(result: Result, hide: Hide) -> Result:
    outcomes = tuple(
        replace(
            outcome,
            failure=error_without(outcome.failure, hide) if outcome.failure else None,
            rollback_problem=hide(outcome.rollback_problem),
            unproven=hide(outcome.unproven),
        )
        for outcome in result.outcomes
    )
    failures = tuple((host, error_without(cause, hide)) for host, cause in result.host_failures)
    return replace(result, outcomes=outcomes, host_failures=failures)


def error_without(cause: CortexctlError, hide: Hide) -> CortexctlError:
    """The same error in all other fields."""
    shown = copy.copy(cause)
    for name in ("message", "next_step", "cause", "fix"):
        if hasattr(shown, name):
            setattr(shown, name, hide(getattr(shown, name)))
    for name in ("log", "output"):
        if hasattr(shown, name):
            setattr(shown, name, tuple(map(hide, getattr(shown, name))))
    shown.args = (shown.message,)
    return shown
