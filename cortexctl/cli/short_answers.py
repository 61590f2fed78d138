"""What `--version` and `--help` print, without loading click: `help.txt` is the text that click makes of `main`."""

from __future__ import annotations

import os
import sys

from cortexctl import __version__

HELP = os.path.join(os.path.dirname(__file__), "help.txt")  # noqa: PTH118, PTH120 - pathlib takes longer than the rest
FULL_WIDTH = 80
"""Columns from which click's text does not depend on the terminal."""


def short_answer(arguments: list[str]) -> str | None:
    """The whole output of such a command line. None: click answers it."""
    match arguments:
        case ["--version" | "-V"]:
            return f"cortexctl {__version__}\n"
        case [] | ["--help" | "-h"] if _columns() >= FULL_WIDTH:
            with open(HELP, encoding="utf-8") as file:  # noqa: PTH123
                return file.read()
    return None


def print_answer(text: str) -> int:
    """To stdout. Returns the exit code: 1 if nobody reads it."""
    if not sys.stdout:  # None if it is closed
        return 0
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails at its exit
        return 1
    return 0


def _columns() -> int:
    """The width of the terminal, as shutil.get_terminal_size reports it."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or FULL_WIDTH  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return FULL_WIDTH
