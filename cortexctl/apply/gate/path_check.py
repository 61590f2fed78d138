"""The gate's route is tried with the serving instance, before that is stopped for a gate that could never reach the new
one.
"""

from __future__ import annotations

from cortexctl.apply.gate.gate import REACHED_WITHIN
from cortexctl.apply.gate.pacing import SLOW_POLL
from cortexctl.apply.protocols import Clock
from cortexctl.errors import NotListening, PathFailed
from cortexctl.reach import Reach

QUICK = 5.0
"""Seconds for a connection to a running server."""


def try_reach(reach: Reach, name: str, clock: Clock) -> str:
    """The address at which the server in the container `name` was reached. Its health does not matter: while it loads
    nothing listens, and the route still works. Raises PathFailed.
    """
    until = clock.elapsed() + REACHED_WITHIN
    while True:
        try:
            reach.connect(QUICK).close()
        except NotListening as cause:
            return cause.message
        except (PathFailed, TimeoutError) as cause:
            if clock.elapsed() >= until:
                raise _failed(name, cause) from cause
            clock.sleep(SLOW_POLL)
        else:
            return f"at {reach.target}"


def _failed(name: str, cause: PathFailed | TimeoutError) -> PathFailed:
    why = cause.message if isinstance(cause, PathFailed) else f"no connection within {QUICK:g} s"
    return PathFailed(
        f"the server in {name} cannot be reached from here, so its replacement could not be checked either: {why}",
        next_step=cause.next_step if isinstance(cause, PathFailed) else "",
    )
