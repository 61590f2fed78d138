"""The product of a command, on stdout."""

from __future__ import annotations

import sys


def write(text: str, form: str) -> None:
    """To stdout: text as its reader takes it, all else in UTF-8, whatever the locale is, for so the formats are."""
    encoding = sys.stdout.encoding if form == "text" else "utf-8"
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode(encoding, "replace"))
    sys.stdout.buffer.flush()
