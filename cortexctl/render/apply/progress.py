"""Events as they happen: live lines for a terminal, plain lines at a limited pace elsewhere."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import field, replace
from typing import Protocol, Self, TextIO

from cortexctl.apply.events import (
    LAST_ERROR,
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
from cortexctl.dataclass import dataclass
from cortexctl.plan.action import Action
from cortexctl.plan.steps import (
    EnsureNetwork,
    PassGate,
    RenameContainer,
    SetRestart,
    Step,
    TryReach,
)
from cortexctl.render.apply.totals import Totals
from cortexctl.render.columns import columns_of, cut_to
from cortexctl.render.plan.phrases import bound_text, done_text, hook_bound_text, task_text
from cortexctl.render.sanitise import visible
from cortexctl.render.style import Ink
from cortexctl.render.waiting import AFTER
from cortexctl.text.units import show_seconds

PACE = 10.0
"""Seconds between two plain lines about the same stage."""
BAR = 24


@dataclass
class PlainProgress:
    """One line per step, one per stage of the gate, and one per change if there are several. Safe to call from several
    threads.
    """

    out: TextIO
    ink: Ink
    names: Mapping[str, str]
    width: int
    totals: Totals
    _last: dict[str, tuple[str, float]] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, event: Event) -> None:
        with self._guard:
            line = self._line(event)
            if line:
                self.out.write(line + "\n")
                self.out.flush()

    def _line(self, event: Event) -> str:
        if isinstance(event, Progress):
            stage, at = self._last.get(event.address, ("", -PACE))
            if event.stage == stage and event.seconds - at < PACE:
                return ""
            self._last[event.address] = (event.stage, event.seconds)
            where = _where(event.address, self.ink, self.width)
            return f"{where}  {self.ink('...', 'dim')}  {visible(event.stage)}   {event.seconds:.0f}s"
        return ended_lines(event, self.totals, self.ink, self.names, self.width)


@dataclass(frozen=True, slots=True)
class _Doing:
    """The current work at a place: its text, its start by the clock, and its share if vLLM reports one."""

    where: str
    text: str
    began: float
    share: float | None = None
    limit: str = ""
    """The bound of it, as text."""


class Terminal(Protocol):
    """Implemented by `cli.live_lines.LiveLines`."""

    def showing(self, picture: Callable[[os.terminal_size], Sequence[str]]) -> AbstractContextManager[None]: ...


@dataclass
class LiveProgress:
    """What has ended scrolls by. Below it, one line per instance shows its work, with a clock and a bar, and one the
    whole run. Safe to call from several threads. `terminal`: draws the lines that change. `write`: of the others.
    `limits`: address -> seconds that its gate may take without progress. `clock`: in seconds.
    """

    terminal: Terminal
    write: Callable[[str], object]
    ink: Ink
    names: Mapping[str, str]
    width: int
    totals: Totals
    clock: Callable[[], float]
    limits: Mapping[str, int] = field(default_factory=dict)
    _running: dict[str, _Doing] = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self._open.enter_context(self.terminal.showing(self.lines))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def __call__(self, event: Event) -> None:
        with self._guard:
            self._follow(event)
            ended = ended_lines(event, self.totals, self.ink, self.names, self.width)
        if ended:
            self.write(f"{ended}\n")

    def _follow(self, event: Event) -> None:
        match event:
            case StepStarted(step) if not isinstance(step.task, SetRestart | RenameContainer):
                seconds = self.limits.get(step.address) if isinstance(step.task, PassGate) else None
                limit = bound_text(seconds) if seconds is not None else ""
                text = task_text(step.task, self.names)
                self._running[_key(step)] = _Doing(step.address or step.host, text, self.clock(), limit=limit)
            case Progress(address, stage, _, share):
                doing = self._running.get(address) or _Doing(address, "", self.clock())
                self._running[address] = replace(doing, text=f"gate   {stage}", share=share)
            case HookStarted(hook, address, host):
                where = address or host
                text, limit = f"hook {hook.on} {hook.name}", hook_bound_text(hook)
                self._running[where or hook.on] = _Doing(where or hook.on, text, self.clock(), limit=limit)
            case HookEnded(hook, _, address, host):
                self._running.pop(address or host or hook.on, None)
            case StepDone(step) | StepFailed(step):
                self._running.pop(_key(step), None)
            case RollbackEnded(change):
                self._running.pop(change.address, None)

    def lines(self, size: os.terminal_size) -> Sequence[str]:
        """The lines for a terminal of this size; none in the first second of a run."""
        with self._guard:
            if self.totals.elapsed < AFTER:
                return []
            running = sorted(self._running.values(), key=lambda doing: doing.where)[: size.lines - 1]
            return [*(self._line(doing, size.columns) for doing in running), self.ink(self.totals.text(), "dim")]

    def _line(self, doing: _Doing, columns: int) -> str:
        """The clock stays visible: in a narrow window the bar is left out, and then the text is cut."""
        host = doing.where.partition("/")[0]
        clock = self.totals.of_change((host, doing.where)) or show_seconds(self.clock() - doing.began)
        limit = self.ink(f", {doing.limit}", "dim") if doing.limit and " of " not in clock else ""
        head = f"{_where(doing.where, self.ink, self.width)}  {self.ink('..', 'cyan')}   "
        text, room = visible(doing.text), columns - columns_of(f"{head}   {clock}")
        bar = _bar(doing.share, self.ink)
        if columns_of(text + bar + limit) > room:
            limit = ""
        if columns_of(text + bar) > room:
            bar = ""
        return f"{head}{cut_to(text, room)}{bar}   {clock}{limit}"


def _key(step: Step) -> str:
    return step.address or f"{step.host} {step.id}"


def _bar(share: float | None, ink: Ink) -> str:
    if share is None:
        return ""
    full = round(BAR * share)
    return "  " + ink("#" * full, "cyan") + ink("." * (BAR - full), "dim")


def ended_lines(event: Event, totals: Totals, ink: Ink, names: Mapping[str, str], width: int) -> str:
    """`event_line`. The last step of a change has one more line, if there are several changes: how many are done."""
    line = event_line(event, ink, names, width)
    if not totals.note(event) or not isinstance(event, StepDone) or totals.count < 2:
        return line
    where = _where(event.step.address, ink, width)
    done = f"{where}  {ink('done', 'green')} {totals.share()}   {ink(show_seconds(totals.elapsed), 'dim')}"
    return f"{line}\n{done}" if line else done


def event_line(event: Event, ink: Ink, names: Mapping[str, str], width: int) -> str:
    """A finished step, rollback or hook in one line; '' for other events. `width`: of the longest address."""
    match event:
        case StepDone(step, seconds, note):
            quiet = isinstance(step.task, SetRestart | TryReach) or (isinstance(step.task, EnsureNetwork) and not note)
            if quiet:
                return ""
            duration = f"{seconds:.1f}s" if seconds >= 0.1 else ""
            tail = visible("   ".join(part for part in (duration, note) if part))
            where = _where(step.address or step.host, ink, width)
            done = visible(done_text(step.task, names))
            return f"{where}  {ink('ok', 'green')}   {done}   {ink(tail, 'dim')}".rstrip()
        case StepFailed(step, seconds, message):
            where, failed = _where(step.address or step.host, ink, width), ink("FAILED", "red", "bold")
            shown = visible(_without_last_error(message).removeprefix(f"{step.host}: "))
            return f"{where}  {failed}  {visible(task_text(step.task, names))} after {seconds:.1f}s: {shown}"
        case RollbackStarted(change):
            doing = "removing the candidate" if change.action is Action.CREATE else "restoring the previous container"
            return f"{_where(change.address, ink, width)}  {ink('undo', 'yellow')} {doing}"
        case RollbackEnded(change, problem, unproven):
            done = f"done; {visible(unproven)}" if unproven else "done"
            ended = ink(f"FAILED: {visible(problem)}", "red", "bold") if problem else done
            return f"{_where(change.address, ink, width)}  {ink('undo', 'yellow')} {ended}"
        case HookEnded(hook, seconds, address, host, problem, output):
            where = _where(address or host, ink, width) if address or host else ""
            why = visible(problem.removeprefix(f"the hook {hook.name} ({hook.on}) "))
            ended = ink(f"FAILED: {why.removeprefix('failed: ')}", "red", "bold") if problem else ink("ok", "green")
            lines = [f"{where}  {ink('hook', 'cyan')} {hook.on} {hook.name}   {ended}   {seconds:.1f}s".lstrip()]
            return "\n".join([*lines, *(f"    {ink('|', 'blue')} {visible(line)}" for line in output)])
        case StepStarted() | Progress() | GateProbe() | HookStarted() | LockChanged():
            return ""


def _where(address: str, ink: Ink, width: int) -> str:
    return ink(f"[{visible(address)}]", "bold") + " " * (width - len(address))


def _without_last_error(message: str) -> str:
    """The message of a gate without what it quotes from the engine's log."""
    head, quotes, _ = message.partition(LAST_ERROR)
    return head.rpartition("; ")[0] if quotes else message
