"""A terminal for tests: what is written to it, and what a person then sees."""

from __future__ import annotations

import io
import os
import re

from cortexctl.cli.live_lines import LiveLines
from cortexctl.cli.writing import Funnel
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
