"""The errors of the outside world: one class for each case that a caller can act on.

CortexctlError
├── DaemonError
│   ├── DaemonUnreachable     nothing answers at the URL
│   ├── DaemonForbidden       the socket exists, but the user may not open it
│   ├── DaemonTooOld          the daemon's API is older than we need
│   └── DaemonRefused         the daemon answered one request with an error
├── LockLost                  somebody released the lock during the run
├── ImageUnavailable          not on the host, and it cannot be pulled
├── SecretUnresolved          a reference without a readable value (its value is never in the message)
├── Refused                   nothing was touched, on purpose (exit 4)
│   ├── PlanStale             the state that the plan is based on has changed
│   ├── LockHeld              another run holds the lock
│   ├── NotApproved           nobody approved the plan
│   └── HookRefused           a required pre_apply hook failed
├── PathFailed                the path to a server does not work, so nothing is known about the server
├── NotListening              the path to a server works, but nothing listens at its port
├── ProbeFailed               a server gave a wrong answer or none
├── GateFailed                an instance did not become ready
├── HookFailed                a hook of the stack failed or timed out
├── NotifyFailed              a report was not delivered
├── Interrupted               by the user, before anything was changed
└── UsageError                the command line contains an invalid request

Problems in the user's stack are not exceptions: they are `diagnostics.Diagnostic` values.
Only `cortexctl.cli` turns either into text and an exit code.
"""

from __future__ import annotations


class CortexctlError(Exception):
    """One clear sentence, and the next command to run if there is one. `cause` and `fix`: a diagnosis of it, if any."""

    exit_code = 1

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.cause = ""
        self.fix = ""


class DaemonError(CortexctlError):
    pass


class DaemonUnreachable(DaemonError):
    pass


class DaemonForbidden(DaemonError):
    pass


class DaemonTooOld(DaemonError):
    pass


class DaemonRefused(DaemonError):
    """The message holds the daemon's own text; `status` is its HTTP status (0 if there was none)."""

    def __init__(self, message: str, *, status: int = 0, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.status = status


class ImageUnavailable(CortexctlError):
    pass


class SecretUnresolved(CortexctlError):
    pass


class Refused(CortexctlError):
    exit_code = 4


class PlanStale(Refused):
    pass


class LockHeld(Refused):
    pass


class LockLost(CortexctlError):
    """Somebody released the lock during the run."""


class NotApproved(Refused):
    pass


class HookRefused(Refused):
    pass


class HookFailed(CortexctlError):
    """`output` holds its last lines, with secrets hidden."""

    def __init__(self, message: str, *, output: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.output = output


class PathFailed(CortexctlError):
    """A fault of the path to a server. It is never a fault of the server, which may be healthy."""


class NotListening(CortexctlError):
    """Nothing listens at the port inside the container itself."""


class ProbeFailed(CortexctlError):
    """The message holds the server's own text."""


class GateFailed(CortexctlError):
    """`log` holds the container's last lines (secrets hidden), `messages` those of them that a person reads, `engine`
    the name of the engine that wrote it, `ended_with` the exit code (None while it runs). `cause` and `fix` are what
    the gate itself knows; `apply.explain` reads more from the log.
    """

    def __init__(
        self,
        message: str,
        *,
        log: tuple[str, ...] = (),
        messages: tuple[str, ...] = (),
        engine: str = "",
        ended_with: int | None = None,
        oom_killed: bool = False,
        cause: str = "",
        fix: str = "",
    ) -> None:
        super().__init__(message)
        self.log = log
        self.messages = messages or log
        self.engine = engine
        self.ended_with = ended_with
        self.oom_killed = oom_killed
        self.cause = cause
        self.fix = fix


class NotifyFailed(CortexctlError):
    """The message names only the receiver's host: the rest of its URL may be a secret."""


class Interrupted(CortexctlError):
    """By the user, before anything was changed."""

    exit_code = 130


class UsageError(CortexctlError):
    pass
