"""The words for actions, reasons, costs and steps, in one place, so that every view says the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, assert_never

from cortexctl.plan.action import Action, Reason, ReasonCode
from cortexctl.plan.model import Change
from cortexctl.plan.steps import (
    CreateContainer,
    EnsureNetwork,
    PassGate,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RenameContainer,
    SetRestart,
    StartContainer,
    StopContainer,
    Task,
    UpdateContainer,
)
from cortexctl.spec.units import show_bytes, show_seconds

SYMBOLS = {
    Action.CREATE: "+",
    Action.START: ">",
    Action.RESTART: ">>",
    Action.REPLACE: "-/+",
    Action.UPDATE: "~",
    Action.MOVE: "=",
    Action.REMOVE: "-",
    Action.FORGET: ".",
    Action.NO_OP: " ",
}
COLOURS = {
    Action.CREATE: "green",
    Action.START: "cyan",
    Action.RESTART: "yellow",
    Action.REPLACE: "yellow",
    Action.UPDATE: "blue",
    Action.MOVE: "blue",
    Action.REMOVE: "red",
    Action.FORGET: "dim",
    Action.NO_OP: "dim",
}
DONE_WORDS = {
    Action.CREATE: "created",
    Action.START: "started",
    Action.RESTART: "restarted",
    Action.REPLACE: "replaced",
    Action.UPDATE: "updated",
    Action.MOVE: "moved",
    Action.REMOVE: "removed",
    Action.FORGET: "forgotten",
    Action.NO_OP: "unchanged",
}


def action_words(action: Action) -> str:
    said = {Action.REPLACE: "replace (stop first)", Action.UPDATE: "update in place", Action.MOVE: "new name only"}
    return said.get(action, action.value)


def cost_words(change: Change) -> str:
    """What the change costs while it runs. Never a guess: a bound, or that there is none."""
    bound = show_seconds(change.cost.at_most) if change.cost.at_most is not None else ""
    match change.action:
        case Action.REPLACE if change.cost.down:
            return f"down until the new one passes its gate, at most {bound}"
        case Action.RESTART:
            return f"down until it passes its gate again, at most {bound}"
        case Action.UPDATE | Action.MOVE:
            return "no restart"
        case Action.FORGET:
            return "left running, no longer looked after"
        case Action.REPLACE | Action.CREATE | Action.START:
            return f"ready in at most {bound}"
        case Action.REMOVE:
            return "its endpoint goes away" if change.cost.down else "nothing serves from it"
        case Action.NO_OP:
            return ""
        case _:
            assert_never(change.action)


def reason_words(change: Change) -> list[str]:
    """One line a reason; changed fields share one, since each is listed below it."""
    lines = [_reason(r) for r in change.reasons if r.code is not ReasonCode.CHANGED]
    changed = [r.detail for r in change.reasons if r.code is ReasonCode.CHANGED]
    if changed and change.action is not Action.REPLACE:
        lines.insert(0, f"because {', '.join(changed)} changed")
    elif changed:
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        lines.insert(0, f"because {shown} changed, which takes a new container")
    return lines


def _reason(reason: Reason) -> str:
    match reason.code:
        case ReasonCode.NEW:
            return "because it is in the stack and not on the host"
        case ReasonCode.STOPPED:
            return f"because it is {reason.detail} and should run"
        case ReasonCode.UNFINISHED:
            return f"goes on with the candidate of run {reason.detail or 'unknown'}, which did not finish"
        case ReasonCode.NOT_IN_STACK:
            return "because it is no longer in the stack"
        case ReasonCode.DESTROY:
            return "because everything of this stack is to go"
        case ReasonCode.LEFTOVER:
            return f"because run {reason.detail or 'unknown'} left it behind"
        case ReasonCode.REQUESTED:
            return "because you ask for it"
        case ReasonCode.MOVED:
            return f"it was called {reason.detail}; its label keeps that name until it is replaced"
        case ReasonCode.FORGET:
            return 'its block is gone from the stack, and it was made with on_remove = "forget"'
        case ReasonCode.CHANGED:
            return f"because {reason.detail} changed"
        case _:
            assert_never(reason.code)


def task_words(task: Task, names: Mapping[str, str]) -> str:
    """`names` tells which container an id belongs to, as `Plan.container_names` does."""
    match task:
        case PullImage(reference):
            return f"pull {reference}"
        case EnsureNetwork(name):
            return f"network {name}"
        case CreateContainer(name, generation):
            return f"create {name} (generation {generation})"
        case StopContainer(container, timeout):
            return f"stop {names.get(container, container)}, killed after {show_seconds(timeout)}"
        case StartContainer(container):
            return f"start {names.get(container, container)}"
        case PassGate(container):
            return f"gate {names.get(container, container)}"
        case SetRestart(container, policy):
            return f"restart policy of {names.get(container, container)}: {policy}"
        case UpdateContainer(container, memory, cpus):
            limits = [f"memory {show_bytes(memory)}"] if memory is not None else []
            limits += [f"cpus {cpus:g}"] if cpus is not None else []
            return f"limits of {names.get(container, container)}: {', '.join(limits)}"
        case RenameContainer(container, name, was):
            return f"rename {was or names.get(container, container)} to {name}"
        case RemoveContainer(container):
            return f"remove {names.get(container, container)}"
        case RemoveNetwork(name):
            return f"remove network {name}"
        case _:
            assert_never(task)


def value_words(path: str, value: Any) -> str:
    """A field's value as a stack's reader would write it."""
    if value is None:
        return "(not set)"
    if path in {"shm_size", "memory"}:
        return show_bytes(value)
    if path == "drain":
        return show_seconds(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(str(v) for v in value)
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)
