"""Files that cortexctl wrote, or that claim to be such: plans and snapshots."""

from __future__ import annotations

from pathlib import Path

from cortexctl.errors import UsageError


def read_document(file: str, most: int) -> str:
    """The text of a file. Reads at most `most` bytes, and one more to detect a larger file. Raises UsageError."""
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(most + 1)
    except OSError as cause:
        raise UsageError(f"cannot read {file}: {cause.strerror}") from cause
    if len(data) > most:
        raise UsageError(f"cannot read {file}: it is larger than {most // 2**20} MiB")
    try:
        return data.decode()
    except UnicodeDecodeError as cause:
        raise UsageError(f"cannot read {file}: it is not text") from cause
