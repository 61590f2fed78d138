"""The events of an apply as JSON objects, for `--events`. Their schema is published.

They contain no secret: plans hold none, and secrets are removed from the messages of failures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from cortexctl.apply.events import (
    Event,
    GateProbe,
    HookEnded,
    HookStarted,
    LockChanged,
    Progress,
    RollbackEnded,
    RollbackStarted,
    StepDone,
    StepFailed,
    StepStarted,
)
from cortexctl.apply.executor import Fate, Outcome, Result
from cortexctl.diagnostics import Diagnostic
from cortexctl.errors import CortexctlError, GateFailed, HookFailed
from cortexctl.plan.hook_points import stops_serving
from cortexctl.plan.model import Change, Plan
from cortexctl.plan.steps import KIND_OF, Step, StopContainer
from cortexctl.render.plan.phrases import task_text
from cortexctl.text.shorten import shortened

FORMAT_VERSION = "1.0"
"""Minor versions only add fields and types."""
EVIDENCE = 15
"""Lines of a failed container's log."""

Fields = dict[str, Any]


def envelope(fields: Fields, run: str, at: float) -> Fields:
    """The complete event. `fields`: the result of a function below. `at`: seconds since the epoch."""
    common = {"format_version": FORMAT_VERSION, "type": fields["type"], "time": rfc3339(at), "run": run}
    return {**common, "address": "", "host": "", "seconds": None, **fields}


def plan_events(plan: Plan) -> Iterator[Fields]:
    """The planned changes, and the diagnostics."""
    for change in plan.effective:
        yield {
            "type": "planned_change",
            "address": change.address,
            "host": change.host,
            "model": change.model,
            "action": change.action.value,
            "actions": change.action.verbs,
            "reasons": [{"code": r.code.value, "detail": r.detail} for r in change.reasons],
            "generation": change.detail.generation,
            "down": change.cost.down,
            "at_most_seconds": change.cost.at_most,
            "expected_seconds": change.cost.expected,
        }
    for diagnostic in plan.diagnostics:
        yield _diagnostic(diagnostic)


def event_fields(event: Event, plan: Plan) -> Iterator[Fields]:
    """One event, or two: the stop of a serving container is also a drain."""
    match event:
        case StepStarted(step):
            yield {"type": "step_start", **_step(step, plan), "seconds": 0}
            yield from _drain(step, plan, "started", 0)
        case StepDone(step, seconds, note):
            yield from _drain(step, plan, "done", seconds)
            yield {"type": "step_done", **_step(step, plan), "seconds": _round(seconds), "note": note}
        case StepFailed(step, seconds, message):
            yield from _drain(step, plan, "failed", seconds)
            yield {"type": "step_failed", **_step(step, plan), "seconds": _round(seconds), "message": message}
        case Progress(address, stage, seconds, share):
            yield {"type": "progress", **_at(address, plan), "seconds": _round(seconds), "stage": stage, "share": share}
        case GateProbe(address, probe, ok, detail, seconds):
            result = {"probe": probe, "ok": ok, "detail": detail}
            yield {"type": "gate_probe", **_at(address, plan), "seconds": _round(seconds), **result}
        case RollbackStarted(change):
            yield {"type": "rollback", **_of(change), "status": "started", "message": ""}
        case RollbackEnded(change, problem, unproven):
            status = "failed" if problem else "done"
            yield {"type": "rollback", **_of(change), "status": status, "message": problem or unproven}
        case HookStarted(hook, address, host):
            about = {"hook": hook.name, "on": hook.on.value, "required": hook.required, "status": "started"}
            yield {"type": "hook", "address": address, "host": host, "seconds": 0, **about, "message": "", "output": []}
        case HookEnded(hook, seconds, address, host, problem, output):
            status = "failed" if problem else "done"
            about = {"hook": hook.name, "on": hook.on.value, "required": hook.required, "status": status}
            where = {"address": address, "host": host, "seconds": _round(seconds)}
            yield {"type": "hook", **where, **about, "message": problem, "output": list(output)}
        case LockChanged(host, is_held):
            yield {"type": "lock", "host": host, "status": "held" if is_held else "released"}


