"""The story of an apply: pull while the old instances serve, lock, recheck, carry out, unlock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext, suppress
from functools import partial

from cortexctl.apply.events import Event, LockChanged
from cortexctl.apply.executor import Executor, Fate, Result
from cortexctl.apply.locking import Locks
from cortexctl.apply.protocols import Daemons
from cortexctl.apply.recording import Recording, Records
from cortexctl.errors import PlanStale
from cortexctl.observed.observation import Observed
from cortexctl.plan.model import Plan
from cortexctl.plan.stale import stale_reasons
from cortexctl.plan.steps import PullImage


def apply_plan(
    plan: Plan,
    executor: Executor,
    daemons: Daemons,
    locks: Locks,
    recheck: Callable[[Sequence[str]], Observed],
    holding: ExitStack | None = None,
    *,
    is_renewed: bool = False,
) -> Result:
    """Carry a plan out. Raises LockHeld or PlanStale before anything is touched; Refused if two hosts are one daemon.

    `recheck`: reads the containers of these hosts, once they are locked. `holding`: holds the locks if the caller wants
    them longer, to plan again under them when this plan is stale; they are released when it is closed. `is_renewed`:
    the caller plans again on PlanStale. A plan that waited for another run then counts as stale: that run may have
    created what this plan does not know.
    """
    pulls = [s for s in plan.steps if isinstance(s.task, PullImage)]
    if pulls:
        pulled = executor.run(pulls)
        if pulled.host_failures:
            return pulled
    hosts = sorted({c.host for c in plan.effective} | {s.host for s in plan.steps})
    with ExitStack() if holding is None else nullcontext(holding) as stack:
        for host in hosts:
            released = stack.enter_context(ExitStack())
            stack.enter_context(locks.hold(host))
            _emit(executor, LockChanged(host, is_held=True))
            released.callback(_emit, executor, LockChanged(host, is_held=False))
        executor.holds = locks.still_ours
        if is_renewed and locks.waited_for:
            raise PlanStale(f"the plan is older than another run on {', '.join(locks.waited_for)}")
        seen = recheck(hosts)
        moved = stale_reasons(plan, seen)
        if moved:
            raise PlanStale("the plan is out of date: " + "; ".join(moved), next_step=plan.again)
        executor.hooks.before_apply()
        run = locks.who.run
        records = Records(
            {
                at.name: Recording(daemons.daemon(at.name), plan, at, run, partial(locks.still_ours, at.name))
                for at in seen.hosts
            }
        )
        records.open()
        executor.recorder = records
        result = executor.run([s for s in plan.steps if s not in pulls])
        done = frozenset(o.change.address for o in result.outcomes if o.fate is Fate.DONE)
        records.end(done, executor.durations)
        executor.hooks.after_apply(result.exit_code, result.failures)
        return result


def _emit(executor: Executor, event: Event) -> None:
    """The listener may be gone; the work continues."""
    with suppress(Exception):
        executor.emit(event)
