"""The address of a host's daemon, from the URL in the stack, and a connection to it."""

from __future__ import annotations

import socket
import struct

from cortexctl.errors import DaemonError, DaemonForbidden, DaemonUnreachable

DEFAULT_DOCKER = "unix:///var/run/docker.sock"


def socket_path(docker: str) -> str:
    """The Unix socket's path. Raises DaemonUnreachable if this release does not support the URL."""
    scheme, separator, path = docker.partition("://")
    if separator and scheme == "unix" and path:
        return path
    raise DaemonUnreachable(
        f"{docker} cannot be reached: this release of cortexctl supports only unix:// sockets",
        next_step='set hosts.NAME.docker = "unix:///var/run/docker.sock", or DOCKER_HOST to such a URL',
    )


def connected(docker: str, seconds: float) -> socket.socket:
    """A connection to the daemon; `seconds` bound each later call on it, too. Raises DaemonUnreachable or
    DaemonForbidden.
    """
    path = socket_path(docker)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # With Python's time-out, a connection to a daemon with a full queue fails at once. With the kernel's, it waits.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(seconds))
        connection.connect(path)
        connection.settimeout(seconds)
    except BlockingIOError as cause:
        connection.close()
        raise unreachable(docker, TimeoutError()) from cause
    except OSError as cause:
        connection.close()
        raise unreachable(docker, cause) from cause
    return connection


def _timeval(seconds: float) -> bytes:
    """At least a microsecond: 0 would be no limit."""
    whole, part = divmod(max(round(seconds * 1e6), 1), 1_000_000)
    return struct.pack("@ll", whole, part)


def unreachable(docker: str, cause: OSError) -> DaemonError:
    """The error for a connection that cannot be made or that broke, with the next step."""
    start = "start the daemon (systemctl start docker), or correct `docker` of the host in the stack"
    match cause:
        case PermissionError():
            return DaemonForbidden(
                f"permission denied on {docker}",
                next_step="run as a user of the group that owns the socket: sudo usermod -aG docker $USER, "
                "then log in again",
            )
        case FileNotFoundError() | NotADirectoryError():
            return DaemonUnreachable(f"no Docker daemon at {docker}: the socket does not exist", next_step=start)
        case ConnectionRefusedError():
            return DaemonUnreachable(
                f"no Docker daemon at {docker}: the socket exists, but no process listens on it", next_step=start
            )
        case TimeoutError():
            return DaemonUnreachable(
                f"the daemon at {docker} does not answer", next_step="is its disk full, or its daemon hung?"
            )
        case _:
            return DaemonUnreachable(f"no Docker daemon at {docker}: {cause.strerror or cause}", next_step=start)
