"""Why a gate failed, out of the log that was saved. Asked once what can be brought back is back: an outage waits for
nobody who reads a log.
"""

from __future__ import annotations

from cortexctl.engines.vllm.diagnosis.diagnose import diagnose_end
from cortexctl.engines.vllm.diagnosis.lines import last_error_line
from cortexctl.errors import CortexctlError, GateFailed
from cortexctl.text.shorten import shortened


def explained(failure: CortexctlError) -> CortexctlError:
    """With cause and fix, where the log shows one: what vLLM's log is known to mean says more than what the gate saw,
    so it comes first. With the log's last word, where the gate itself knows no cause.
    """
    if not isinstance(failure, GateFailed):
        return failure
    found = diagnose_end(failure.log, failure.ended_with, oom_killed=failure.oom_killed)
    last = "" if failure.cause else last_error_line(failure.log)
    return GateFailed(
        shortened(failure.message + (f"; vLLM's last word: {last}" if last else "")),
        log=failure.log,
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
