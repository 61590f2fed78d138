"""The texts for actions, reasons, costs and steps, in one place, so that all views agree."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from cortexctl.desired.hook import Hook
from cortexctl.instance.labels import generation_name, serving_name
from cortexctl.plan.action import Action, Reason, ReasonCode
from cortexctl.plan.diff import NETWORK
from cortexctl.plan.model import Change, Cost, PlannedHost, Rollout
from cortexctl.plan.pace import Pace
from cortexctl.plan.steps import (
    AdoptContainer,
    ConnectNetwork,
    CreateContainer,
    EnsureNetwork,
    PassGate,
    Pause,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RenameContainer,
    SetRestart,
    StartContainer,
    StopContainer,
    Task,
    TryReach,
    UpdateContainer,
)
from cortexctl.render.plan.folding import cut, listed
from cortexctl.text.units import about_range, show_bytes, show_seconds

MOST_BATCHES = 4
"""Batches that are listed."""
SYMBOLS = {
    Action.CREATE: "+",
    Action.START: ">",
    Action.RESTART: ">>",
    Action.REPLACE: "-/+",
    Action.UPDATE: "~",
    Action.ADOPT: "<=",
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
    Action.ADOPT: "green",
    Action.MOVE: "blue",
    Action.REMOVE: "red",
    Action.FORGET: "dim",
    Action.NO_OP: "dim",
}
PAST_TENSE = {
    Action.CREATE: "created",
    Action.START: "started",
    Action.RESTART: "restarted",
    Action.REPLACE: "replaced",
    Action.UPDATE: "updated",
    Action.ADOPT: "adopted",
    Action.MOVE: "moved",
    Action.REMOVE: "removed",
    Action.FORGET: "forgotten",
    Action.NO_OP: "unchanged",
}


def action_text(action: Action) -> str:
    texts = {Action.UPDATE: "update in place", Action.MOVE: "new name only"}
    return texts.get(action, action.value)


def change_text(change: Change) -> str:
    """The action, and the strategy of a replacement."""
    if change.action is Action.REPLACE:
        return "replace (start first)" if change.detail.start_first else "replace (stop first)"
    return action_text(change.action)


def cost_text(*changes: Change) -> str:
    """The cost of a change while it runs, or of each of several equal ones on different hosts: past durations, or else
    the range of a forecast, named as such; and a bound.
    """
    change, costs = changes[0], [c.cost for c in changes]
    bound = bound_text(change.cost.at_most) if change.cost.at_most is not None else ""
    past = past_text(costs) or forecast_text(costs)
    ready = f"ready in {f'about {past}, ' if past else ''}{bound}"
    match change.action:
        case Action.REPLACE | Action.RESTART if change.cost.down and past:
            return f"down about {past}, {bound}"
        case Action.REPLACE | Action.RESTART if change.cost.down:
            return f"down {bound}; duration unknown: no past start is recorded"
        case Action.REPLACE if change.detail.start_first:
            return f"the old one serves until the new one does, {ready}"
        case Action.UPDATE | Action.ADOPT | Action.MOVE:
            return "no restart"
        case Action.FORGET:
            return "left running, no longer managed"
        case Action.REPLACE | Action.CREATE | Action.START | Action.RESTART:
            return ready
        case Action.REMOVE:
            return "its endpoint goes away" if change.cost.down else "it serves nothing"
        case Action.NO_OP:
            return ""
        case _:
            assert_never(change.action)


def bound_text(seconds: int, each: str = "") -> str:
    """The bound of a start: it fails after this time without progress. With progress it may take longer."""
    return f"at most {show_seconds(seconds)}{each} without progress"


def hook_bound_text(hook: Hook) -> str:
    """A hook that still runs after its time-out is killed, whatever it writes."""
    return f"killed after {show_seconds(hook.timeout)}"


def past_text(costs: Sequence[Cost]) -> str:
    """The past durations, and their source; empty if none is recorded."""
    known = sorted(c.expected for c in costs if c.expected is not None)
    if not known:
        return ""
    shortest, longest = show_seconds(known[0]), show_seconds(known[-1])
    seconds = shortest if shortest == longest else f"{shortest} to {longest}"
    starts = sum(c.starts for c in costs)
    without = len(costs) - len(known)
    by = f"{starts} past {'start' if starts == 1 else 'starts'}" + (f", unknown on {without}" if without else "")
    stop = " plus the time to stop" if any(c.down and not c.stops for c in costs) else ""
    return f"{seconds}{stop} ({by})"


def forecast_text(costs: Sequence[Cost]) -> str:
    """The range of the forecast where no start of these weights is recorded, and its source; empty if there is none."""
    ranges = [c.forecast for c in costs if c.forecast is not None]
    if not ranges:
        return ""
    by, without = min(r.by for r in ranges), len(costs) - len(ranges)
    disk = f"disk measured in {by} past {'start' if by == 1 else 'starts'}" if by else "disk not measured"
    source = f"forecast, {disk}" + (f", unknown on {without}" if without else "")
    most = max(r.download for r in ranges)
    download = f" plus a download of up to {show_bytes(most)}" if most else ""
    return f"{about_range(min(r.low for r in ranges), max(r.high for r in ranges))}{download} ({source})"


def rollout_text(rollout: Rollout) -> str:
    """The lowest number of a model's instances that serve during the apply; empty for a single instance."""
    removes_all = not (rollout.never_below or rollout.at_a_time)
    if rollout.serving <= 1 or removes_all:
        return ""
    pace = f", {rollout.at_a_time} at a time" if rollout.at_a_time else ""
    return f"{rollout.model}: never below {rollout.never_below} of {rollout.serving} serving{pace}"


