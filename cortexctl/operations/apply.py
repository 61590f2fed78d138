"""Carry out a plan: lock, execute, and plan again under the locks if another run was faster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from cortexctl.dataclass import dataclass
from cortexctl.diagnostics import Kind, Severity
from cortexctl.errors import PlanStale, Refused
from cortexctl.hosts.lock import is_dead
from cortexctl.observe.recheck import recheck
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.operations.adapters import hooks_of, lock_identity, make_performer
from cortexctl.operations.apply_options import ALLOW_UNREACHABLE, ApplyOptions
from cortexctl.operations.connections import OpenHosts
from cortexctl.operations.learn import learn_from_apply
from cortexctl.operations.notes import Note, Report
from cortexctl.operations.plan import is_blocked
from cortexctl.operations.run_log import RunLog, to_each
from cortexctl.operations.run_secrets import KNOWN
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.model import Plan

if TYPE_CHECKING:
    from cortexctl.apply.events import Sink
    from cortexctl.apply.executor import Result

PLANS_AGAIN = 3


@dataclass(frozen=True, slots=True)
class ApplyRun:
    """The inputs of one run. `progress`: opens the view of a plan's events. `is_stopped`: whether no step may start.
    `report`: receives notes, for example about waiting.
    """

    hosts: OpenHosts
    choice: StackChoice
    options: ApplyOptions
    log: RunLog
    progress: Callable[[Plan], AbstractContextManager[Sink]]
    is_stopped: Callable[[], bool]
    report: Report


@dataclass(frozen=True, slots=True)
class Applied:
    """`plan`: the plan that was carried out, which may be newer than the given one."""

    plan: Plan
    result: Result
    notes: tuple[Note, ...] = ()


def prepare(plan: Plan, options: ApplyOptions) -> Plan:
    """The plan as it will be carried out."""
    plan = replace(plan, max_failures=options.max_failures or plan.max_failures)
    if not options.allow_unreachable:
        return plan
    if ALLOW_UNREACHABLE not in plan.invocation.options:
        run = plan.invocation
        plan = replace(plan, invocation=replace(run, options=(*run.options, ALLOW_UNREACHABLE)))
    # also for a plan that was saved without --allow-unreachable
    diagnostics = (replace(d, severity=Severity.WARNING) if d.kind is Kind.UNREACHABLE else d for d in plan.diagnostics)
    return replace(plan, diagnostics=tuple(diagnostics))


def refuse_blocked(plan: Plan, options: ApplyOptions) -> None:
    """Raises Refused if the plan has errors."""
    if is_blocked(plan, allow_unreachable=options.allow_unreachable):
        only_unreachable = not is_blocked(plan, allow_unreachable=True)
        fix = "fix the problems listed above" + ", or add --allow-unreachable" * only_unreachable
        raise Refused("the plan has errors; nothing was changed", next_step=fix)


def has_work(plan: Plan) -> bool:
    """Whether the plan changes anything. A destroy may have steps without a change: networks."""
    return bool(plan.effective or (plan.destroy and plan.steps))


def carry_out(plan: Plan, run: ApplyRun, plan_again: Callable[[], Plan] | None) -> Applied:
    """Carry the plan out. If it is stale under the locks, or had to wait for them, plan again while they are held, a
    few times: such a plan can become stale only by a change from outside cortexctl, or on a host that had no changes
    before. `plan_again` is None for a plan that was approved: it never changes. Raises PlanStale, LockHeld,
    HookRefused.
    """
    from cortexctl.apply.executor import Result

    who = lock_identity(run.log.run)
    tries = PLANS_AGAIN if plan_again else 0
    with ExitStack() as locks_held:
        while True:
            try:
                return _attempt(plan, run, who, locks_held, is_renewed=tries > 0)
            except PlanStale as cause:
                if plan_again is None or not tries:
                    raise
                tries -= 1
                run.report(Note(f"{cause.message}; planning again under the lock"))
            plan = plan_again()
            if not has_work(plan):
                return Applied(plan, Result(()))


def _attempt(plan: Plan, run: ApplyRun, who: LockInfo, locks_held: ExitStack, *, is_renewed: bool) -> Applied:
    from cortexctl.apply.executor import Executor
    from cortexctl.apply.locking import Locks
    from cortexctl.apply.redaction import discreet, result_without
    from cortexctl.apply.run import apply_plan

    with run.progress(plan) as progress:
        performer = make_performer(plan.owner, plan.stack_path, run.choice, run.hosts, run.log)
        emit = discreet(to_each(progress, run.log), KNOWN.hide)
        hooks = hooks_of(plan, performer, emit, run.log)
        executor = Executor(plan, performer, emit, run.options.parallelism, run.is_stopped, hooks=hooks)
        locks = Locks(
            plan,
            run.hosts,
            who,
            performer.clock,
            is_dead,
            patience=run.options.lock_timeout,
            interrupted=run.is_stopped,
            waits=lambda text: run.report(Note(text)),
        )
        recheck_hosts = partial(recheck, run.hosts, watch=run.hosts.watch)
        result = apply_plan(plan, executor, run.hosts, locks, recheck_hosts, locks_held, is_renewed=is_renewed)
        result = result_without(result, KNOWN.hide)
    notes = learn_from_apply(plan, result, executor.durations, run.hosts, performer.clock.now())
    return Applied(plan, result, notes)
