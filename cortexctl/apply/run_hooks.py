"""When the stack's hooks run during an apply, the facts that they receive, and the effect of their failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from cortexctl.apply.events import Event, HookEnded, HookStarted, Sink, bounded
from cortexctl.apply.protocols import Clock, Daemons, Hooks, RunsHook
from cortexctl.dataclass import dataclass
from cortexctl.desired.hook import Hook, Point
from cortexctl.errors import CortexctlError, HookFailed, HookRefused
from cortexctl.plan.hook_points import hooks_at, proves, stops_serving
from cortexctl.plan.model import Change, Plan
from cortexctl.plan.steps import PassGate, Step, StopContainer

ENDED = {0: "done", 1: "failed", 5: "applied in part", 130: "interrupted"}


@dataclass(frozen=True, slots=True)
class PlannedHooks:
    """Implements `protocols.Hooks` for one run over one plan. `known`: facts of the run that every hook receives."""

    plan: Plan
    run_hook: RunsHook
    emit: Sink
    daemons: Daemons
    clock: Clock
    known: Mapping[str, str]

    def before_apply(self) -> None:
        try:
            self._at(Point.PRE_APPLY, self._models(), self._of_run())
        except HookFailed as cause:
            raise HookRefused(
                f"{cause.message}; nothing was changed", next_step="fix the problem that it reported, then apply again"
            ) from cause

    def before_step(self, step: Step, change: Change | None) -> bool:
        if change is None or not isinstance(step.task, StopContainer) or not stops_serving(change, step.task):
            return False
        self._at(Point.PRE_STOP, [change.model], self._of(change, step.task.container))
        return True

    def after_step(self, step: Step, change: Change | None) -> None:
        if change is not None and isinstance(step.task, PassGate) and proves(change, step.task):
            self._at(Point.POST_HEALTHY, [change.model], self._of(change, step.task.container))

    def after_failure(self, step: Step, change: Change | None, failure: str, outcome: str) -> None:
        serving = change.detail.serving if change is not None else None
        facts = self._of(change, serving.id if serving else "") if change is not None else {"host": step.host}
        models = [change.model] if change is not None else []
        self._at(Point.ON_FAILURE, models, {**facts, "failure": failure, "outcome": outcome})

    def after_apply(self, exit_code: int, failures: Sequence[str]) -> None:
        facts = {**self._of_run(), "failure": "; ".join(failures), "outcome": ENDED.get(exit_code, "failed")}
        self._at(Point.POST_APPLY, self._models(), facts)

    def _at(self, point: Point, models: Sequence[str], facts: Mapping[str, str]) -> None:
        """One after the other. Raises HookFailed for the first required hook that fails."""
        for hook in hooks_at(self.plan.hooks, point, models):
            address, host = facts.get("address", ""), facts.get("host", "")
            facts_of_hook = {**self.known, **facts, "hook": hook.name, "on": point.value}
            self._emit(HookStarted(hook, address, host))
            began = self.clock.elapsed()
            failure = self._failure_of(hook, facts_of_hook)
            seconds = self.clock.elapsed() - began
            if failure is None:
                self._emit(HookEnded(hook, seconds, address, host))
                continue
            self._emit(HookEnded(hook, seconds, address, host, failure.message, failure.output))
            if hook.required:
                raise failure

    def _failure_of(self, hook: Hook, facts_of_hook: Mapping[str, str]) -> HookFailed | None:
        try:
            self.run_hook(hook, facts_of_hook)
        except HookFailed as cause:
            return cause
        except Exception as cause:  # noqa: BLE001 - a hook that only hears must not end the run, whatever it is
            message = cause.message if isinstance(cause, CortexctlError) else f"{type(cause).__name__}: {cause}"
            return HookFailed(f"the hook {hook.name} ({hook.on}) cannot be run: {message}")
        return None

    def _models(self) -> list[str]:
        return sorted({c.model for c in self.plan.effective})

    def _of_run(self) -> dict[str, str]:
        return {"action": "destroy" if self.plan.destroy else "apply"}

    def _of(self, change: Change, container: str) -> dict[str, str]:
        return {
            "host": change.host,
            "model": change.model,
            "address": change.address,
            "action": change.action.value,
            "generation": str(change.detail.generation),
            "reason": "; ".join(f"{r.code}: {r.detail}" if r.detail else str(r.code) for r in change.reasons),
            "endpoint": self._endpoint(change.host, container) if container else "",
        }

    def _endpoint(self, host: str, container: str) -> str:
        """The URL at which it can be reached now; empty if that is not known."""
        with suppress(CortexctlError):
            return self.daemons.daemon(host).endpoint(container)
        return ""

    def _emit(self, event: Event) -> None:
        with suppress(Exception):
            self.emit(bounded(event))


class _NoHooks:
    """For a plan without hooks."""

    def before_apply(self) -> None: ...

    def before_step(self, step: Step, change: Change | None) -> bool:  # noqa: ARG002
        return False

    def after_step(self, step: Step, change: Change | None) -> None: ...

    def after_failure(self, step: Step, change: Change | None, failure: str, outcome: str) -> None: ...

    def after_apply(self, exit_code: int, failures: Sequence[str]) -> None: ...


NO_HOOKS: Hooks = _NoHooks()
