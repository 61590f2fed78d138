"""How a run is reported: to people on stdout or stderr, to programs as events, and to the audit log."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from cortexctl.cli.notes import show_notes
from cortexctl.cli.options import Command, audit_log_option
from cortexctl.cli.writing import discard
from cortexctl.dataclass import dataclass
from cortexctl.errors import CortexctlError, Interrupted, UsageError
from cortexctl.operations.run_log import EventLines, RunLog, open_events
from cortexctl.render.apply import audit_records, events_json


@dataclass(frozen=True, slots=True)
class RunOutput:
    """`stream`: "stdout", or "stderr" if stdout is reserved for events."""

    log: RunLog
    stream: str

    def show(self, text: str) -> None:
        """Text for people. If the reader closes the pipe (`apply | head`), the run continues with its own exit code."""
        stream = sys.stderr if self.stream == "stderr" else sys.stdout
        try:
            stream.write(text)
            stream.flush()
        except BrokenPipeError:
            discard(stream)


@contextmanager
def run_output(events: str, audit_log: str) -> Iterator[RunOutput]:
    """`events`: "json" for stdout, a file, or empty. A run that ends without a result is reported, too."""
    log = RunLog(_event_lines(events), audit_log, events_json, audit_records)
    try:
        yield RunOutput(log, "stderr" if events == "json" else "stdout")
    except BaseException as cause:
        log.refused(_as_error(cause))
        raise
    finally:
        show_notes(log.close())


def with_run_output(command: Command) -> Command:
    """Adds --events and --audit-log; the command gets them as `output`."""

    @click.option(
        "--events",
        default="",
        metavar="json|FILE",
        help="Events as JSON lines: on stdout, with all other output on stderr; or into a file.",
    )
    @audit_log_option
    @functools.wraps(command)
    def with_output(*args: object, events: str, audit_log: str, **kwargs: object) -> int:
        with run_output(events, audit_log) as output:
            return command(*args, output=output, **kwargs)

    return with_output


def _as_error(cause: BaseException) -> CortexctlError:
    if isinstance(cause, CortexctlError):
        return cause
    if isinstance(cause, KeyboardInterrupt | click.Abort):
        return Interrupted("interrupted before anything was done")
    if isinstance(cause, click.ClickException):
        return UsageError(cause.format_message())
    return CortexctlError(f"this is a bug in cortexctl: {type(cause).__name__}")


def _event_lines(events: str) -> EventLines | None:
    if events == "json":
        sys.stdout.flush()
        return EventLines(sys.stdout.fileno())
    return open_events(events) if events else None
