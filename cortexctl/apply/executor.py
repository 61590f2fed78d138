"""Runs the plan's steps: steps that are ready run side by side; a failed change is undone; its dependents do not start.

It decides nothing about containers: the plan did, and `plan.recipes.undo` has the steps of a rollback.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import field, replace
from enum import StrEnum
from functools import partial
from queue import SimpleQueue

from cortexctl.apply.events import (
    Event,
    RollbackEnded,
    RollbackStarted,
    Sink,
    StepDone,
    StepFailed,
    StepStarted,
    bounded,
)
from cortexctl.apply.gate.explain import as_ours, explained
from cortexctl.apply.gate.gate import Listener
from cortexctl.apply.perform import Performer
from cortexctl.apply.plan_index import PlanIndex
from cortexctl.apply.protocols import Hooks, Recorder
from cortexctl.apply.recording import NO_RECORDS, Durations
from cortexctl.apply.run_hooks import NO_HOOKS
from cortexctl.apply.turns import Turns
from cortexctl.dataclass import dataclass
from cortexctl.errors import CortexctlError, DaemonUnreachable, HookFailed, LockLost, PathFailed
from cortexctl.plan.model import Change, Plan
from cortexctl.plan.recipes import restored, undo, undo_unnoticed
from cortexctl.plan.steps import (
    UNNOTICED,
    PassGate,
    Pause,
    StartContainer,
    Step,
    StopContainer,
    Task,
    TryReach,
)

PAUSE_SLICE = 0.5
"""Seconds between checks during a pause whether the pause is still needed."""
PATIENCE, RETRY_EVERY = 60.0, 2.0
"""Seconds for which a rollback waits for a daemon that does not answer, and between two tries."""


class Fate(StrEnum):
    """The result of a change."""

    DONE = "done"
    ROLLED_BACK = "rolled back"
    FAILED = "failed"
    NOT_STARTED = "not started"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`left_behind` means that the host is neither in the old nor in the new state. `unproven`: why the health of the
    restored container could not be checked.
    """

    change: Change
    fate: Fate
    failure: CortexctlError | None = None
    rollback_problem: str = ""
    left_behind: bool = False
    unproven: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """The results of every change, in the order of the plan, and of the steps that belong to a host."""

    outcomes: tuple[Outcome, ...]
    host_failures: tuple[tuple[str, CortexctlError], ...] = ()
    interrupted: bool = False
    budget_spent: bool = False
    """The failure limit was reached (`rollout.max_failures`)."""

    def count(self, fate: Fate) -> int:
        return sum(o.fate is fate for o in self.outcomes)

    @property
    def failures(self) -> list[str]:
        """One sentence for each thing that failed."""
        changes = [f"{o.change.address}: {o.failure.message}" for o in self.outcomes if o.failure is not None]
        return [*changes, *(cause.message for _, cause in self.host_failures)]

    @property
    def exit_code(self) -> int:
        """0 all done · 130 interrupted · 5 applied in part · 1 failed, and the hosts are unchanged."""
        if self.interrupted:
            return 130
        if not self.host_failures and all(o.fate is Fate.DONE for o in self.outcomes):
            return 0
        in_part = any(o.fate is Fate.DONE or o.left_behind for o in self.outcomes)
        return 5 if in_part else 1


