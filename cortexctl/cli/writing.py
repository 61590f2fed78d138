"""The one way out: everything that a command says, to people and to programs, passes here.

What people read has no character that acts on a terminal but our own colours, and no secret that this run has read.
What programs read is exact, with such characters as escapes where the format has them.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from cortexctl.operations.run_secrets import KNOWN
from cortexctl.render.sanitise import tame, visible
from cortexctl.text.json_text import json_text, plain_json

EXACT = {"toml", "diff"}
"""A stack, or a patch for one: the user's own text, which a program takes as it is."""
JSON = {"json", "sarif"}


class Funnel:
    """A stream for people. All else about it is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        styles = self.stream.isatty() or bool(os.environ.get("FORCE_COLOR"))
        self.stream.write(tame(KNOWN.hide(text), styles=styles))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def funnelled() -> Iterator[None]:
    """For the length of a run stdout and stderr are funnels, for whoever writes to them: click and Python as well."""
    out, err = sys.stdout, sys.stderr
    KNOWN.forget()
    sys.stdout = cast("TextIO", Funnel(out)) if out else out
    sys.stderr = cast("TextIO", Funnel(err)) if err else err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


def beneath(stream: TextIO) -> TextIO:
    """The stream itself: for live progress, which moves the cursor, and for what is asked for raw."""
    return stream.stream if isinstance(stream, Funnel) else stream


def discard(stream: TextIO) -> None:
    """What is left for a reader who has gone, goes nowhere; else Python complains of it at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def in_any_locale() -> None:
    """From here on what stdout and stderr cannot encode is written as an escape: a sentence with a strange letter is no
    reason to stop.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # it may be closed, or a test's
            stream.reconfigure(errors="backslashreplace")


def out(text: str) -> None:
    """To stdout, for people."""
    sys.stdout.write(text)


def out_json(value: Any, indent: int | None = 2) -> None:
    """To stdout, for programs."""
    write(json_text(KNOWN.hide_in(value), indent) + "\n", "json")


def out_raw(text: str) -> None:
    """To stdout as it is: for who asks for a log with all that it does to a terminal."""
    beneath(sys.stdout).write(text)


def say(text: str) -> None:
    """Progress, notes and diagnostics go to stderr: stdout is the product."""
    with suppress(OSError, ValueError):  # nobody reads any more: no reason to stop
        sys.stderr.write(text)
        sys.stderr.flush()


def say_plain(text: str) -> None:
    """The same for lines in which foreign words may be, and no style of ours: not even a colour passes."""
    say("".join(f"{visible(line)}\n" for line in text.rstrip("\n").split("\n")))


def say_now(words: str) -> None:
    """From a signal handler, words of our own: what it interrupts may be a write to the same stream, which cannot be
    entered twice.
    """
    with suppress(OSError):  # a terminal that is gone hears nothing
        os.write(2, words.encode())


def write(text: str, output_format: str) -> None:
    """To stdout: text as its reader takes it, all else in UTF-8, whatever the locale is, for so the formats are."""
    encoding = sys.stdout.encoding if output_format == "text" else "utf-8"
    sys.stdout.flush()
    sys.stdout.buffer.write(shown(text, output_format).encode(encoding, "backslashreplace"))
    sys.stdout.buffer.flush()


def write_file(file: str, text: str, form: str) -> None:
    """Into a file, whole or not at all, as its reader takes it. Raises UsageError."""
    from cortexctl.files.atomic import write_atomic

    write_atomic(file, shown(text, form))


def shown(text: str, output_format: str) -> str:
    """The text as it may leave, to stdout or into a file."""
    if output_format in JSON:
        return plain_json(text)
    if output_format in EXACT and not sys.stdout.isatty():
        return text
    return tame(KNOWN.hide(text), styles=output_format == "text")


def hidden_json(text: str) -> str:
    """JSON that is not carried out by anybody later, with the secrets of this run hidden in its texts."""
    return json_text(KNOWN.hide_in(json.loads(text)), 2) + "\n"
