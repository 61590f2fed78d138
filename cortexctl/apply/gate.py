"""The gate: what an instance must show before it serves. Ends at once when the container does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cortexctl.apply.protocols import Clock, Engine, Prober
from cortexctl.errors import GateFailed, ProbeFailed
from cortexctl.observed.state import ContainerState
from cortexctl.plan.model import Change
from cortexctl.spec.units import show_seconds
from cortexctl.vllm.diagnosis import diagnose, last_error_line
from cortexctl.vllm.progress import SERVER_UP, stage

POLL = 0.25
"""Seconds between looks: a death is known within half a second. A look costs the engine 1 ms."""
LOG_EVERY = 1.5
"""Seconds between reads of the log for the stage."""
LOG_TAIL = 200
SHORTEST_SECRET = 4
FULL_LOG = 5000
"""Lines kept of a candidate that failed, for it is removed."""
REACHED_WITHIN = 15.0
"""Seconds in which a server that says it is up must be reached."""
LAPSE = 3.0
"""Seconds without a good answer after which a server that was ready counts as gone."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Gate:
    """One run of the gate over one container."""

    engine: Engine
    prober: Prober
    clock: Clock
    container: str
    change: Change
    api_key: str | None
    tell: Tell
    secrets: tuple[str, ...] = ()
    """Values that must not show, should the server write them into its log."""

    def pass_or_fail(self) -> str:
        """Process up, /health, served names, a smoke request, still up. Returns what it answered, and where.

        Raises GateFailed with the log's tail and, where it is known, the cause.
        """
        endpoint = self._until_healthy()
        self.tell("checking the served names")
        self._names(endpoint)
        answer = self._masked(self._smoke(endpoint))
        self._stay_up(endpoint)
        return f"{answer} at {endpoint}" if answer else f"at {endpoint}"

    def _until_healthy(self) -> str:
        began = self.clock.elapsed()
        limit = self.change.gate.startup_timeout
        next_log, up_since, now, heard = 0.0, None, "starting", "no endpoint"
        while True:
            state = self._alive()
            heard = self.prober.health(state.endpoint) if state.endpoint else heard
            if state.endpoint and not heard:
                return state.endpoint
            waited = self.clock.elapsed() - began
            if waited >= next_log:
                next_log = waited + LOG_EVERY
                now = stage(self._log(LOG_TAIL)) or "starting"
                self.tell(now)
                up_since = (up_since if up_since is not None else waited) if now == SERVER_UP else None
            if up_since is not None and waited - up_since > REACHED_WITHIN and not heard.startswith("status"):
                raise self._unreachable(state.endpoint, heard)
            if waited > limit:
                raise self._too_late(now, state.endpoint, heard)
            self.clock.sleep(POLL)

    def _unreachable(self, endpoint: str, heard: str) -> GateFailed:
        """Waiting longer is of no use, and the old one is down meanwhile."""
        return self._failed(
            f"its log says that it serves, and {endpoint} cannot be reached from here ({heard})",
            cause="this machine does not reach the addresses of that engine's containers",
            mend="run cortexctl where it does, or set `publish` to an address of the host that is reached from here",
        )

    def _too_late(self, now: str, endpoint: str, heard: str) -> GateFailed:
        limit = show_seconds(self.change.gate.startup_timeout)
        return self._failed(
            f"it was not ready after {limit} (gate.startup_timeout)",
            cause=f"after {limit} it was at: {now}; {endpoint}/health: {heard}",
            mend="if its log shows that it is getting on, raise gate.startup_timeout",
        )

    def _names(self, endpoint: str) -> None:
        spec = self.change.after or self.change.before
        try:
            served = set(self.prober.served_names(endpoint, self.api_key))
        except ProbeFailed as cause:
            raise self._failed(f"/v1/models: {cause.message}") from None
        missing = sorted(set(spec.served_names) - served) if spec else []
        if missing:
            raise self._failed(
                f"it does not serve {', '.join(missing)}; /v1/models lists {', '.join(sorted(served)) or 'nothing'}",
                cause="the image serves other names than the stack's served_names",
                mend="correct served_names, or the image's own arguments",
            )

    def _smoke(self, endpoint: str) -> str:
        spec = self.change.after or self.change.before
        smoke = self.change.gate.smoke
        if smoke is None or spec is None:
            return ""
        self.tell("asking a first request")
        try:
            return self.prober.smoke(endpoint, self.api_key, self.change.task, spec.served_names[0], smoke)
        except ProbeFailed as cause:
            self._alive()
            raise self._failed(f"its first request failed: {cause.message}") from None

    def _stay_up(self, endpoint: str) -> None:
        """Healthy without a break for `stable_for`; a lapse begins it anew, a long one ends it."""
        began = good_since = self.clock.elapsed()
        bad_since: float | None = None
        self.tell("watching that it stays up")
        while True:
            self._alive()
            heard = self.prober.health(endpoint)
            now = self.clock.elapsed()
            if not heard:
                good_since = now if bad_since is not None else good_since
                bad_since = None
                if now - good_since >= self.change.gate.stable_for:
                    self._alive()
                    return
            else:
                bad_since = now if bad_since is None else bad_since
            if bad_since is not None and now - bad_since > LAPSE:
                raise self._failed(f"it was ready, and then stopped answering /health ({heard})")
            if now - began > self.change.gate.startup_timeout + self.change.gate.stable_for:
                raise self._failed("it never stayed healthy for gate.stable_for without a break")
            self.clock.sleep(POLL)

    def _alive(self) -> ContainerState:
        state = self.engine.state(self.container)
        if state.oom_killed:
            raise self._failed("the kernel killed it: it needs more memory than it may have")
        if not state.running:
            raise self._failed(f"it exited with code {state.exit_code}" + (f": {state.error}" if state.error else ""))
        if state.restarts:
            raise self._failed(f"it was restarted {state.restarts} times while starting")
        return state

    def _log(self, tail: int) -> tuple[str, ...]:
        lines = self.engine.logs(self.container, tail, this_run=True)
        return tuple(self._masked(line) for line in lines)

    def _masked(self, text: str) -> str:
        """Without the secrets' values, line by line; very short ones would only garble it."""
        for value in self.secrets:
            for part in value.splitlines():
                text = text.replace(part, "***") if len(part) >= SHORTEST_SECRET else text
        return text

    def _failed(self, what: str, *, cause: str = "", mend: str = "") -> GateFailed:
        """What vLLM's log is known to mean says more than what the gate saw, so it comes first."""
        log = self._log(FULL_LOG)
        found = diagnose(log)
        last = "" if cause else last_error_line(log)
        return GateFailed(
            self._masked(what) + (f"; vLLM's last word: {last}" if last else ""),
            log=log,
            cause=found.cause if found else cause,
            mend=found.mend if found else mend,
        )
