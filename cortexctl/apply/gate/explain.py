"""Why a gate failed, from the saved log. Called after everything that can be restored is restored, because the outage
must not wait for it.
"""

from __future__ import annotations

from cortexctl.apply.events import LAST_ERROR
from cortexctl.engines.base import End
from cortexctl.engines.registry import DEFAULT, engine_named
from cortexctl.errors import CortexctlError, GateFailed, HookFailed
from cortexctl.text.shorten import shortened


def explained(failure: CortexctlError) -> CortexctlError:
    """With cause and fix, if the log shows one: they come first, because the engine's knowledge of the log is more
    precise than what the gate saw. Otherwise with the last error of the log, if the gate itself knows no cause.
    """
    if not isinstance(failure, GateFailed):
        known = engine_named(DEFAULT).diagnose([failure.message], End())  # a daemon's own message is in its table
        if known is not None and not isinstance(failure, HookFailed):
            failure.cause, failure.fix = known.cause, known.fix
        return failure
    engine = engine_named(failure.engine or DEFAULT)
    diagnosis = engine.diagnose(failure.log, End(failure.ended_with, failure.oom_killed))
    last = "" if failure.cause else engine.last_error(failure.log)
    return GateFailed(
        shortened(failure.message + (f"; {engine.contract.title}{LAST_ERROR}{last}" if last else "")),
        log=failure.log,
        messages=engine.messages(failure.log),
        engine=failure.engine,
        ended_with=failure.ended_with,
        oom_killed=failure.oom_killed,
        cause=shortened(diagnosis.cause if diagnosis else failure.cause),
        fix=shortened(diagnosis.fix if diagnosis else failure.fix),
    )


def as_ours(cause: Exception) -> CortexctlError:
    """The failure of a step of any kind, with a text of limited length."""
    if isinstance(cause, CortexctlError):
        cause.message = shortened(cause.message)  # a server's own message may be in it
        return cause
    return CortexctlError(
        f"this is a bug in cortexctl, please report it: {type(cause).__name__}: {shortened(str(cause))}"
    )
