"""The locks of an apply: one a host, taken before anything is looked at again, released whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from cortexctl.apply.protocols import Clock, Engine, Engines
from cortexctl.errors import EngineError, LockHeld
from cortexctl.observed.state import LockInfo
from cortexctl.plan.model import Plan
from cortexctl.spec.units import show_seconds

LOCK_LASTS = 3 * 3600
"""Seconds after which a lock of another machine counts as abandoned, unless the plan itself may take longer."""

IsDead = Callable[[LockInfo, int], bool]
"""(holder, seconds since the epoch now) -> whether the holder is provably gone."""


@dataclass(frozen=True, slots=True)
class Locks:
    """The locks of one run over one plan."""

    plan: Plan
    engines: Engines
    who: LockInfo
    clock: Clock
    is_dead: IsDead

    @contextmanager
    def hold(self, host: str) -> Iterator[None]:
        """Take the host's lock, or that of a holder who is provably gone. Raises LockHeld."""
        engine = self.engines.engine(host)
        ours = self._take(host, engine)
        try:
            yield
        finally:
            # An engine that is gone takes its lock with it for a while; what was done is worth more than that.
            with suppress(EngineError):
                holder = engine.read_lock(self.plan.owner)
                if holder is not None and holder.owner == ours.owner:
                    engine.release_lock(self.plan.owner)

    def _take(self, host: str, engine: Engine) -> LockInfo:
        now = int(self.clock.now())
        lasts = max(LOCK_LASTS, 2 * sum(c.cost.at_most or 0 for c in self.plan.effective))
        ours = replace(self.who, owner=f"{self.who.owner}@{host}", started=now, expires=now + lasts)
        holder = engine.take_lock(self.plan.owner, ours)
        if holder.owner != ours.owner and self.is_dead(holder, now):
            if engine.read_lock(self.plan.owner) == holder:  # still the dead one's, not that of who was quicker
                engine.release_lock(self.plan.owner)
            holder = engine.take_lock(self.plan.owner, ours)
        if holder.owner != ours.owner:
            since = show_seconds(max(now - holder.started, 0))
            stack = f"{self.plan.stack_path} --env {self.plan.env}" if self.plan.env else self.plan.stack_path
            holds = f"{holder.who} on {holder.machine_name} (pid {holder.pid}, run {holder.run})"
            raise LockHeld(
                f"{host}: {holds} has been applying the stack {self.plan.owner} for {since}",
                next_step=f"wait for it; if it is dead: cortexctl lock release {stack}",
            )
        return ours
