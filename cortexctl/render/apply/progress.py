"""Events as they happen: live lines on a terminal, plain lines at a limited pace elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Self, TextIO

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
    TryReach,
)
from cortexctl.render.plan.phrases import bound_text, done_text, task_text
from cortexctl.render.sanitise import tame, visible
from cortexctl.render.style import Ink
from cortexctl.text.units import show_seconds

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

PACE = 10.0
"""Seconds between two plain lines about the same stage."""
BAR = 24


@dataclass
class PlainProgress:
    """One line per step, one per stage of the gate. Safe to call from several threads."""

    out: TextIO
    ink: Ink
    names: Mapping[str, str]
    width: int
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
        return event_line(event, self.ink, self.names, self.width)


@dataclass(frozen=True, slots=True)
class _Doing:
    """The current work of an instance: its text, its start by the clock, and its share if vLLM reports one."""

    text: str
    began: float
    share: float | None = None
    limit: int | None = None


@dataclass
class LiveProgress:
    """Finished steps scroll by. Below them, one line per instance shows its work, with a clock and a bar."""

    ink: Ink
    names: Mapping[str, str]
    width: int
    clock: Callable[[], float]
    limits: Mapping[str, int] = field(default_factory=dict)
    """Address -> seconds that its gate may take without progress."""
    out: TextIO | None = None
    """A terminal. Default: stderr."""
    _running: dict[str, _Doing] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _live: Live | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self.out, stderr=True, highlight=False)
        self._live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self._shown)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        from rich.text import Text

        with self._guard:
            self._note(event)
            line = "" if isinstance(event, Progress) else event_line(event, self.ink, self.names, self.width)
        if self._live and line:
            self._live.refresh()  # before the line, or what has just ended would stand below it until the next refresh
            self._live.console.print(Text.from_ansi(tame(line, styles=True)))

    def _note(self, event: Event) -> None:
        match event:
            case StepStarted(step) if not isinstance(step.task, SetRestart | RenameContainer):
                limit = self.limits.get(step.address) if isinstance(step.task, PassGate) else None
                doing = _Doing(task_text(step.task, self.names), self.clock(), limit=limit)
                self._running[step.address or step.host] = doing
            case Progress(address, stage, _, share):
                began = self._running[address].began if address in self._running else self.clock()
                limit = self._running[address].limit if address in self._running else None
                self._running[address] = _Doing(f"gate   {stage}", began, share, limit)
            case HookStarted(hook, address, host):
                text = f"hook {hook.on} {hook.name}"
                self._running[address or host or hook.on] = _Doing(text, self.clock(), limit=hook.timeout)
            case HookEnded(hook, _, address, host):
                self._running.pop(address or host or hook.on, None)
            case StepDone(step) | StepFailed(step):
                self._running.pop(step.address or step.host, None)
            case RollbackEnded(change):
                self._running.pop(change.address, None)

    def _shown(self) -> Text:
        from rich.text import Text

        with self._guard:
            running = sorted(self._running.items())
        lines = (self._line(address, doing) for address, doing in running)
        return Text.from_ansi(tame("\n".join(lines), styles=True))

    def _line(self, address: str, doing: _Doing) -> str:
        full = round(BAR * doing.share) if doing.share is not None else 0
        bar = "" if doing.share is None else "  " + self.ink("#" * full, "cyan") + self.ink("." * (BAR - full), "dim")
        clock = show_seconds(self.clock() - doing.began)
        limit = self.ink(f", {bound_text(doing.limit)}", "dim") if doing.limit else ""
        where = _where(address, self.ink, self.width)
        return f"{where}  {self.ink('..', 'cyan')}   {visible(doing.text)}{bar}   {clock}{limit}"


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