@dataclass
class Executor:
    """One run over one plan. `interrupted` is checked before each step."""

    plan: Plan
    performer: Performer
    emit: Sink
    parallelism: int = 32
    interrupted: Callable[[], bool] = lambda: False
    holds: Callable[[str], bool] = lambda _host: True
    """Whether this run still holds the lock of a host. Checked before every step, once locks are taken."""
    hooks: Hooks = NO_HOOKS
    recorder: Recorder = NO_RECORDS
    explain: Callable[[CortexctlError], CortexctlError] = explained
    """Reads the cause from a failure's log; called after everything that can be restored is restored."""
    _turns: Turns = field(init=False)
    _index: PlanIndex = field(init=False)
    _failed_steps: set[str] = field(default_factory=set)
    _outcomes: dict[str, Outcome] = field(default_factory=dict)
    _host_failures: list[tuple[str, CortexctlError]] = field(default_factory=list)
    durations: Durations = field(default_factory=Durations)
    """By address: how long starts and stops took, for the record."""
    _started: dict[str, float] = field(default_factory=dict)
    _ended: SimpleQueue[Future[CortexctlError | None] | None] = field(default_factory=SimpleQueue)
    """Steps as they end; None: a turn is free."""

    def __post_init__(self) -> None:
        self._turns, self._index = Turns(self.plan), PlanIndex(self.plan)

    def run(self, steps: Sequence[Step] | None = None) -> Result:
        """Run `steps` (all of the plan's if None) to the end, or until the failure limit is reached.

        A failure always ends its host: no other change begins there. Changes that are underway finish. Steps that an
        earlier call of the same executor has done count as done.
        """
        turns = self._turns
        turns.add(self.plan.steps if steps is None else steps)
        running: dict[Future[CortexctlError | None], Step] = {}
        with ThreadPoolExecutor(max_workers=self.parallelism) as pool:
            while turns.are_left or running:
                # A step that waits for a free worker has not started: an interrupt stops it too.
                for step in turns.take(self.parallelism - len(running), begins_more=self.begins_more):
                    future = pool.submit(self._attempt, step)
                    running[future] = step
                    future.add_done_callback(self._ended.put)
                if not running:
                    break
                ended = self._ended.get()
                if ended is not None:
                    self._settle(running.pop(ended), ended.result())
        return self._result()

    def _answers(self, step: Step) -> None:
        """The container of a gate has answered, and only `stable_for` is left: another start may begin."""
        self._turns.answers(step.place)
        self._ended.put(None)

    def _emit(self, event: Event) -> None:
        """The listener may be gone (a closed pipe, a lost terminal); the work continues."""
        with suppress(Exception):
            self.emit(bounded(event))

    @property
    def begins_more(self) -> bool:
        """Whether new changes may still start."""
        return not self.interrupted() and len(self._failed_steps) < self.plan.max_failures

    def _attempt(self, step: Step) -> CortexctlError | None:
        """Run a step; if it fails, undo its change immediately, before anything else happens on the host."""
        change = self._index.change_of(step)
        began = self.performer.clock.elapsed()
        try:
            self._need_lock(step.host)
            if self.hooks.before_step(step, change):
                self._need_lock(step.host)  # a hook may take its time
            if change is not None and step == self._index.steps_of(change)[0]:
                self.recorder.begins(change)
            self._emit(StepStarted(step))
            acted = self.performer.clock.elapsed()
            note = self._perform(step, change)
            self.hooks.after_step(step, change)
        except Exception as cause:  # noqa: BLE001 - whatever it is, what was must come back
            return self._failed(step, change, began, as_ours(cause))
        now = self.performer.clock.elapsed()
        if change is not None and isinstance(step.task, PassGate):
            self.recorder.proven(change)
        self._time(step, acted, now)
        self._emit(StepDone(step, now - began, note))
        return None

    def _failed(self, step: Step, change: Change | None, began: float, failure: CortexctlError) -> CortexctlError:
        """Undo the change of the step, if this run still may. From now on no other change begins on its host."""
        self._failed_steps.add(step.id)
        self._turns.close(step.host)
        lost = failure if isinstance(failure, LockLost) else self._lock_lost(step.host)
        self._emit(StepFailed(step, self.performer.clock.elapsed() - began, failure.message))
        fate = Fate.FAILED
        if change is None:
            failure = self._explained(failure)
        else:
            outcome = self._undo(change, step, failure) if lost is None else self._given_up(change, step, failure, lost)
            failure = self._explained(failure)
            self._outcomes[change.address] = replace(outcome, failure=failure)
            fate = outcome.fate
        if lost is None:
            self.hooks.after_failure(step, change, failure.message, fate)
        return failure

    def _given_up(self, change: Change, step: Step, failure: CortexctlError, lost: LockLost) -> Outcome:
        """Another run may be at work here: nothing is undone either."""
        if failure is lost:
            return Outcome(change, Fate.FAILED, failure, left_behind=self._is_unfinished(change))
        is_unfinished = self._is_unfinished(change) or not isinstance(step.task, UNNOTICED)
        return Outcome(change, Fate.FAILED, failure, lost.message, left_behind=is_unfinished)

    def _need_lock(self, host: str) -> None:
        if lost := self._lock_lost(host):
            raise lost

    def _lock_lost(self, host: str) -> LockLost | None:
        if self.holds(host):
            return None
        return LockLost(
            f"{host}: another user or run released this run's lock, so this run stops there",
            next_step=f"find out who is applying: {self.plan.invocation.command('lock status')}",
        )

    def _perform(self, step: Step, change: Change | None) -> str:
        if isinstance(step.task, Pause):
            return self._pause(step.task.seconds)
        listener = Listener(partial(self._answers, step), lambda rate: self.durations.note(step.address, rate=rate))
        return self.performer.perform(step.task, step.host, change, self._emit, listener)

    def _pause(self, seconds: int) -> str:
        """Ends at once if nothing is to start after it."""
        clock = self.performer.clock
        until = clock.elapsed() + seconds
        while self.begins_more and (left := until - clock.elapsed()) > 0:
            clock.sleep(min(left, PAUSE_SLICE))
        return ""

    def _time(self, step: Step, began: float, now: float) -> None:
        match step.task:
            case StartContainer():
                self._started[step.address] = began
            case PassGate():
                self.durations.note(step.address, start=now - self._started.get(step.address, began))
            case StopContainer():
                self.durations.note(step.address, stop=now - began)

    def _settle(self, step: Step, failure: CortexctlError | None) -> None:
        if failure is None:
            self._turns.finish(step)
            return
        if not step.address:
            self._host_failures.append((step.host, failure))
        self._turns.fail(step)

    def _undo(self, change: Change, step: Step, failure: CortexctlError) -> Outcome:
        if self._passed_gate(change) or change.detail.policy.on_failure == "halt":
            # The new instance serves (or is to be examined); the next plan does the rest.
            return Outcome(change, Fate.FAILED, failure, left_behind=True)
        refused = isinstance(failure, HookFailed) and step == self._index.steps_of(change)[0]
        if refused or isinstance(step.task, UNNOTICED):
            if isinstance(step.task, TryReach):
                self._run_undo(change, undo_unnoticed(change))
            return Outcome(change, Fate.FAILED, failure)  # nothing has changed yet
        tasks = undo(change)
        if not tasks:
            return Outcome(change, Fate.FAILED, failure, left_behind=True)
        self._emit(RollbackStarted(change))
        problem, unproven = self._run_undo(change, tasks)
        self._emit(RollbackEnded(change, problem, unproven))
        brings_back = any(isinstance(t, StartContainer) for t in tasks)
        fate = Fate.ROLLED_BACK if brings_back and not problem else Fate.FAILED
        return Outcome(change, fate, failure, problem, left_behind=bool(problem), unproven=unproven)

    def _run_undo(self, change: Change, tasks: Sequence[Task]) -> tuple[str, str]:
        """(what went wrong, why nothing could be proven). Every task is tried: a candidate that cannot be removed must
        not keep the old container down.
        """
        problems: list[CortexctlError] = []
        unproven = ""
        was = restored(change)
        for task in tasks:
            try:
                self._insist(partial(self.performer.perform, task, change.host, was, self._emit))
                if isinstance(task, PassGate):
                    self.recorder.is_restored(change)
            except PathFailed as cause:  # it runs again, and the route to it is at fault
                unproven = cause.message
                self.recorder.is_restored(change)
            except Exception as cause:  # noqa: BLE001
                problems.append(as_ours(cause))
        return "; ".join(self._explained(problem).message for problem in problems), unproven

    def _explained(self, failure: CortexctlError) -> CortexctlError:
        """Done when nothing waits for it any more. It never fails: then the failure is reported without its cause."""
        try:
            return self.explain(failure)
        except Exception:  # noqa: BLE001 - what came back is back, whatever is in the log
            return failure

    def _insist(self, act: Callable[[], str]) -> None:
        """A daemon that is briefly away (during its restart) must not cost the rollback."""
        clock = self.performer.clock
        until = clock.elapsed() + PATIENCE
        while True:
            try:
                act()
                return
            except DaemonUnreachable:
                if clock.elapsed() >= until:
                    raise
                clock.sleep(RETRY_EVERY)

    def _passed_gate(self, change: Change) -> bool:
        gates = [s for s in self._index.steps_of(change) if isinstance(s.task, PassGate)]
        return bool(gates) and all(s.id in self._turns.done for s in gates)

    def _result(self) -> Result:
        outcomes = []
        for change in self.plan.effective:
            steps = self._index.steps_of(change)
            if change.address in self._outcomes:
                outcomes.append(self._outcomes[change.address])
            elif all(s.id in self._turns.done for s in steps):
                outcomes.append(Outcome(change, Fate.DONE))
            else:
                is_unfinished = self._is_unfinished(change)
                fate = Fate.FAILED if is_unfinished else Fate.NOT_STARTED
                outcomes.append(Outcome(change, fate, left_behind=is_unfinished))
        spent = len(self._failed_steps) >= self.plan.max_failures
        interrupted = self._turns.are_left and self.interrupted()
        return Result(tuple(outcomes), tuple(self._host_failures), interrupted, budget_spent=spent)

    def _is_unfinished(self, change: Change) -> bool:
        """A candidate that was created and not started has no visible effect; the next apply continues with it."""
        return any(s.id in self._turns.done and not isinstance(s.task, UNNOTICED) for s in self._index.steps_of(change))
