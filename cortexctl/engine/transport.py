"""Where a host's engine listens, from the URL in the stack."""

from __future__ import annotations

from cortexctl.errors import EngineUnreachable

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
