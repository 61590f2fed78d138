"""Files for the eyes of their owner alone: plans, events, the audit log."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

OWNER_ONLY = 0o600


def open_private(path: str | os.PathLike[str], *, add: bool = False) -> int:
    """A file descriptor to write to: the file anew or, with `add`, at its end. Nobody but the owner can read what was
    not there before. A file that exists loses the rights of others and gets none; a pipe or a device stays as it is.

    Raises OSError; PermissionError for somebody else's file that would be written anew.
    """
    how = os.O_APPEND | os.O_NONBLOCK if add else 0  # a pipe that nobody reads is refused, not waited for
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, OWNER_ONLY)
    try:
        _make_private(file, add=add)
    except BaseException:
        os.close(file)
        raise
    return file


def write_private(path: str | os.PathLike[str], text: str) -> None:
    """The text as UTF-8, for the owner alone. Raises OSError."""
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
        with suppress(PermissionError):  # a shared log belongs to somebody else, who chose its rights
            os.fchmod(file, mode & OWNER_ONLY)
    if not add:
        os.ftruncate(file, 0)
