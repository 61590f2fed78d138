"""A few private files in the user's cache: only this user reads and writes them, and nothing depends on them.

A file or a folder that another user could have changed counts as absent. A file is written whole and then put in its
place, and starts with the digest of its content, so a killed run, two runs at once and a full disk do no harm.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cortexctl.files.digest import digest

RETAINED = 16
"""Files; the oldest are deleted first."""
LARGEST = 8 * 2**20
"""Bytes of a file. A larger one is neither written nor read."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def read(folder: Path, name: str) -> bytes | None:
    """The content of a file; None if there is none that can be trusted."""
    with suppress(OSError), _opened(folder) as at:
        if not _is_private(os.fstat(at)):
            return None
        with os.fdopen(os.open(name, _FILE, dir_fd=at), "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode) or not _is_private(info):
                return None
            written, _, content = file.read(LARGEST + 1).partition(b"\n")
        if written == digest(content).encode():
            return content
    return None


def write(folder: Path, name: str, content: bytes) -> None:
    """In place of an earlier file of this name. Without effect if nothing can be written there."""
    data = digest(content).encode() + b"\n" + content
    if len(data) > LARGEST:
        return
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _opened(folder) as at:
            if not _is_private(os.fstat(at)):
                os.fchmod(at, 0o700)
            _replace(at, name, data)
            _prune(at)


def _replace(at: int, name: str, data: bytes) -> None:
    temporary = f".{name}.{os.getpid()}.{threading.get_ident()}"
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=at)  # of a killed run with the same number
    try:
        with os.fdopen(os.open(temporary, _NEW, 0o600, dir_fd=at), "wb") as file:
            file.write(data)
        os.replace(temporary, name, src_dir_fd=at, dst_dir_fd=at)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=at)
        raise


def _prune(at: int) -> None:
    """Another run may prune at the same time."""
    ages = {}
    for name in os.listdir(at):
        with suppress(OSError):
            ages[name] = os.stat(name, dir_fd=at, follow_symlinks=False).st_mtime_ns
    for name in sorted(ages, key=lambda n: ages[n], reverse=True)[RETAINED:]:
        with suppress(OSError):
            os.unlink(name, dir_fd=at)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """The folder itself: not a link, and not another folder that replaces it meanwhile. Raises OSError, also for a
    folder of another user.
    """
    at = os.open(folder, _FOLDER)
    try:
        if os.fstat(at).st_uid != os.geteuid():
            raise PermissionError
        yield at
    finally:
        os.close(at)


def _is_private(info: os.stat_result) -> bool:
    return info.st_uid == os.geteuid() and not info.st_mode & 0o077
