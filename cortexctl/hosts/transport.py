"""Where a host's daemon listens, from the URL in the stack, and a connection to it."""

from __future__ import annotations

import io
import socket
import time

from cortexctl.errors import DaemonError, DaemonForbidden, DaemonUnreachable

DEFAULT_DOCKER = "unix:///var/run/docker.sock"


def socket_path(docker: str) -> str:
    """The Unix socket's path. Raises DaemonUnreachable for what this release cannot speak."""
    scheme, separator, path = docker.partition("://")
    if separator and scheme == "unix" and path:
        return path
    raise DaemonUnreachable(
        f"{docker} cannot be reached: this release of cortexctl speaks to unix:// sockets only",
        next_step='set hosts.NAME.docker = "unix:///var/run/docker.sock", or DOCKER_HOST likewise',
    )


def connected(docker: str, seconds: float) -> socket.socket:
    """A connection to the daemon; `seconds` bound each later call on it, too. Raises DaemonUnreachable or
    DaemonForbidden.
    """
    path = socket_path(docker)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(path)
    except OSError as cause:
        connection.close()
        raise unreachable(docker, cause) from cause
    return connection


def unreachable(docker: str, cause: OSError) -> DaemonError:
    """The error for a connection that cannot be made or that broke, with what to do about it."""
    start = "start the daemon (systemctl start docker), or correct `docker` of the host in the stack"
    match cause:
        case PermissionError():
            return DaemonForbidden(
                f"permission denied on {docker}",
                next_step="run as a user of the group that owns the socket: sudo usermod -aG docker $USER, "
                "then log in again",
            )
        case FileNotFoundError() | NotADirectoryError():
            return DaemonUnreachable(f"no Docker daemon at {docker}: there is no such socket", next_step=start)
        case ConnectionRefusedError():
            return DaemonUnreachable(
                f"no Docker daemon at {docker}: the socket is there and nobody listens", next_step=start
            )
        case TimeoutError():
            return DaemonUnreachable(
                f"the daemon at {docker} does not answer", next_step="is its disk full, or its daemon hung?"
            )
        case _:
            return DaemonUnreachable(f"no Docker daemon at {docker}: {cause.strerror or cause}", next_step=start)


class _UntilThen(io.RawIOBase):
    """What a connection gives, up to one moment for all of it."""

    def __init__(self, connection: socket.socket, end: float) -> None:
        self._connection = connection
        self._end = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # RawIOBase takes any buffer
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def reader(connection: socket.socket, seconds: float) -> io.BufferedReader:
    """A file to read from a connection: all of it within so many seconds. Raises TimeoutError when they are over."""
    return io.BufferedReader(_UntilThen(connection, time.monotonic() + seconds))
