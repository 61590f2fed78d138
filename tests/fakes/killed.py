"""A run that is killed: nothing that it began comes to an end, and nobody tidies up after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.fakes.world import World


class Killed(BaseException):
    """No `Exception`: nothing in a run that is killed can catch it."""


@contextmanager
def killed_after(world: World, calls: int | None) -> Iterator[None]:
    """What is run inside ends after so many changing calls to the daemons, all hosts together. None: it is not killed.

    Its lock counts as a dead holder's afterwards, as the next run would find it.
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
