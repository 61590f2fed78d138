"""Files that others may read while they are written."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from cortexctl.errors import UsageError


def write_atomic(file: str, text: str) -> None:
    """The whole text or the old one, at any moment: a collector never reads half a file. Raises UsageError."""
    path = Path(file).resolve()  # through a link, to what it points at
    data = text.encode("utf-8", "replace")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)  # a pipe or a device is written to, never replaced
        else:
            _replace(path, data)
    except OSError as cause:
        raise UsageError(f"cannot write {file}: {cause.strerror or cause}") from cause


def _replace(path: Path, data: bytes) -> None:
    """The new file has another ending until it is whole, so that a collector that looks for *.prom passes over it."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _umask() -> int:
    """There is no way to ask for it but to set it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
