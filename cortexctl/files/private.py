"""Files that only their owner can read: plans, events, the audit log."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

OWNER_ONLY = 0o600


def open_private(path: str | os.PathLike[str], *, add: bool = False) -> int:
    """A file descriptor for writing: replaces the file or, with `add`, appends to it. Only the owner can read a new
    file. An existing file loses the permissions of others and gets no new ones; a pipe or a device keeps its own.

    Raises OSError; PermissionError if the file to replace belongs to another user.
    """
    flags = os.O_APPEND | os.O_NONBLOCK if add else 0  # a pipe without a reader is an error, not a wait
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, OWNER_ONLY)
    try:
        _make_private(file, add=add)
    except BaseException:
        os.close(file)
        raise
    return file


def write_private(path: str | os.PathLike[str], text: str) -> None:
    """The text as UTF-8, for the owner only. Raises OSError."""
    with os.fdopen(open_private(path), "wb") as file:
        file.write(text.encode("utf-8"))


def _make_private(file: int, *, add: bool) -> None:
    info = os.fstat(file)
    if not stat.S_ISREG(info.st_mode):
        return
    mode, us = stat.S_IMODE(info.st_mode), os.geteuid()
    if not add and us not in {info.st_uid, 0}:
        raise PermissionError(errno.EPERM, "it belongs to another user, who could change it")
    if mode & ~OWNER_ONLY:
        with suppress(PermissionError):  # a shared log belongs to somebody else, who chose its permissions
            os.fchmod(file, mode & OWNER_ONLY)
    if not add:
        os.ftruncate(file, 0)
