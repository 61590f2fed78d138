"""The command after an apply: for the remaining changes, with the options of the run."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from cortexctl.plan.model import Plan
from cortexctl.plan.selection import matches
from cortexctl.text.invocation import Options

if TYPE_CHECKING:
    from cortexctl.apply.executor import Result

_FORCED = ("--replace", "--restart")


def next_after(plan: Plan, result: Result, options: Options, *, is_complete: bool) -> str:
    """Empty if nothing remains. `options`: of the apply itself. `is_complete`: all changes were made."""
    from cortexctl.apply.executor import Fate

    if not is_complete:
        done = {outcome.change.address for outcome in result.outcomes if outcome.fate is Fate.DONE}
        return _not_forced_again(plan, {c.address for c in plan.effective} - done).again
    if plan.destroy:
        return ""
    deferred = {address for rollout in plan.rollouts for address in rollout.deferred}
    if not deferred:
        return plan.invocation.command("status")
    rest = _not_forced_again(plan, deferred).invocation.without("--canary-hold")
    return rest.same("apply", options=options)


def _not_forced_again(plan: Plan, remaining: Collection[str]) -> Plan:
    """What was replaced or restarted on request is done: only the other instances are still forced."""
    run = plan.invocation
    others = run.without(*_FORCED).options
    forced = tuple(_still_forced(plan, remaining, run.options))
    return replace(plan, invocation=replace(run, options=(*others, *forced)))


def _still_forced(plan: Plan, remaining: Collection[str], options: Options) -> Iterator[tuple[str, str]]:
    models = {c.address: c.model for c in plan.changes}
    models |= {address: rollout.model for rollout in plan.rollouts for address in rollout.deferred}
    patterns = [(option[0], option[1]) for option in options if option[0] in _FORCED]
    for address in sorted(remaining):
        for name, pattern in patterns:
            if matches((pattern,), address, models[address]):
                yield name, address
                break