def batch_text(rollout: Rollout) -> str:
    """The order and batches of a model's instances, by their hosts if none has two. Empty if there is one batch and
    nothing is deferred.
    """
    if len(rollout.batches) < 2 and not rollout.deferred:
        return ""
    batches = []
    together = [address for batch in rollout.batches for address in batch] + list(rollout.deferred)
    one_each = all(address.endswith(f"/{rollout.model}") for address in together)
    own = f"/{rollout.model}" if one_each else ""
    for number, batch in enumerate(rollout.batches):
        names = listed((address.removesuffix(own) for address in batch), 3)
        batches.append(f"{names} (canary)" if number < rollout.canaries else names)
    then = f", {show_seconds(rollout.wait)} later " if rollout.wait else ", then "
    shown, left = cut(batches, MOST_BATCHES)
    order = then.join([*shown, *([f"{left} more batches"] if left else [])])
    places = listed((address.removesuffix(own) for address in rollout.deferred), 3)
    deferred = f"deferred to another apply: {places}" if places else ""
    return f"{rollout.model}: {'; '.join(part for part in (order, deferred) if part)}"


def host_cost_text(host: PlannedHost, changes: Sequence[Change], pace: Pace | None) -> str:
    """The cost for a host: the bound of its changes, with those that start together, and its GPUs before and after.
    Empty if this adds nothing to the changes themselves.
    """
    parts = []
    if len(changes) > 1 and pace is not None:
        starts = sum(map(len, pace.waves))
        at_once = "one start" if pace.widest == 1 else f"up to {pace.widest} starts"
        parts.append(
            f"{len(changes)} changes"
            + (f", {at_once} at a time" if starts > 1 else "")
            + (f", about {about_range(*pace.expected)}" if pace.expected else "")
            + (f", {bound_text(pace.at_most)}" if pace.at_most else "")
        )
    if host.gpus_before or host.gpus_after:
        of = f" of {host.host.gpus}" if host.host.gpus is not None else ""
        parts.append(f"GPUs in use {host.gpus_before} -> {host.gpus_after}{of}")
    return "; ".join(parts) if changes else ""


def starts_text(host: str, pace: Pace) -> str:
    """The instances that start together, and those that start after them. Empty for one start."""
    if sum(map(len, pace.waves)) < 2:
        return ""
    waves, _ = cut([_together(host, wave) for wave in pace.waves], MOST_BATCHES)
    left = sum(map(len, pace.waves[len(waves) :]))
    return ", then ".join([*waves, *([f"{left} more"] if left else [])])


def _together(host: str, wave: Sequence[str]) -> str:
    names = listed((address.removeprefix(f"{host}/") for address in wave), 4)
    return names if len(wave) == 1 else f"{names} together"


def reason_lines(change: Change) -> list[str]:
    """One line per reason. Changed fields share one, because each is listed below it."""
    lines = [reason_text(r) for r in change.reasons if r.code is not ReasonCode.CHANGED]
    changed = [r.detail for r in change.reasons if r.code is ReasonCode.CHANGED]
    if changed and change.action is not Action.REPLACE:
        lines.insert(0, f"because {', '.join(changed)} changed")
    elif changed:
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        lines.insert(0, f"because {shown} changed, which needs a new container")
    serving = change.detail.serving
    if serving is not None and serving.imported and change.action is Action.REPLACE:
        lines.append(_instead_of(change, serving.name))
    return lines


def _instead_of(change: Change, name: str) -> str:
    """The text about the replacement of an adopted container, or of one that was not adopted yet."""
    retained = generation_name(change.model, change.detail.ordinal, 0)
    if name not in {serving_name(change.model, change.detail.ordinal), retained}:
        return f"instead of {name}, which `import` would adopt unchanged"
    if not change.detail.policy.keep:
        return "the adopted container is removed, because keep = 0"
    return f"the adopted container stays, stopped, as {retained}: it has no labels, so you must remove it yourself"


