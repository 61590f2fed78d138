"""Who sees what a command waits for: a person at a terminal, in a line on stderr that disappears again."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cortexctl.cli.colour import ink
from cortexctl.cli.writing import live_lines
from cortexctl.operations.connections import Connections, run_connections

if TYPE_CHECKING:
    from cortexctl.cli.live_lines import LiveLines


@contextmanager
def watched_connections() -> Iterator[Connections]:
    """The connections of a run. A person at a terminal sees which hosts have not answered yet."""
    lines = lines_for_people()
    if lines is None:
        with run_connections() as connections:
            yield connections
        return
    from cortexctl.cli.questions import Questions

    questions = Questions(time.monotonic)
    with lines.showing(questions.lines), run_connections(questions) as connections:
        yield connections


def lines_for_people() -> LiveLines | None:
    """The lines at the bottom of the terminal on stderr. None if it must not have control codes (it is not a terminal,
    TERM=dumb, NO_COLOR, a CI job), or if a program reads what the command writes to it.
    """
    is_plain = not ink("stderr").enabled or os.environ.get("TERM") == "dumb" or bool(os.environ.get("CI"))
    return None if is_plain or _is_for_programs() else live_lines()


def _is_for_programs() -> bool:
    """Events, or a report for programs on a terminal: a program may read both streams from it."""
    context = click.get_current_context(silent=True)
    options = context.params if context else {}
    is_text = options.get("output_format", "text") == "text"
    return options.get("events") == "json" or (not is_text and sys.stdout.isatty())
