"""The product of a command, on stdout."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


def nobody_reads(stream: TextIO) -> None:
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


def write(text: str, form: str) -> None:
    """To stdout: text as its reader takes it, all else in UTF-8, whatever the locale is, for so the formats are."""
    encoding = sys.stdout.encoding if form == "text" else "utf-8"
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode(encoding, "backslashreplace"))
    sys.stdout.buffer.flush()
