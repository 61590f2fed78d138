"""A run as the records of the audit log: its start, each change, its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cortexctl import __version__
from cortexctl.apply.executor import Outcome, Result
from cortexctl.errors import CortexctlError
from cortexctl.operations.results import RunFacts
from cortexctl.plan.model import Change, Plan
from cortexctl.render.apply.events_json import ended_name, result_name, rfc3339
from cortexctl.render.plan.content import plan_digest

FORMAT_VERSION = "1.0"
"""Minor versions only add fields and records."""


def start_record(facts: RunFacts, plan: Plan, at: float) -> dict[str, Any]:
    """Names the planned changes, because a run that is killed writes no further record."""
    return {
        **_common(facts, "start", at),
        "command": "destroy" if plan.destroy else "apply",
        "who": dict(facts.who),
        "revision": facts.revision,
        "stack_path": plan.stack_path,
        "stack_digest": plan.stack_digest,
        "plan_digest": plan_digest(plan),
        "selection": list(plan.selection),
        "cortexctl": __version__,
        "changes": [{"address": c.address, "action": c.action.value} for c in plan.effective],
    }


def change_records(
    facts: RunFacts, result: Result, seconds: Mapping[str, float], at: float
) -> Iterator[dict[str, Any]]:
    """`seconds`: by address, from its first step to its last."""
    for outcome in result.outcomes:
        change = outcome.change
        yield {
            **_common(facts, "change", at),
            "address": change.address,
            "host": change.host,
            "model": change.model,
            "action": change.action.value,
            "reasons": [{"code": r.code.value, "detail": r.detail} for r in change.reasons],
            "generation": {"before": _before(change), "after": _after(outcome)},
            "outcome": outcome.fate.value,
            "left_behind": outcome.left_behind,
            "seconds": round(seconds[change.address], 3) if change.address in seconds else None,
            "failure": outcome.failure.message if outcome.failure is not None else "",
            "rollback_problem": outcome.rollback_problem,
        }


def end_record(facts: RunFacts, ended: Result | CortexctlError, seconds: float, at: float) -> dict[str, Any]:
    if isinstance(ended, Result):
        outcome, code, failure = result_name(ended), ended.exit_code, "; ".join(ended.failures)
    else:
        outcome, code, failure = ended_name(ended), ended.exit_code, ended.message
    fields = {"outcome": outcome, "exit_code": code, "seconds": round(seconds, 3), "failure": failure}
    return {**_common(facts, "end", at), **fields}


def _common(facts: RunFacts, record: str, at: float) -> dict[str, Any]:
    whose = {"stack": facts.stack, "env": facts.env, "run": facts.run}
    return {"format_version": FORMAT_VERSION, "record": record, "time": rfc3339(at), **whose}


def _before(change: Change) -> int | None:
    """The generation before: of the serving container, else of the first container of the change."""
    return next((ref.generation for ref in change.detail.touched), None)


def _after(outcome: Outcome) -> int | None:
    """The generation after; None if there is none, and if it is unknown."""
    if outcome.left_behind:
        return None
    if outcome.fate.value == "done":
        return None if outcome.change.action.value == "remove" else outcome.change.detail.generation
    return _before(outcome.change)
