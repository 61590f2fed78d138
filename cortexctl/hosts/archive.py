"""One file out of a container, running or not: the daemon's archive API gives it as a tar stream, of which no more is
read than is wanted. What is mounted into the container is seen, too.
"""

from __future__ import annotations

import posixpath
import tarfile
from typing import IO
from urllib.parse import quote

from cortexctl.errors import DaemonRefused
from cortexctl.hosts.http import TIMEOUT, WHOLE_ANSWER, message_in
from cortexctl.hosts.transport import connected, reader, unreachable

MOST_LINKS = 4
"""Symbolic links that are followed; the hub's cache has one on the way to a file."""
_NOT_FOUND, _OK = 404, 200


def read_file(docker: str, container: str, path: str, most: int) -> bytes | None:
    """The first `most` bytes of a file by its path in the container; None when there is no such file.

    Raises DaemonError, as when there is no such container.
    """
    for _ in range(MOST_LINKS + 1):
        found = _entry(docker, container, path, most)
        if not isinstance(found, str):
            return found
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), found))
    return None


def _entry(docker: str, container: str, path: str, most: int) -> bytes | str | None:
    """A file's bytes, or where a link leads; the daemon resolves links in the folders on the way, and no other."""
    request = f"GET /containers/{quote(container)}/archive?path={quote(path)} HTTP/1.0\r\nHost: docker\r\n\r\n"
    try:
        with connected(docker, TIMEOUT) as connection:
            connection.sendall(request.encode())
            with reader(connection, WHOLE_ANSWER) as answer:
                status = _status(answer)
                if status == _OK:
                    return _first(answer, most)
                said = message_in(answer.read(65536))
    except OSError as cause:
        raise unreachable(docker, cause) from cause
    except tarfile.TarError:
        raise DaemonRefused(f"{docker}: its archive of {path} cannot be read") from None
    if status == _NOT_FOUND and "o such container" not in said:
        return None
    raise DaemonRefused(f"{docker}: cannot read {path}: {said or f'status {status}'}", status=status)


def _status(answer: IO[bytes]) -> int:
    words = answer.readline(4096).split(b" ", 2)
    while answer.readline(65536).strip():
        pass
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else 0


def _first(answer: IO[bytes], most: int) -> bytes | str | None:
    with tarfile.open(fileobj=answer, mode="r|") as archive:
        entry = archive.next()
        if entry is None:
            return None
        if entry.issym():
            return entry.linkname
        file = archive.extractfile(entry) if entry.isfile() else None
        return file.read(most) if file else None
