"""Who else hears of an apply: readers of its events, and the audit log. None of them can stop it."""

from __future__ import annotations

import functools
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from cortexctl.cli.writing import nobody_reads, say_plain
from cortexctl.errors import CortexctlError, UsageError
from cortexctl.files.private import open_private
from cortexctl.operations.adapters import lock_identity, new_run
from cortexctl.operations.run_secrets import KNOWN
from cortexctl.text.json_text import json_text

if TYPE_CHECKING:
    from cortexctl.apply.events import Event, Sink
    from cortexctl.apply.executor import Result
    from cortexctl.audit.audit_log import AuditLog
    from cortexctl.plan.model import Plan
    from cortexctl.render.apply.audit_records import RunFacts

Command = Callable[..., int]
LAST_WORDS = 5.0
"""Seconds in which a slow reader may take the last events at the end."""
NO_LOG = "none"


class EventLines:
    """JSON lines to a file that somebody may read, in a thread: a slow reader is not waited for, a broken one not
    missed.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def send(self, event: Mapping[str, Any]) -> None:
        self._lines.put((json_text(KNOWN.hide_in(event)) + "\n").encode("utf-8", "replace"))

    def close(self) -> None:
        self._lines.put(None)
        self._writer.join(LAST_WORDS)

    def _write(self) -> None:
        with suppress(OSError):
            while (line := self._lines.get()) is not None:
                while line:
                    line = line[os.write(self._file, line) :]


class Telling:
    """One run, told. `events` is "json" (stdout, and what people read goes to stderr), a file, or empty."""

    def __init__(self, events: str, audit_log: str) -> None:
        self.run = new_run()
        self.revision = self.author = ""
        self.stream = "stderr" if events == "json" else "stdout"
        self._wanted = audit_log
        self._began = time.monotonic()
        self._lines = EventLines(_open(events)) if events else None
        self._plan: Plan | None = None
        self._log: AuditLog | None = None
        self._facts: RunFacts | None = None
        self._spans: dict[str, tuple[float, float]] = {}
        self._ended = False

    def show(self, text: str) -> None:
        """To people. One who has gone (`apply | head`) stops nothing, and the exit code stays that of the work."""
        out = sys.stderr if self.stream == "stderr" else sys.stdout
        try:
            out.write(text)
            out.flush()
        except BrokenPipeError:
            nobody_reads(out)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, cause: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """A run that ends before its result has one, too."""
        if not self._ended and cause is not None:
            self._refused(_as_ours(cause))
        if self._lines:
            self._lines.close()
        if self._log:
            self._log.__exit__(kind, cause, _trace)
            if self._log.problem:
                say_plain(f"Warning: the audit log is not written: {self._log.problem}\n")

    def planned(self, plan: Plan) -> None:
        """What is going to happen."""
        from cortexctl.render.apply.events_json import plan_events

        self._plan = plan
        for fields in plan_events(plan) if self._lines else ():
            self._send(fields)

    def nothing(self) -> None:
        """There is nothing to do."""
        from cortexctl.render.apply.events_json import nothing_event

        self._ended = True
        self._send(nothing_event(self._seconds()))

    def begins(self, plan: Plan) -> None:
        """It was approved: from here on it is written down."""
        from cortexctl.audit.actor import who
        from cortexctl.audit.audit_log import AuditLog
        from cortexctl.audit.revision import revision_of
        from cortexctl.render.apply.audit_records import RunFacts, start_record

        path = self._path(plan)
        self.revision = str(revision_of(Path(plan.stack_path), path))
        us = lock_identity(self.run)
        whoever = who(us.who, us.machine_name, os.environ)
        self.author = whoever.author
        self._facts = RunFacts(self.run, plan.stack, plan.env, asdict(whoever), self.revision)
        if path:
            self._log = AuditLog(Path(path)).__enter__()
            self._write_down(start_record(self._facts, plan, time.time()))

    def __call__(self, event: Event) -> None:
        """One event; from any thread. Raises nothing."""
        from cortexctl.render.apply.events_json import event_fields

        step = getattr(event, "step", None)
        address = str(getattr(event, "address", "") or (step.address if step else ""))
        if address:
            now = time.monotonic()
            self._spans[address] = (self._spans.get(address, (now, now))[0], now)
        if self._lines and self._plan:
            for fields in event_fields(event, self._plan):
                self._send(fields)

    def ended(self, result: Result, next_step: str) -> None:
        from cortexctl.render.apply.audit_records import change_records, end_record
        from cortexctl.render.apply.events_json import result_events

        self._ended = True
        for fields in result_events(result, self._seconds(), next_step) if self._lines else ():
            self._send(fields)
        if self._log and self._facts:
            took = {address: last - first for address, (first, last) in self._spans.items()}
            for record in change_records(self._facts, result, took, time.time()):
                self._write_down(record)
            self._write_down(end_record(self._facts, result, self._seconds(), time.time()))

    def _refused(self, cause: CortexctlError) -> None:
        from cortexctl.render.apply.audit_records import end_record
        from cortexctl.render.apply.events_json import refused_event

        self._send(refused_event(cause, self._seconds()))
        if self._log and self._facts:
            self._write_down(end_record(self._facts, cause, self._seconds(), time.time()))

    def _write_down(self, record: Mapping[str, Any]) -> None:
        if self._log:
            self._log.write(KNOWN.hide_in(record))

    def _send(self, fields: dict[str, Any]) -> None:
        from cortexctl.render.apply.events_json import envelope

        if self._lines:
            self._lines.send(envelope(fields, self.run, time.time()))

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _path(self, plan: Plan) -> str:
        """The command line's choice before the stack's; relative to where each is written."""
        if self._wanted:
            return "" if self._wanted == NO_LOG else self._wanted
        folder = Path(plan.stack_path).resolve().parent
        return str(folder / plan.audit_log) if plan.audit_log else ""


class _Interrupted(CortexctlError):
    exit_code = 130


def _as_ours(cause: BaseException) -> CortexctlError:
    if isinstance(cause, CortexctlError):
        return cause
    if isinstance(cause, KeyboardInterrupt | click.Abort):
        return _Interrupted("interrupted before anything was done")
    if isinstance(cause, click.ClickException):
        return UsageError(cause.format_message())
    return CortexctlError(f"this is a bug in cortexctl: {type(cause).__name__}")


def both(*sinks: Sink) -> Sink:
    """Each is told, whatever becomes of the others."""

    def tell(event: Event) -> None:
        for sink in sinks:
            with suppress(Exception):
                sink(event)

    return tell


def _open(events: str) -> int:
    """Raises UsageError: who asked for events shall have them, or know at once."""
    if events == "json":
        sys.stdout.flush()
        return sys.stdout.fileno()
    try:
        return open_private(events)
    except OSError as cause:
        raise UsageError(f"cannot write the events to {events}: {cause.strerror}") from None


audit_log = click.option(
    "--audit-log",
    default="",
    envvar="CORTEXCTL_AUDIT_LOG",
    metavar="FILE",
    help="Where it is written down; none: nowhere. Left out: as the stack says, else beside it, NAME.audit.jsonl.",
)


def telling(command: Command) -> Command:
    """Adds --events and --audit-log; the command gets them as `telling`."""

    @click.option(
        "--events",
        default="",
        metavar="json|FILE",
        help="What happens as JSON lines: on stdout, and all else on stderr; or into a file.",
    )
    @audit_log
    @functools.wraps(command)
    def with_telling(*args: object, events: str, audit_log: str, **kwargs: object) -> int:
        with Telling(events, audit_log) as telling:
            return command(*args, telling=telling, **kwargs)

    return with_telling
