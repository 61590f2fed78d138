"""The only output: all text of a command, for people and for programs, passes through here.

Text for people has no terminal control character except our own colours, and no secret that this run has read.
Output for programs is exact, with control characters as escapes if the format has escapes.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

from cortexctl.operations.run_secrets import KNOWN
from cortexctl.render.sanitise import tame, visible
from cortexctl.text.json_text import json_text, plain_json

if TYPE_CHECKING:
    from cortexctl.cli.live_lines import LiveLines

EXACT = {"toml", "diff"}
"""A stack, or a patch for one: the user's own text, which a program reads unchanged."""
JSON = {"json", "sarif"}


class Funnel:
    """A stream for people: it filters writes, and delegates the rest to the stream. `lines`: those at the bottom of its
    terminal, if it is one.
    """

    def __init__(self, stream: TextIO, lines: LiveLines | None = None) -> None:
        self.stream = stream
        self.lines = lines if lines is not None and stream.isatty() else None

    def write(self, text: str) -> int:
        styles = self.stream.isatty() or bool(os.environ.get("FORCE_COLOR"))
        with self.aside(text):
            self.stream.write(tame(KNOWN.hide(text), styles=styles))
        return len(text)

    def aside(self, text: str) -> AbstractContextManager[None]:
        """The lines make room for a text that is written to the stream."""
        return self.lines.aside(text) if self.lines else nullcontext()

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def funnelled() -> Iterator[None]:
    """During a run stdout and stderr are funnels, also for the output of click and Python."""
    out, err = sys.stdout, sys.stderr
    KNOWN.forget()
    lines = _live_lines_on(err)
    sys.stdout = cast("TextIO", Funnel(out, lines)) if out else out
    sys.stderr = cast("TextIO", Funnel(err, lines)) if err else err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


def _live_lines_on(stream: TextIO | None) -> LiveLines | None:
    if not stream or not stream.isatty():
        return None
    from cortexctl.cli.live_lines import LiveLines, size_of

    return LiveLines(stream, lambda line: tame(KNOWN.hide(line), styles=True), lambda: size_of(stream))


def live_lines() -> LiveLines | None:
    """The lines at the bottom of the terminal on stderr; None if it is not a terminal."""
    return sys.stderr.lines if isinstance(sys.stderr, Funnel) else None


def _beneath(stream: TextIO) -> TextIO:
    return stream.stream if isinstance(stream, Funnel) else stream


def _aside(stream: TextIO, text: str) -> AbstractContextManager[None]:
    return stream.aside(text) if isinstance(stream, Funnel) else nullcontext()


def discard(stream: TextIO) -> None:
    """Sends the rest of a stream without a reader to /dev/null; otherwise Python fails at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def in_any_locale() -> None:
    """From here on, characters that stdout and stderr cannot encode are written as escapes instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # it may be closed, or a test's stream
            stream.reconfigure(errors="backslashreplace")


def out(text: str) -> None:
    """To stdout, for people."""
    sys.stdout.write(text)


def out_json(value: Any, indent: int | None = 2) -> None:
    """To stdout, for programs."""
    write(json_text(KNOWN.hide_in(value), indent) + "\n", "json")


def out_raw(text: str) -> None:
    """Raw text to stdout, for a user who requests a log with its control characters."""
    with _aside(sys.stdout, text):
        _beneath(sys.stdout).write(text)


def print_note(text: str) -> None:
    """Progress, notes and diagnostics go to stderr: stdout is the product."""
    with suppress(OSError, ValueError):  # the reader is gone: the command continues
        sys.stderr.write(text)
        sys.stderr.flush()


def print_plain(text: str) -> None:
    """The same for lines that may hold foreign text: all control characters are removed, colours too."""
    print_note("".join(f"{visible(line)}\n" for line in text.rstrip("\n").split("\n")))


def print_now(text: str) -> None:
    """Our own text from a signal handler. It bypasses the stream, because the handler may interrupt a write to it, and
    streams are not reentrant.
    """
    lines = live_lines()
    with suppress(OSError):  # the terminal may be gone
        os.write(2, ((lines.erasure() if lines else "") + text).encode())


def write(text: str, output_format: str) -> None:
    """To stdout: text in the encoding of the locale; the other formats in UTF-8, as they require."""
    encoding = sys.stdout.encoding if output_format == "text" else "utf-8"
    sys.stdout.flush()
    with _aside(sys.stdout, text):
        sys.stdout.buffer.write(shown(text, output_format).encode(encoding, "backslashreplace"))
        sys.stdout.buffer.flush()


def write_file(file: str, text: str, output_format: str) -> None:
    """To a file, atomically. Raises UsageError."""
    from cortexctl.files.atomic import write_atomic

    write_atomic(file, shown(text, output_format))


def shown(text: str, output_format: str) -> str:
    """The text with control characters and secrets removed, as far as the format allows it."""
    if output_format in JSON:
        return plain_json(text)
    if output_format in EXACT and not sys.stdout.isatty():
        return text
    return tame(KNOWN.hide(text), styles=output_format == "text")


def hidden_json(text: str) -> str:
    """JSON with the secrets of this run hidden. Not for plans, which are applied later."""
    return json_text(KNOWN.hide_in(json.loads(text)), 2) + "\n"
