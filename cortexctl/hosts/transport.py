"""Where a host's engine listens, from the URL in the stack, and a connection to it."""

from __future__ import annotations

import io
import socket
import time

from cortexctl.errors import EngineError, EngineForbidden, EngineUnreachable

DEFAULT_DOCKER = "unix:///var/run/docker.sock"


def socket_path(docker: str) -> str:
    """The Unix socket's path. Raises EngineUnreachable for what this release cannot speak."""
    scheme, separator, path = docker.partition("://")
    if separator and scheme == "unix" and path:
        return path
    raise EngineUnreachable(
        f"{docker} cannot be reached: this release of cortexctl speaks to unix:// sockets only",
        next_step='set hosts.NAME.docker = "unix:///var/run/docker.sock", or DOCKER_HOST likewise',
    )


def connected(docker: str, seconds: float) -> socket.socket:
    """A connection to the engine; `seconds` bound each later call on it, too. Raises EngineUnreachable or
    EngineForbidden.
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


def unreachable(docker: str, cause: OSError) -> EngineError:
    """The error for a connection that cannot be made or that broke, with what to do about it."""
    start = "start the engine (systemctl start docker), or correct `docker` of the host in the stack"
    match cause:
        case PermissionError():
            return EngineForbidden(
                f"permission denied on {docker}",
                next_step="run as a user of the group that owns the socket: sudo usermod -aG docker $USER, "
                "then log in again",
            )
        case FileNotFoundError() | NotADirectoryError():
            return EngineUnreachable(f"no Docker engine at {docker}: there is no such socket", next_step=start)
        case ConnectionRefusedError():
            return EngineUnreachable(
                f"no Docker engine at {docker}: the socket is there and nobody listens", next_step=start
            )
        case TimeoutError():
            return EngineUnreachable(
                f"the engine at {docker} does not answer", next_step="is its disk full, or its daemon hung?"
            )
        case _:
            return EngineUnreachable(f"no Docker engine at {docker}: {cause.strerror or cause}", next_step=start)


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
