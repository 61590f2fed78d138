"""How long a start may take. A model may need an hour and make progress all the time; a start that hangs fails."""

from __future__ import annotations

from collections.abc import Sequence

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import STARTS_AT_MOST, GatePolicy
from cortexctl.engines.base import Engine, Stage
from cortexctl.text.units import show_seconds


@dataclass(slots=True)
class Deadline:
    """Restarts whenever the log shows progress, with a bound on the whole. Times are seconds since the start."""

    gate: GatePolicy
    engine: Engine
    stage: str = "starting"
    serves: bool = False
    """Whether the log shows that the server is up."""
    _seen: Stage | None = None
    _advanced: float = 0.0

    def update(self, log: Sequence[str], at: float) -> None:
        """Record the progress that the log shows now."""
        now = self.engine.stage(log)
        if now is not None and now != self._seen:
            self._advanced = at
        self._seen = now
        self.stage = now.text if now else "starting"
        self.serves = now is not None and now.serves

    def is_over(self, at: float) -> bool:
        return at - self._advanced > self.gate.startup_timeout or at > self.gate.longest_start

    def missed(self, at: float) -> tuple[str, str]:
        """(what happened, how to fix it) of a start that has failed."""
        patience, longest = show_seconds(self.gate.startup_timeout), show_seconds(self.gate.longest_start)
        if at > self.gate.longest_start:
            times = f"{STARTS_AT_MOST} times gate.startup_timeout"
            return (
                f"it was not ready after {longest} ({times}), although its log showed progress",
                f"if it really takes longer, raise gate.startup_timeout: no start may take more than {times}",
            )
        whole = f", {show_seconds(at)} after its start" if self._advanced else ""
        return (
            f"it was not ready{whole}, and its log showed no progress for {patience} (gate.startup_timeout)",
            f"if a start may show no progress for longer than {patience}, raise gate.startup_timeout",
        )
