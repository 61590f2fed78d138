"""A log from the user: a file or stdin, read in pieces, because it may be larger than the memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from cortexctl.hosts.log import PIECE


def pieces_of(path: str) -> Iterator[bytes]:
    """The content of a file, or of stdin for "-". Raises OSError if it cannot be read."""
    with nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