_REASONS = {
    ReasonCode.NEW: "because it is in the stack and not on the host",
    ReasonCode.GONE: "because its container, which run {} left serving, is gone",
    ReasonCode.CHANGED: "because {} changed",
    ReasonCode.STOPPED: "because it {} and should run",
    ReasonCode.UNFINISHED: "continues with the candidate of run {}, which did not finish",
    ReasonCode.NOT_IN_STACK: "because it is no longer in the stack",
    ReasonCode.DESTROY: "because the whole stack is to be destroyed",
    ReasonCode.LEFTOVER: "because run {} left it behind",
    ReasonCode.REQUESTED: "because you requested it",
    ReasonCode.DISABLED: "because it is disabled in the stack (enabled = false)",
    ReasonCode.HOST_RETIRED: "because its host is retired in the stack (retired = true)",
    ReasonCode.ADOPTED: "the container {} is adopted unchanged; it gets labels at its next replacement",
    ReasonCode.RENAMED: "it was renamed outside cortexctl, to {}",
    ReasonCode.MOVED: "it was called {}; its label keeps that name until it is replaced",
    ReasonCode.FORGET: 'its block was deleted from the stack, and it was created with on_remove = "forget"',
    ReasonCode.ROLLBACK: "rollback to generation {}",
    ReasonCode.BEYOND_RETENTION: "because it is an old generation, and at most {} are retained (rollout.keep)",
}


def reason_text(reason: Reason) -> str:
    """Why the planner decided for a change: "because it is no longer in the stack"."""
    detail = reason.detail or "unknown"
    return _REASONS[reason.code].format(is_or_has(detail) if reason.code is ReasonCode.STOPPED else detail)


def is_or_has(state: str) -> str:
    """The state of a container as the rest of a sentence: "is paused", "has exited with code 1"."""
    return f"has {state}" if state.startswith("exited") else f"is {state}"


def task_text(task: Task, names: Mapping[str, str]) -> str:
    """`names`: container id -> name, as in `Plan.container_names`."""
    return _task_texts(task, names)[0]


def done_text(task: Task, names: Mapping[str, str]) -> str:
    """A finished task: past tense, without its limits."""
    return _task_texts(task, names)[1]


def _task_texts(task: Task, names: Mapping[str, str]) -> tuple[str, str]:  # noqa: C901, PLR0912 - a kind, a case
    """Before it runs, and after it is done."""

    def name_of(container: str) -> str:
        return names.get(container, container)

    match task:
        case PullImage(reference):
            return f"pull {reference}", f"pulled {reference}"
        case EnsureNetwork(name):
            return f"ensure network {name}", f"network {name}"  # its note: created
        case CreateContainer(name, generation):
            return f"create {name} (generation {generation})", f"created {name} (generation {generation})"
        case AdoptContainer(container):
            return f"adopt {name_of(container)}", f"adopted {name_of(container)}"
        case TryReach(container):
            return f"check that {name_of(container)} is reachable", f"{name_of(container)} is reachable"
        case StopContainer(container, timeout):
            name = name_of(container)
            return f"stop {name}, SIGKILL after {show_seconds(timeout)}", f"stopped {name}"
        case StartContainer(container):
            return f"start {name_of(container)}", f"started {name_of(container)}"
        case PassGate(container):
            return f"gate {name_of(container)}", "passed its gate"
        case SetRestart(container, policy):
            text = f"set the restart policy of {name_of(container)} to {policy}"
            return text, text
        case UpdateContainer(container, memory, cpus):
            limits = [f"memory {show_bytes(memory)}"] if memory is not None else []
            limits += [f"cpus {cpus:g}"] if cpus is not None else []
            text = f"set the limits of {name_of(container)}: {', '.join(limits)}"
            return text, text
        case ConnectNetwork(container, network):
            return f"connect {name_of(container)} to {network}", f"connected {name_of(container)} to {network}"
        case RenameContainer(container, name, was):
            change = f"{was or name_of(container)} to {name}"
            return f"rename {change}", f"renamed {change}"
        case RemoveContainer(container):
            return f"remove {name_of(container)}", f"removed {name_of(container)}"
        case RemoveNetwork(name):
            return f"remove network {name}", f"network {name}"  # its note: removed, or why not
        case Pause(pause):
            return f"wait {show_seconds(pause)} before the next batch", f"waited {show_seconds(pause)}"
        case _:
            assert_never(task)


def value_text(path: str, value: Any) -> str:
    """The value of a field as one would write it in a stack."""
    if value is None:
        return "(disconnected)" if path == NETWORK else "(not set)"
    if path in {"shm_size", "memory"} and isinstance(value, int):
        return show_bytes(value)
    if path == "drain" and isinstance(value, int):
        return show_seconds(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(str(v) for v in value)
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)
