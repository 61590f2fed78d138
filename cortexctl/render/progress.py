"""Events while they happen: live lines on a terminal, plain lines at a decent pace anywhere else."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TextIO

from cortexctl.apply.events import (
    Event,
    Progress,
    RollbackEnded,
    RollbackStarted,
    StepDone,
    StepFailed,
    StepStarted,
)
from cortexctl.plan.steps import PassGate, SetRestart
from cortexctl.render.ink import Ink
from cortexctl.render.words import task_words

if TYPE_CHECKING:
    from rich.live import Live

PACE = 10.0
"""Seconds between two plain lines about the same stage."""
BAR = 24


@dataclass
class PlainProgress:
    """One line a step, one a stage of the gate. Safe to call from several threads."""

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
            return f"{where}  {self.ink('...', 'dim')}  {event.stage}   {event.seconds:.0f}s"
        return event_line(event, self.ink, self.names, self.width)


@dataclass
class LiveProgress:
    """Finished steps scroll by; below them one line an instance says what it is doing, with a bar."""

    ink: Ink
    names: Mapping[str, str]
    width: int
    _running: dict[str, tuple[str, float, float | None]] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _live: Live | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True, highlight=False)
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        from rich.text import Text

        with self._guard:
            if isinstance(event, Progress):
                self._running[event.address] = (event.stage, event.seconds, event.share)
            elif isinstance(event, StepDone | StepFailed | RollbackEnded):
                self._running.pop(
                    event.change.address if isinstance(event, RollbackEnded) else event.step.address, None
                )
            line = "" if isinstance(event, Progress) else event_line(event, self.ink, self.names, self.width)
            if self._live:
                if line:
                    self._live.console.print(Text.from_ansi(line))
                self._live.update(Text.from_ansi("\n".join(self._lines())), refresh=True)

    def _lines(self) -> list[str]:
        lines = []
        for address, (stage, seconds, share) in sorted(self._running.items()):
            full = round(BAR * share) if share is not None else 0
            bar = "  " + self.ink("#" * full, "cyan") + self.ink("." * (BAR - full), "dim") if share is not None else ""
            lines.append(
                f"{_where(address, self.ink, self.width)}  {self.ink('gate', 'cyan')}  {stage}{bar}   {seconds:.0f}s"
            )
        return lines


def event_line(event: Event, ink: Ink, names: Mapping[str, str], width: int) -> str:
    """A finished thing in one line; '' for what is not worth one. `width`: that of the longest address."""
    match event:
        case StepDone(step, seconds, note):
            if isinstance(step.task, SetRestart):
                return ""
            took = f"{seconds:.1f}s" if seconds >= 0.1 else ""
            tail = "   ".join(part for part in (took, note) if part)
            words = "passed its gate" if isinstance(step.task, PassGate) else task_words(step.task, names)
            where = _where(step.address or step.host, ink, width)
            return f"{where}  {ink('ok', 'green')}   {words}   {ink(tail, 'dim')}".rstrip()
        case StepFailed(step, seconds, message):
            where, failed = _where(step.address or step.host, ink, width), ink("FAILED", "red", "bold")
            return f"{where}  {failed}  {task_words(step.task, names)} after {seconds:.1f}s: {message}"
        case RollbackStarted(change):
            return f"{_where(change.address, ink, width)}  {ink('undo', 'yellow')}  bringing back what was"
        case RollbackEnded(change, problem):
            said = ink(f"FAILED: {problem}", "red", "bold") if problem else "as it was"
            return f"{_where(change.address, ink, width)}  {ink('undo', 'yellow')}  {said}"
        case StepStarted() | Progress():
            return ""


def _where(address: str, ink: Ink, width: int) -> str:
    return ink(f"[{address}]", "bold") + " " * (width - len(address))
