"""The gate: the checks that an instance must pass before it serves. Ends as soon as the container does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from cortexctl.apply.events import Probe
from cortexctl.apply.gate.deadline import Deadline
from cortexctl.apply.gate.pacing import POLL, SLOW_POLL, WATCH_POLL, checks_every, inspects_every
from cortexctl.apply.gate.reporter import GateReporter
from cortexctl.apply.gate.speed_bounds import figures, missed
from cortexctl.apply.protocols import Clock, Daemon, Prober
from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Policy, Smoke
from cortexctl.engines.base import Contract, Engine
from cortexctl.errors import DaemonError, DaemonUnreachable, GateFailed, PathFailed, ProbeFailed
from cortexctl.instance.secret import hidden
from cortexctl.instance.spec import Spec
from cortexctl.observed.container_state import ContainerState
from cortexctl.plan.model import Change
from cortexctl.reach import Reach
from cortexctl.text.shorten import shortened
from cortexctl.text.units import show_bytes, show_seconds

LOG_EVERY = 1.5
"""Seconds between reads of the log for the stage."""
LOG_TAIL = 200
FULL_LOG = 5000
"""Number of lines that are stored of a failed candidate, because it is removed."""
REACHED_WITHIN = 15.0
"""Seconds in which a server that reports to be up must answer, and for which a failed route to it is tried again."""
LAPSE = 3.0
"""Seconds without a good answer after which a server that was ready counts as gone."""
DYING = 1.0
"""Seconds in which the end of a container becomes visible after its server broke off an answer."""
ENDING = 10.0
"""The same, while nothing listens at its port: a busy daemon notices the end of a container seconds late."""
STAYS_UP = "checking that it stays up"
"""The last stage of a gate."""
NO_CONNECTION = "no connection"
"""The prober's answer if nothing listens at the port."""
KILLED = 137
LATE_NOTICE = 0.5
"""Seconds in which a busy daemon learns that the kernel killed a process for lack of memory: it learns of the end
first.
"""

Got = TypeVar("Got")


@dataclass(frozen=True, slots=True)
class Listener:
    """Functions that a gate calls. `answers`: the server has answered its first requests: from now on the gate only
    waits until `stable_for` has passed. `reads`: with the GiB/s at which it read its weights, as its log shows.
    """

    answers: Callable[[], None] = lambda: None
    reads: Callable[[float], None] = lambda _rate: None


NO_LISTENER = Listener()


