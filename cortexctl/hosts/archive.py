"""One file out of a container, running or not: the daemon's archive API returns a tar stream, and only the needed part
is read. Files in mounts are visible, too.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

from cortexctl.errors import DaemonRefused
from cortexctl.hosts.http import NOT_FOUND, OK, OpenAnswer, message_in, opened
from cortexctl.hosts.transport import Transport

WHOLE_FILE = 30.0
"""Seconds for the part of a file that is read."""
LONGEST_REFUSAL = 65536
"""Maximum number of bytes of a refusal that are read."""
Part = TypeVar("Part")
MOST_LINKS = 4
"""Maximum number of symbolic links to follow; the hub's cache has one on the path to a file."""


def read_file(transport: Transport, container: str, path: str, most: int) -> bytes | None:
    """The first `most` bytes of a file by its path in the container; None if there is no such file.

    Raises DaemonError, also if there is no such container.
    """
    for _ in range(MOST_LINKS + 1):
        entry = _entry(transport, container, path, most)
        if not isinstance(entry, str):
            return entry
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), entry))
    return None


def is_empty_folder(transport: Transport, container: str, path: str) -> bool | None:
    """Whether a folder in the container has no entries; None if there is no such folder. Raises DaemonError."""
    return _from_archive(transport, container, path, _is_empty)


def _entry(transport: Transport, container: str, path: str, most: int) -> bytes | str | None:
    """A file's bytes, or the target of a link; the daemon resolves links in parent folders, and no others."""
    return _from_archive(transport, container, path, lambda answer: _first(answer, most))


def _from_archive(transport: Transport, container: str, path: str, read: Callable[[OpenAnswer], Part]) -> Part | None:
    """The needed part of the daemon's tar stream; None if there is no such file or folder."""
    request = f"/containers/{quote(container)}/archive?path={quote(path)}"
    try:
        with opened(transport, "GET", request, whole=WHOLE_FILE) as answer:
            if answer.status == OK:
                return read(answer)
            message, status = message_in(answer.read(LONGEST_REFUSAL)), answer.status
    except tarfile.TarError:
        raise DaemonRefused(f"{transport.url}: its archive of {path} cannot be read") from None
    if status == NOT_FOUND and "o such container" not in message:
        return None
    raise DaemonRefused(f"{transport.url}: cannot read {path}: {message or f'status {status}'}", status=status)


def _is_empty(answer: OpenAnswer) -> bool | None:
    with tarfile.open(fileobj=answer, mode="r|") as archive:
        folder = archive.next()
        if folder is None or not (folder.isdir() or folder.issym()):
            return None
        return archive.next() is None and folder.isdir()  # a link leads elsewhere: its folder counts as filled


def _first(answer: OpenAnswer, most: int) -> bytes | str | None:
    with tarfile.open(fileobj=answer, mode="r|") as archive:
        entry = archive.next()
        if entry is None:
            return None
        if entry.issym():
            return entry.linkname
        file = archive.extractfile(entry) if entry.isfile() else None
        return file.read(most) if file else None
