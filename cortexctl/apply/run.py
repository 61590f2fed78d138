"""apply, told: pull while the old ones serve, lock, look again, carry out, unlock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from cortexctl.apply.executor import Executor, Result
from cortexctl.apply.protocols import Clock, Engines
from cortexctl.errors import LockHeld, PlanStale
from cortexctl.observed.state import LockInfo, Observed
from cortexctl.plan.model import Plan
from cortexctl.plan.stale import stale_reasons
from cortexctl.plan.steps import PullImage
from cortexctl.spec.units import show_seconds

LOCK_LASTS = 3 * 3600
"""Seconds after which a lock counts as abandoned, whatever its holder's state."""


IsDead = Callable[[LockInfo, int], bool]
"""(holder, seconds since the epoch now) -> whether the holder is provably gone."""


def apply_plan(plan: Plan, executor: Executor, engines: Engines, who: LockInfo, is_dead: IsDead) -> Result:
    """Carry a plan out. Raises LockHeld or PlanStale before anything is touched."""
    pulls = [s for s in plan.steps if isinstance(s.task, PullImage)]
    if pulls:
        pulled = executor.run(pulls)
        if pulled.host_failures:
            return pulled
    hosts = sorted({c.host for c in plan.effective})
    with ExitStack() as locks:
        for host in hosts:
            locks.enter_context(_locked(host, plan.stack, engines, who, executor.performer.clock, is_dead))
        moved = stale_reasons(plan, Observed(tuple(engines.observe(host) for host in hosts)))
        if moved:
            raise PlanStale("the plan is out of date: " + "; ".join(moved), next_step="plan again")
        return executor.run([s for s in plan.steps if s not in pulls])


@contextmanager
def _locked(host: str, stack: str, engines: Engines, who: LockInfo, clock: Clock, is_dead: IsDead) -> Iterator[None]:
    engine = engines.engine(host)
    now = int(clock.now())
    wanted = replace(who, owner=f"{who.owner}@{host}", started=now, expires=now + LOCK_LASTS)
    holder = engine.take_lock(stack, wanted)
    if holder.owner != wanted.owner and is_dead(holder, now):
        engine.release_lock(stack)
        holder = engine.take_lock(stack, wanted)
    if holder.owner != wanted.owner:
        raise LockHeld(
            f"{host}: {holder.who} on {holder.machine} (pid {holder.pid}, run {holder.run}) has been applying the "
            f"stack {stack} for {show_seconds(max(now - holder.started, 0))}",
            next_step="wait for it; if it is dead: cortexctl lock release",
        )
    try:
        yield
    finally:
        engine.release_lock(stack)
