"""A run that is killed: it stops in the middle, and nothing cleans up after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.fakes.world import World


class Killed(BaseException):
    """Not an `Exception`, so that the killed run cannot catch it."""


@contextmanager
def killed_after(world: World, calls: int | None) -> Iterator[None]:
    """The run inside is killed after `calls` calls that change a daemon, all hosts together. None: it is not killed.

    Afterwards its lock is released, as the next run would release the lock of a dead holder.
    """
    left = calls

    def count() -> None:
        nonlocal left
        if left is None:
            return
        if left <= 0:
            raise Killed
        left -= 1

    daemons = list(world.daemons.by_host.values())
    for daemon in daemons:
        daemon.before_call = count
    try:
        with suppress(Killed):
            yield
    finally:
        for daemon in daemons:
            daemon.before_call = lambda: None
            daemon.volumes.clear()
