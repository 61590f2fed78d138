"""Notes and diagnostics of the use cases, on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cortexctl.cli.colour import ink
from cortexctl.cli.writing import say, say_plain
from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic
from cortexctl.operations.notes import Level, Note
from cortexctl.operations.read_stack import StackReading
from cortexctl.render.diagnostic import diagnostics_text

_BEFORE = {Level.PROGRESS: "", Level.NOTE: "note: ", Level.WARNING: "Warning: "}


def show_note(note: Note) -> None:
    say_plain(f"{_BEFORE[note.level]}{note.text}\n")


def show_notes(notes: Iterable[Note]) -> None:
    for note in notes:
        show_note(note)


def show_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    if diagnostics:
        say(diagnostics_text(diagnostics, ink("stderr")) + "\n")


def usable(reading: StackReading) -> Desired:
    """The stack that was read, its warnings shown. Raises BadStack, whose diagnostics are shown where it ends."""
    desired = reading.usable
    show_diagnostics(reading.diagnostics)
    return desired