def result_events(result: Result, seconds: float, next_step: str) -> Iterator[Fields]:
    """The causes of the failures, then the result: the last event of a run."""
    for outcome in result.outcomes:
        if outcome.failure is not None:
            yield {**_failure(outcome.failure), "address": outcome.change.address, "host": outcome.change.host}
    for host, cause in result.host_failures:
        yield {**_failure(cause), "host": host}
    changes = [_outcome(o) for o in result.outcomes]
    message = "; ".join(result.failures)
    yield _result(result_name(result), result.exit_code, message, next_step, seconds, changes)


def refused_event(cause: CortexctlError, seconds: float) -> Fields:
    """The result of a run that ended before its first step."""
    return _result(ended_name(cause), cause.exit_code, cause.message, cause.next_step, seconds, [])


def nothing_event(seconds: float) -> Fields:
    """The result of a run that had nothing to do."""
    return _result("done", 0, "", "", seconds, [])


def result_name(result: Result) -> str:
    if result.interrupted:
        return "interrupted"
    return {0: "done", 5: "applied in part"}.get(result.exit_code, "failed")


def ended_name(cause: CortexctlError) -> str:
    return {4: "refused", 130: "interrupted"}.get(cause.exit_code, "failed")


def _result(
    outcome: str, exit_code: int, message: str, next_step: str, seconds: float, changes: list[Fields]
) -> Fields:
    counts = {fate.name.lower(): sum(c["outcome"] == fate.value for c in changes) for fate in Fate}
    return {
        "type": "result",
        "seconds": _round(seconds),
        "outcome": outcome,
        "exit_code": exit_code,
        "message": message,
        "next": next_step,
        "counts": counts,
        "changes": changes,
    }


def _outcome(outcome: Outcome) -> Fields:
    return {
        "address": outcome.change.address,
        "action": outcome.change.action.value,
        "outcome": outcome.fate.value,
        "failure": outcome.failure.message if outcome.failure is not None else "",
        "rollback_problem": outcome.rollback_problem,
        "left_behind": outcome.left_behind,
    }


def _diagnostic(d: Diagnostic) -> Fields:
    place = str(d.span) if d.span else ""
    fields = {"rule": d.rule, "severity": d.severity.value, "summary": d.summary, "detail": d.detail, "help": d.help}
    return {"type": "diagnostic", **fields, "place": place, "evidence": []}


def _failure(cause: CortexctlError) -> Fields:
    """The failure, with its cause and fix if they are known."""
    detail = advice = ""
    evidence: tuple[str, ...] = ()
    if isinstance(cause, GateFailed):
        detail, advice, evidence = cause.cause, cause.fix, tuple(map(shortened, cause.messages[-EVIDENCE:]))
    elif isinstance(cause, HookFailed):
        evidence = cause.output
    elif cause.cause:
        detail, advice = cause.cause, cause.fix
    fields = {"rule": "", "severity": "error", "summary": cause.message, "detail": detail}
    return {"type": "diagnostic", **fields, "help": advice or cause.next_step, "place": "", "evidence": list(evidence)}


def _step(step: Step, plan: Plan) -> Fields:
    text = task_text(step.task, plan.container_names)
    where = {"address": step.address, "host": step.host}
    return {**where, "step": step.id, "kind": KIND_OF[type(step.task)], "text": text}


def _drain(step: Step, plan: Plan, status: str, seconds: float) -> Iterator[Fields]:
    """SIGTERM to the serving container: vLLM takes no new request and finishes the running ones, within the timeout."""
    task, change = step.task, _change(step.address, plan)
    if not isinstance(task, StopContainer) or change is None or not stops_serving(change, task):
        return
    name = plan.container_names.get(task.container, task.container)
    fields = {"status": status, "container": name, "at_most_seconds": task.timeout}
    yield {"type": "drain", "address": step.address, "host": step.host, "seconds": _round(seconds), **fields}


def _at(address: str, plan: Plan) -> Mapping[str, str]:
    change = _change(address, plan)
    return {"address": address, "host": change.host if change else ""}


def _change(address: str, plan: Plan) -> Change | None:
    return next((c for c in plan.changes if c.address == address), None)


def _of(change: Change) -> Fields:
    return {"address": change.address, "host": change.host}


def _round(seconds: float) -> float:
    return round(seconds, 3)


def rfc3339(at: float) -> str:
    """Seconds since the epoch, as UTC to the millisecond: "2026-03-01T12:00:00.000Z"."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
