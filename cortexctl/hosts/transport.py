"""The address of a host's daemon, from the URL in the stack, and a connection to it."""

from __future__ import annotations

import socket

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
        connection.settimeout(seconds)
        connection.connect(path)
    except OSError as cause:
        connection.close()
        raise unreachable(docker, cause) from cause
    return connection


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
