"""Translates the errors of a request that changes something into errors that name its host and its purpose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cortexctl.decoding.readers import NotAsExpected
from cortexctl.errors import DaemonError, DaemonRefused, DaemonUnreachable
from cortexctl.hosts.daemon_api import Lost, Refusal
from cortexctl.hosts.transport import Connection
from cortexctl.text.shorten import shortened

UNREADABLE = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""The errors of code that reads an answer of an unexpected shape."""


@contextmanager
def translated_errors(at: Connection, what: str, container: str = "") -> Iterator[None]:
    """Raises DaemonRefused with the daemon's own message, or DaemonUnreachable, for requests inside the block."""
    name = container[:12] if len(container) == 64 else container
    subject = f"{what} {name}".rstrip()
    try:
        yield
    except Refusal as cause:
        message = shortened(cause.explanation)
        raise DaemonRefused(f"{at.name}: cannot {subject}: {message}", status=cause.status) from cause
    except NotAsExpected as cause:
        raise DaemonRefused(f"{at.name}: cannot {subject}: the daemon's answer cannot be read: {cause}") from cause
    except UNREADABLE as cause:
        raise DaemonRefused(
            f"{at.name}: cannot {subject}: the daemon's answer cannot be read ({type(cause).__name__})"
        ) from cause
    except Lost as cause:
        raise DaemonUnreachable(
            f"{at.name}: the daemon at {at.url} stopped answering (cannot {subject})",
            next_step="check that it runs, then plan again: every step can be repeated",
        ) from cause


@contextmanager
def reading(at: Connection, what: str) -> Iterator[None]:
    """Raises the errors of our own reader, with the host's name and the fact that was read."""
    try:
        yield
    except DaemonRefused as cause:
        message = f"{at.name}: cannot read {what}: {cause.message}"
        raise DaemonRefused(message, status=cause.status, next_step=cause.next_step) from cause
    except DaemonError as cause:
        raise DaemonUnreachable(f"{at.name}: cannot read {what}: {cause.message}", next_step=cause.next_step) from cause
