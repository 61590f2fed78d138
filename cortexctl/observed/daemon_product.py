"""Whether a daemon is Podman. Pure."""

from __future__ import annotations

_NAMES = ("podman", "libpod")


def is_podman(server: str) -> bool:
    """`server`: the Server header of its answers, or the name of a component of it."""
    return any(name in server.lower() for name in _NAMES)
