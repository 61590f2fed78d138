"""What can go wrong in the world outside, one class per thing a caller can do something about.

CortexctlError
├── DaemonError
│   ├── DaemonUnreachable     nothing answers at the URL
│   ├── DaemonForbidden       the socket is there, the user may not open it
│   ├── DaemonTooOld          answers, but with an API older than we need
│   └── DaemonRefused         answered one request with an error
├── LockLost                  somebody released the lock of a run that goes on
├── ImageUnavailable          not on the host, and it cannot be pulled
├── SecretUnresolved          a reference that leads nowhere (its value is never in the message)
├── Refused                   nothing was touched, on purpose (exit 4)
│   ├── PlanStale             what the plan looked at has changed
│   ├── LockHeld              somebody else applies
│   ├── NotApproved           nobody said yes
│   └── HookRefused           a pre_apply hook that is required failed
├── PathFailed                a server cannot be asked: the way to it does not work, and nothing is known of it
├── NobodyListens             the way to a server works, and nobody listens at its port
├── ProbeFailed               a server answered wrongly, or not at all
├── GateFailed                an instance did not become ready
├── HookFailed                a hook of the stack failed, or was not done in time
├── NotifyFailed              a report did not get to whom it was for
└── UsageError                the command line asks for something that cannot be

Problems in the user's stack are not exceptions: they are `diagnostics.Diagnostic` values.
Only `cortexctl.cli` turns either into text and an exit code.
"""

from __future__ import annotations


class CortexctlError(Exception):
    """One clear sentence, and where there is one, the next command to run."""

    exit_code = 1

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step


class DaemonError(CortexctlError):
    pass


class DaemonUnreachable(DaemonError):
    pass


class DaemonForbidden(DaemonError):
    pass


class DaemonTooOld(DaemonError):
    pass


class DaemonRefused(DaemonError):
    """The daemon's own words are in the message; `status` is its HTTP status (0 when there was none)."""

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
    """Somebody released the lock of a run that goes on."""


class NotApproved(Refused):
    pass


class HookRefused(Refused):
    pass


class HookFailed(CortexctlError):
    """`output` holds what it said last, its secrets hidden."""

    def __init__(self, message: str, *, output: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.output = output


class PathFailed(CortexctlError):
    """A fault of the way to a server. It is never a fault of the server, which may be in perfect health."""


class NobodyListens(CortexctlError):
    """Nobody listens at the port, in the very container that was asked."""


class ProbeFailed(CortexctlError):
    """The message holds the server's own words."""


class GateFailed(CortexctlError):
    """`log` holds the container's last lines (its secrets hidden), `ended_with` its exit code (None while it runs).
    `cause` and `fix` are what the gate itself knows; `apply.explain` reads more out of the log.
    """

    def __init__(
        self,
        message: str,
        *,
        log: tuple[str, ...] = (),
        ended_with: int | None = None,
        oom_killed: bool = False,
        cause: str = "",
        fix: str = "",
    ) -> None:
        super().__init__(message)
        self.log = log
        self.ended_with = ended_with
        self.oom_killed = oom_killed
        self.cause = cause
        self.fix = fix


class NotifyFailed(CortexctlError):
    """The message names the receiver's host and nothing else of its URL, which may be a secret."""


class UsageError(CortexctlError):
    pass
