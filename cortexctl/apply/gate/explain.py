"""Why a gate failed, out of the log that was saved. Asked once what can be brought back is back: an outage waits for
nobody who reads a log.
"""

from __future__ import annotations

from cortexctl.apply.events import LAST_ERROR
from cortexctl.engines.base import End
from cortexctl.engines.registry import DEFAULT, engine_named
from cortexctl.errors import CortexctlError, GateFailed, HookFailed
from cortexctl.text.shorten import shortened


def explained(failure: CortexctlError) -> CortexctlError:
    """With cause and fix, where the log shows one: what its engine knows of the log says more than what the gate saw,
    so it comes first. With the log's last word, where the gate itself knows no cause.
    """
    if not isinstance(failure, GateFailed):
        known = engine_named(DEFAULT).diagnose([failure.message], End())  # a daemon's own words are in its table
        if known is not None and not isinstance(failure, HookFailed):
            failure.cause, failure.fix = known.cause, known.fix
        return failure
    engine = engine_named(failure.engine or DEFAULT)
    found = engine.diagnose(failure.log, End(failure.ended_with, failure.oom_killed))
    last = "" if failure.cause else engine.last_error(failure.log)
    return GateFailed(
        shortened(failure.message + (f"; {engine.contract.title}{LAST_ERROR}{last}" if last else "")),
        log=failure.log,
        messages=engine.messages(failure.log),
        engine=failure.engine,
        ended_with=failure.ended_with,
        oom_killed=failure.oom_killed,
        cause=shortened(found.cause if found else failure.cause),
        fix=shortened(found.fix if found else failure.fix),
    )


def as_ours(cause: Exception) -> CortexctlError:
    """A failure of a step, whatever it is, in words of a bounded length."""
    if isinstance(cause, CortexctlError):
        cause.message = shortened(cause.message)  # a server's own words may be in it
        return cause
    return CortexctlError(
        f"this is a bug in cortexctl, please report it: {type(cause).__name__}: {shortened(str(cause))}"
    )
