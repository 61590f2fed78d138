"""The output of a run for programs: its events as JSON lines, and its records in the audit log. Neither can fail it."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cortexctl.errors import CortexctlError, UsageError
from cortexctl.files.private import open_private
from cortexctl.operations.adapters import lock_identity, new_run
from cortexctl.operations.notes import Note, warning
from cortexctl.operations.results import RunFacts
from cortexctl.operations.run_secrets import KNOWN
from cortexctl.text.json_text import json_text

if TYPE_CHECKING:
    from cortexctl.apply.events import Event, Sink
    from cortexctl.apply.executor import Result
    from cortexctl.audit.audit_log import AuditLog
    from cortexctl.plan.model import Plan

LAST_EVENTS = 5.0
"""Seconds that a slow reader has for the last events at the end."""
NO_LOG = "none"
Fields = dict[str, Any]


class EventFormat(Protocol):
    """Implemented by the module `render.apply.events_json`."""

    def envelope(self, fields: Fields, run: str, at: float) -> Fields: ...
    def plan_events(self, plan: Plan) -> Iterable[Fields]: ...
    def event_fields(self, event: Event, plan: Plan) -> Iterable[Fields]: ...
    def result_events(self, result: Result, seconds: float, next_step: str) -> Iterable[Fields]: ...
    def refused_event(self, cause: CortexctlError, seconds: float) -> Fields: ...
    def nothing_event(self, seconds: float) -> Fields: ...


class RecordFormat(Protocol):
    """Implemented by the module `render.apply.audit_records`."""

    def start_record(self, facts: RunFacts, plan: Plan, at: float) -> Fields: ...
    def change_records(
        self, facts: RunFacts, result: Result, seconds: Mapping[str, float], at: float
    ) -> Iterable[Fields]: ...
    def end_record(self, facts: RunFacts, ended: Result | CortexctlError, seconds: float, at: float) -> Fields: ...


class EventLines:
    """JSON lines to a file, written in a thread: the run neither waits for a slow reader nor fails without one."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def send(self, event: Mapping[str, Any]) -> None:
        self._lines.put((json_text(KNOWN.hide_in(event)) + "\n").encode("utf-8", "replace"))

    def close(self) -> None:
        self._lines.put(None)
        self._writer.join(LAST_EVENTS)

    def _write(self) -> None:
        with suppress(OSError):
            while (line := self._lines.get()) is not None:
                while line:
                    line = line[os.write(self._file, line) :]


class RunLog:
    """One run. `events`: the writer of its events, if any. `audit_log`: a path, NO_LOG, or empty for the
    stack's choice.
    """

    def __init__(
        self, events: EventLines | None, audit_log: str, event_format: EventFormat, record_format: RecordFormat
    ) -> None:
        self.run = new_run()
        self.revision = self.author = ""
        self._event_format, self._record_format = event_format, record_format
        self._wanted = audit_log
        self._started = time.monotonic()
        self._lines = events
        self._plan: Plan | None = None
        self._log: AuditLog | None = None
        self._open = ExitStack()
        self._facts: RunFacts | None = None
        self._spans: dict[str, tuple[float, float]] = {}
        self._ended = False

    def planned(self, plan: Plan) -> None:
        """Reports the planned changes."""
        self._plan = plan
        for fields in self._event_format.plan_events(plan) if self._lines else ():
            self._send(fields)

    def nothing_to_do(self) -> None:
        self._ended = True
        self._send(self._event_format.nothing_event(self._seconds()))

    def begins(self, plan: Plan) -> None:
        """The plan was approved: from now on the run is in the audit log."""
        from cortexctl.audit.audit_log import AuditLog
        from cortexctl.audit.provenance import identity_of, revision_of

        self._started = time.monotonic()  # without the time at the prompt
        path = self._path(plan)
        self.revision = str(revision_of(Path(plan.stack_path), path))
        holder = lock_identity(self.run)
        identity = identity_of(holder.who, holder.machine_name, os.environ)
        self.author = identity.author
        self._facts = RunFacts(self.run, plan.stack, plan.env, asdict(identity), self.revision)
        if path:
            self._log = self._open.enter_context(AuditLog(Path(path)))
            self._record(self._record_format.start_record(self._facts, plan, time.time()))

    def __call__(self, event: Event) -> None:
        """Receives an event, from any thread. Raises nothing."""
        step = getattr(event, "step", None)
        address = str(getattr(event, "address", "") or (step.address if step else ""))
        if address:
            now = time.monotonic()
            self._spans[address] = (self._spans.get(address, (now, now))[0], now)
        if self._lines and self._plan:
            for fields in self._event_format.event_fields(event, self._plan):
                self._send(fields)

    def ended(self, result: Result, next_step: str) -> None:
        """The plan was carried out, with or without failures."""
        self._ended = True
        for fields in self._event_format.result_events(result, self._seconds(), next_step) if self._lines else ():
            self._send(fields)
        if self._log and self._facts:
            seconds = {address: last - first for address, (first, last) in self._spans.items()}
            for record in self._record_format.change_records(self._facts, result, seconds, time.time()):
                self._record(record)
            self._record(self._record_format.end_record(self._facts, result, self._seconds(), time.time()))

    def refused(self, cause: CortexctlError) -> None:
        """The run ended before it had a result. Nothing is written if it had one."""
        if self._ended:
            return
        self._ended = True
        self._send(self._event_format.refused_event(cause, self._seconds()))
        if self._log and self._facts:
            self._record(self._record_format.end_record(self._facts, cause, self._seconds(), time.time()))

    def close(self) -> tuple[Note, ...]:
        """Returns a note if the audit log is not complete."""
        if self._lines:
            self._lines.close()
        self._open.close()
        problem = self._log.problem if self._log else ""
        return (warning(f"the audit log is not written: {problem}"),) if problem else ()

    def _record(self, record: Mapping[str, Any]) -> None:
        if self._log:
            self._log.write(KNOWN.hide_in(record))

    def _send(self, fields: Fields) -> None:
        if self._lines:
            self._lines.send(self._event_format.envelope(fields, self.run, time.time()))

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _path(self, plan: Plan) -> str:
        """The path from the command line, else from the stack, relative to the stack's folder."""
        if self._wanted:
            return "" if self._wanted == NO_LOG else self._wanted
        folder = Path(plan.stack_path).resolve().parent
        return str(folder / plan.audit_log) if plan.audit_log else ""


def to_each(*sinks: Sink) -> Sink:
    """A sink that sends every event to each sink, even if another one fails."""

    def emit(event: Event) -> None:
        for sink in sinks:
            with suppress(Exception):
                sink(event)

    return emit


def open_events(file: str) -> EventLines:
    """Raises UsageError at once if the file cannot be written."""
    try:
        return EventLines(open_private(file))
    except OSError as cause:
        raise UsageError(f"cannot write the events to {file}: {cause.strerror}") from None
