"""The faults of a fake daemon, and their moments.

    daemon.faults.fail("set_restart", call=2)                the second call is refused, once
    daemon.faults.fail("rename", after="pass_gate", times=2) the first two calls once a step of this kind is done
    daemon.faults.fail("start", answer_lost=True)            the daemon starts it, and the answer never arrives
    daemon.faults.away("stop", seconds=30)                   unreachable from the first stop on, by the fake clock
    daemon.faults.away(after="pass_gate", calls=3)           unreachable for three calls, whatever they are
    daemon.faults.late("state", seconds=5)                   answers, and only after five seconds

Methods are those of `apply.protocols.Daemon` (and `observe`); every fault counts its own calls, from 1.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from cortexctl.apply.protocols import Clock
from cortexctl.errors import DaemonError, DaemonRefused, DaemonUnreachable

ALWAYS = sys.maxsize
"""As `times`: from that call on."""
REFUSED = DaemonRefused("device or resource busy", status=500)
UNREACHABLE = DaemonUnreachable("nothing answers")

P = ParamSpec("P")
Answer = TypeVar("Answer")


@dataclass
class Fault:
    """One fault, and how much of it has happened."""

    method: str
    """Empty: every method."""
    call: int
    times: int
    after: str
    """The kind of step that must be done before calls count; empty: they count from the beginning."""
    error: DaemonError | None = None
    answer_lost: bool = False
    delay: float = 0.0
    away: bool = False
    away_seconds: float = 0.0
    """Seconds for which the daemon is away; if 0, it is away for `times` calls of any method."""
    _calls: int = 0
    _away_until: float | None = None

    def strikes(self, method: str, now: float) -> bool:
        """Whether it concerns this call, which is counted."""
        if self.after:
            return False
        if self._away_until is not None:
            return now < self._away_until
        began = self.away and self._calls >= self.call
        if method != self.method and self.method and not began:
            return False
        self._calls += 1
        if self.away_seconds and self._calls == self.call:
            self._away_until = now + self.away_seconds
        return self.call <= self._calls < self.call + self.times


@dataclass
class Faults:
    """The faults of one daemon, by a fake clock."""

    clock: Clock | None = None
    _faults: list[Fault] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def fail(
        self,
        method: str,
        *,
        call: int = 1,
        times: int = 1,
        after: str = "",
        error: DaemonError = REFUSED,
        answer_lost: bool = False,
    ) -> None:
        """The method's calls from `call` on raise `error`, `times` of them. With `answer_lost` the daemon does what it
        was asked for, and the caller gets an error all the same.
        """
        error = UNREACHABLE if answer_lost and error is REFUSED else error
        self._faults.append(Fault(method, call, times, after, error, answer_lost))

    def away(
        self, method: str = "", *, call: int = 1, after: str = "", calls: int = ALWAYS, seconds: float = 0.0
    ) -> None:
        """From the `call`-th call of the method on, that one included, no method is answered: for
        `calls` calls, or for `seconds`.
        """
        self._faults.append(Fault(method, call, calls, after, UNREACHABLE, away=True, away_seconds=seconds))

    def late(self, method: str, seconds: float, *, call: int = 1, times: int = 1, after: str = "") -> None:
        """The answer takes `seconds` of the fake clock."""
        self._faults.append(Fault(method, call, times, after, delay=seconds))

    def clear(self) -> None:
        """From now on everything works."""
        self._faults.clear()

    def step_done(self, kind: str) -> None:
        """A step of this kind is done: faults `after` it are armed."""
        with self._guard:
            for fault in self._faults:
                fault.after = "" if fault.after == kind else fault.after

    def strike(self, host: str, method: str) -> DaemonError | None:
        """Called before the daemon carries a call out. Raises the error of a fault. Returns an error to raise after the
        call, if the daemon must act first.
        """
        with self._guard:
            now = self.clock.elapsed() if self.clock else 0.0
            striking = [fault for fault in self._faults if fault.strikes(method, now)]
        for fault in striking:
            if fault.delay and self.clock:
                self.clock.sleep(fault.delay)
        failing = [fault for fault in striking if fault.error is not None]
        if not failing or failing[0].error is None:
            return None
        error = _of_host(failing[0].error, host)
        if not failing[0].answer_lost:
            raise error
        return error


class HasFaults(Protocol):
    host: str
    faults: Faults


Daemon = TypeVar("Daemon", bound=HasFaults)


def faulty(method: Callable[Concatenate[Daemon, P], Answer]) -> Callable[Concatenate[Daemon, P], Answer]:
    """A method of a fake daemon that its faults concern."""

    @functools.wraps(method)
    def call(daemon: Daemon, /, *args: P.args, **kwargs: P.kwargs) -> Answer:
        lost = daemon.faults.strike(daemon.host, method.__name__)
        answer = method(daemon, *args, **kwargs)
        if lost is not None:
            raise lost
        return answer

    return call


def _of_host(error: DaemonError, host: str) -> DaemonError:
    """The error with the host's name in front of its message, like the errors of the real adapter."""
    message = error.message if error.message.startswith(f"{host}: ") else f"{host}: {error.message}"
    if isinstance(error, DaemonRefused):
        return DaemonRefused(message, status=error.status, next_step=error.next_step)
    return type(error)(message, next_step=error.next_step)
