"""Notes and diagnostics of the use cases, on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cortexctl.cli.colour import ink
from cortexctl.cli.writing import print_note, print_plain
from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic
from cortexctl.operations.notes import Level, Note
from cortexctl.operations.read_stack import StackReading

_BEFORE = {Level.PROGRESS: "", Level.NOTE: "note: ", Level.WARNING: "Warning: "}


def show_note(note: Note) -> None:
    print_plain(f"{_BEFORE[note.level]}{note.text}\n")


def show_notes(notes: Iterable[Note]) -> None:
    for note in notes:
        show_note(note)


def show_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    if diagnostics:
        from cortexctl.render.diagnostic import diagnostics_text

        print_note(diagnostics_text(diagnostics, ink("stderr")) + "\n")


def usable(reading: StackReading) -> Desired:
    """The stack that was read, its warnings shown. Raises BadStack, whose diagnostics `main` shows."""
    desired = reading.usable
    show_diagnostics(reading.diagnostics)
    return desired
