"""A terminal for tests: what is written to it, and what a person then sees."""

from __future__ import annotations

import io
import os
import pty
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TextIO

import pytest

from cortexctl.cli import questions
from cortexctl.cli.live_lines import LiveLines
from cortexctl.cli.main import run
from cortexctl.cli.writing import Funnel
from cortexctl.render import waiting
from cortexctl.render.apply import progress
from cortexctl.render.sanitise import tame

_CODES = re.compile(r"\x1b\[(\d*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


def shown(written: str, columns: int = 80) -> str:
    """The text on a terminal of this width after all of this was written: without spaces at the ends of lines, and
    without empty lines at the end. Knows the codes that we use, and colours.
    """
    rows, row, column = [""], 0, 0
    for count, code, line_end, text in _CODES.findall(written):
        if line_end == "\r":
            column = 0
        elif line_end:
            row, column = row + 1, 0
        elif code == "A":
            row = max(row - int(count or 1), 0)
        elif code == "J":
            rows[row:] = [rows[row][:column]]
        elif code == "m":
            pass
        elif code:
            raise AssertionError(f"an unknown code: {count}{code}")
        for character in text:
            if column == columns:
                row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
            rows[row] = f"{rows[row]:{column}}"[:column] + character + rows[row][column + 1 :]
            column += 1
        rows += [""] * (row + 1 - len(rows))
    return "\n".join(line.rstrip() for line in rows).rstrip("\n")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Screen:
    """A terminal of this width."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.size = os.terminal_size((columns, rows))
        self._terminal = _Terminal()

    def lines(self) -> LiveLines:
        return LiveLines(self._terminal, lambda line: tame(line, styles=True), lambda: self.size)

    def funnel(self, lines: LiveLines) -> Funnel:
        """A stream of the command line that ends on this terminal."""
        return Funnel(self._terminal, lines)

    def written(self) -> str:
        return self._terminal.getvalue()

    def text(self) -> str:
        return shown(self.written(), self.size.columns)


class RealTerminal:
    """A pty: stdout and stderr of the command line, or one of them."""

    def __init__(self) -> None:
        self._ours, self._theirs = pty.openpty()
        self._read = b""
        self._guard = threading.Lock()
        self._streams = [os.fdopen(os.dup(self._theirs), "w", encoding="utf-8", buffering=1) for _ in range(2)]

    def run(self, *arguments: str, errors: TextIO | None = None) -> int:
        """The exit code of a command line with both streams on it, or with stderr elsewhere."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", self._streams[0])
            patch.setattr(sys, "stderr", errors or self._streams[1])
            return run([*arguments])

    def written(self) -> str:
        """Everything so far. Called from any thread."""
        with self._guard:
            os.set_blocking(self._ours, False)
            while True:
                try:
                    self._read += os.read(self._ours, 65536)
                except BlockingIOError:
                    return self._read.decode(errors="ignore")

    def close(self) -> None:
        for stream in self._streams:
            stream.close()
        os.close(self._ours)
        os.close(self._theirs)


@contextmanager
def real_terminal() -> Iterator[RealTerminal]:
    """In an environment where lines are drawn, and at once."""
    with closing(RealTerminal()) as terminal, pytest.MonkeyPatch.context() as patch:
        for module in (waiting, questions, progress):
            patch.setattr(module, "AFTER", 0.0)
        patch.setenv("TERM", "xterm")
        for name in ("CI", "NO_COLOR", "FORCE_COLOR"):
            patch.delenv(name, raising=False)
        yield terminal
