"""The outcome of a plan in a sentence, if there is nothing to do. Loads nothing that only changes need."""

from __future__ import annotations

from cortexctl.plan.action import Action
from cortexctl.plan.model import Plan


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def nothing_to_do(plan: Plan) -> bool:
    """Whether all hosts were read, there is no error, and nothing changes."""
    return not plan.effective and not plan.unreachable and not plan.has_errors


def good_news(plan: Plan) -> tuple[str, str]:
    """The headline and the rest of the sentence, for a plan with `nothing_to_do`."""
    if plan.destroy:
        return "Nothing to destroy.", f"No container of {plan.stack} is left."
    matching = sum(c.action is Action.NO_OP for c in plan.changes)
    total = counted(matching, "container")
    verb = "matches" if matching == 1 else "match"
    source = f" {verb} {plan.stack_path}" if plan.stack_path else ""
    deferred = ", ".join(address for r in plan.rollouts for address in r.deferred)
    waits = f" Deferred to another apply: {deferred}." if deferred else ""
    return "No changes.", f"{total} on {counted(len(plan.hosts), 'host')}{source}.{waits}"