@dataclass(frozen=True, slots=True)
class Gate:
    """One run of the gate over one container."""

    daemon: Daemon
    prober: Prober
    clock: Clock
    container: str
    change: Change
    engine: Engine
    api_key: str | None
    reporter: GateReporter
    secrets: tuple[str, ...] = ()
    """Values that must not be shown if the server writes them into its log."""
    listener: Listener = NO_LISTENER

    def pass_or_fail(self) -> str:
        """Process up, /health, served names, a smoke request, bounds, still up. Returns its answer and the address.

        Raises GateFailed with the end of the log and no diagnosis of it: the old state is restored first.
        """
        reach = self.daemon.reach(self.container)
        self._until_healthy(reach)
        self.reporter.stage("checking the served names")
        self._names(reach)
        texts = [self._smoke(reach), self._bounds(reach)]
        self.reporter.stage(STAYS_UP)
        self.listener.answers()
        self._stay_up(reach)
        answer = hidden("; ".join(s for s in texts if s), self.secrets)
        return f"{answer} at {reach.target}" if answer else f"at {reach.target}"

    def _until_healthy(self, reach: Reach) -> None:
        deadline = Deadline(self.policy.gate, self.engine)
        next_log, up_since, unread, rate = LOG_EVERY, None, "", None
        next_inspection = 0.0
        self.reporter.stage(deadline.stage)
        while True:
            began = self.reporter.seconds
            if began >= next_inspection:
                self._alive()
                next_inspection = began + inspects_every(began)
            status = self._health(reach)
            if not status:
                return
            waited = self.reporter.seconds
            if waited >= next_log or deadline.is_over(waited):
                next_log = waited + LOG_EVERY
                log, unread = self._log(LOG_TAIL)
                if not unread:
                    deadline.update(log, waited)
                    rate = self._read_rate(log) if rate is None else rate
                self.reporter.stage(deadline.stage)
                up_since = (up_since if up_since is not None else waited) if deadline.serves else None
            if up_since is not None and waited - up_since > REACHED_WITHIN and not status.startswith("status"):
                raise self._elsewhere(reach, status)
            if deadline.is_over(waited):
                what, fix = deadline.missed(waited)
                stage = f"its log cannot be read ({unread})" if unread else f"last stage in its log: {deadline.stage}"
                cause = f"{stage}; {self._contract.health} at {reach.target}: {status}"
                raise self._failed("health", what, cause=cause, fix=fix)
            self._pause(reach, checks_every(began, needs_daemon=reach.needs_daemon))

    def _read_rate(self, log: Sequence[str]) -> float | None:
        rate = self.engine.read_rate(log, self._spec.server) if self._spec else None
        if rate is not None:
            self.listener.reads(rate)
        return rate

    def _pause(self, reach: Reach, seconds: float = POLL) -> None:
        self.clock.sleep(SLOW_POLL if reach.is_slow else seconds)

    def _elsewhere(self, reach: Reach, status: str) -> GateFailed:
        """Waiting longer does not help, and the old container is down meanwhile."""
        return self._failed(
            "health",
            f"its log shows that it serves, but it does not answer at {reach.target} ({status})",
            cause="it listens at another port or address than cortexctl gave it",
            fix="remove --port and --host from the image's own arguments",
        )

    def _request(self, request: Callable[[], Got]) -> Got:
        """A route that fails briefly is tried again while the container runs. A route that fails completely is not the
        server's fault. Raises PathFailed.
        """
        until = self.clock.elapsed() + REACHED_WITHIN
        while True:
            try:
                return request()
            except PathFailed as cause:
                self._alive()
                if self.clock.elapsed() >= until:
                    message = f"it runs, but its health cannot be checked: {cause.message}"
                    raise PathFailed(hidden(message, self.secrets), next_step=cause.next_step) from cause
            self.clock.sleep(SLOW_POLL)

    def _names(self, reach: Reach) -> None:
        try:
            served = set(self._request(lambda: self.prober.served_names(reach, self.api_key)))
        except ProbeFailed as cause:
            raise self._broke_off("names", reach, f"{self._contract.models}: {cause.message}") from None
        there = ", ".join(sorted(served)) or "nothing"
        missing = sorted(set(self._spec.server.served_names) - served) if self._spec else []
        if missing:
            raise self._failed(
                "names",
                f"it does not serve {', '.join(missing)}; {self._contract.models} lists {there}",
                cause="the image serves other names than the stack's served_names",
                fix="correct served_names, or the image's own arguments",
            )
        self.reporter.probe("names", ok=True, detail=there)

    def _smoke(self, reach: Reach) -> str:
        smoke = self.policy.gate.smoke
        if smoke is None or self._spec is None:
            return ""
        self.reporter.stage("sending a first request")
        name = self._spec.server.served_names[0]
        try:
            answer = self._request(lambda: self.prober.smoke(reach, self.api_key, self.policy.task, name, smoke))
        except ProbeFailed as cause:
            raise self._broke_off("smoke", reach, f"its first request failed: {cause.message}") from None
        self.reporter.probe("smoke", ok=True, detail=answer)
        return answer

    def _bounds(self, reach: Reach) -> str:
        """A few streamed requests, one after the other, after the first has warmed it up."""
        gate = self.policy.gate
        if not gate.has_bounds or self._spec is None:
            return ""
        speeds, name = [], self._spec.server.served_names[0]
        for count in range(gate.requests):
            self.reporter.stage(f"measuring its speed, request {count + 1} of {gate.requests}")
            self._alive()
            try:
                speeds.append(
                    self._request(partial(self.prober.speed, reach, self.api_key, name, gate.smoke or Smoke()))
                )
            except ProbeFailed as cause:
                raise self._broke_off("bounds", reach, f"a measured request failed: {cause.message}") from None
        measured, miss = figures(speeds), missed(gate, speeds)
        if miss:
            what, fix = miss
            raise self._failed("bounds", what, cause=f"it serves, but too slowly: {measured}", fix=fix)
        self.reporter.probe("bounds", ok=True, detail=measured)
        return measured

    def _stay_up(self, reach: Reach) -> None:
        """Healthy without a break for `stable_for`; a short break restarts the time, a long one ends the gate."""
        began = good_since = self.clock.elapsed()
        bad_since: float | None = None
        while True:
            status = self._health(reach)
            self._alive()
            now = self.clock.elapsed()
            if not status:
                good_since = now if bad_since is not None else good_since
                bad_since = None
                if now - good_since >= self.policy.gate.stable_for:
                    self.reporter.probe("stable", ok=True, detail=f"for {show_seconds(now - good_since)}")
                    return
            else:
                bad_since = now if bad_since is None else bad_since
            if self._is_dead(status):
                raise self._engine_died("stable")
            if bad_since is not None and now - bad_since > (ENDING if status == NO_CONNECTION else LAPSE):
                raise self._failed(
                    "stable", f"it was ready, and then stopped answering {self._contract.health} ({status})"
                )
            if now - began > self.policy.gate.startup_timeout + self.policy.gate.stable_for:
                raise self._failed("stable", "it never stayed healthy for gate.stable_for without a break")
            self._pause(reach, WATCH_POLL)

    def _broke_off(self, probe: Probe, reach: Reach, what: str) -> GateFailed:
        """A failed request. If the container or its daemon is dying, which may become visible a moment later, that is
        reported instead.
        """
        began, patience = self.clock.elapsed(), DYING
        while self.clock.elapsed() - began < patience:
            self._alive()
            status = self._health(reach)
            if self._is_dead(status):
                return self._engine_died(probe)
            patience = ENDING if status == NO_CONNECTION else DYING
            self._pause(reach)
        return self._failed(probe, what)

    def _engine_died(self, probe: Probe) -> GateFailed:
        about = self._contract
        answer = f"{about.health} answers {about.dead_status}"
        return self._failed(probe, f"it was ready, and then its {about.title} engine died ({answer})")

    def _health(self, reach: Reach) -> str:
        status = self._request(lambda: self.prober.health(reach))
        self.reporter.probe("health", ok=not status, detail=status)
        return status

    def _alive(self) -> ContainerState:
        state, was_lost = self._state()
        if not state.running and state.exit_code == KILLED and not state.oom_killed:
            self.clock.sleep(LATE_NOTICE)
            state, _ = self._state()
        if state.oom_killed or not state.running or state.restarts:
            lost = ", while its daemon had stopped answering" if was_lost else ""
            raise self._failed("process", self._end_text(state) + lost, ended=state)
        self.reporter.probe("process", ok=True)
        return state

    def _state(self) -> tuple[ContainerState, bool]:
        """The state, and whether the daemon did not answer at first. It is asked again: its connection may have broken,
        which is not the server's fault. Raises DaemonError.
        """
        until = self.clock.elapsed() + REACHED_WITHIN
        was_lost = False
        while True:
            try:
                return self.daemon.state(self.container), was_lost
            except DaemonUnreachable:
                was_lost = True
                if self.clock.elapsed() >= until:
                    raise
            self.clock.sleep(SLOW_POLL)

    def _end_text(self, state: ContainerState) -> str:
        """How the container ended; takes precedence over its log."""
        limit = self._spec.container.memory if self._spec else None
        allowed = f" (its limit is {show_bytes(limit)})" if limit else ""
        if state.oom_killed:
            whom = "one of its processes" if state.running else "it"
            return f"the kernel killed {whom}: it needs more memory than it may use{allowed}"
        if state.restarts:
            times = "once" if state.restarts == 1 else f"{state.restarts} times"
            return f"it exited before it passed its gate, and was restarted {times} (last exit code {state.exit_code})"
        if state.error and not state.exit_code:
            return f"it does not run: {state.error}"
        answers = {0: self.engine.contract.exit_zero, KILLED: f", because it was killed{allowed}"}
        exited = f"it exited with code {state.exit_code}{answers.get(state.exit_code, '')}"
        return exited + (f": {state.error}" if state.error else "")

    @property
    def _contract(self) -> Contract:
        return self.engine.contract

    def _is_dead(self, status: str) -> bool:
        """Whether it is the answer of a server whose engine has died."""
        return self._contract.dead_status is not None and status == f"status {self._contract.dead_status}"

    @property
    def policy(self) -> Policy:
        return self.change.detail.policy

    @property
    def _spec(self) -> Spec | None:
        return self.change.detail.after or self.change.detail.before

    def _log(self, tail: int) -> tuple[tuple[str, ...], str]:
        """(lines, why there are none). An unreadable log is not the instance's fault: the gate continues."""
        try:
            lines = self.daemon.logs(self.container, tail, this_run=True)
        except DaemonError as cause:
            return (), shortened(cause.message)
        return tuple(hidden(line, self.secrets) for line in lines), ""

    def _failed(
        self, probe: Probe, what: str, *, cause: str = "", fix: str = "", ended: ContainerState | None = None
    ) -> GateFailed:
        """With the log, because the container may be removed next. The log is not analysed here: see
        `apply.explain`.
        """
        self.reporter.probe(probe, ok=False, detail=what)
        log, unread = self._log(FULL_LOG)
        return GateFailed(
            shortened(hidden(what, self.secrets)) + (f"; its log cannot be read: {unread}" if unread else ""),
            log=log,
            engine=self._spec.server.engine if self._spec else "",
            ended_with=ended.exit_code if ended and not ended.running else None,
            oom_killed=bool(ended and ended.oom_killed),
            cause=cause,
            fix=fix,
        )
