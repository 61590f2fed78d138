"""A log that the user gives: a file or stdin, read in pieces, because it may be larger than the memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from cortexctl.hosts.log import PIECE


def pieces_of(path: str) -> Iterator[bytes]:
    """Of a file, or of stdin for "-". Raises OSError when it cannot be read."""
    with nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
