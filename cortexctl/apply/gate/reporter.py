"""Reports a gate's progress as events: its stage repeatedly, and the result of a check if it has changed."""

from __future__ import annotations

import re
from dataclasses import field

from cortexctl.apply.events import GateProbe, Probe, Progress, Sink
from cortexctl.apply.protocols import Clock
from cortexctl.dataclass import dataclass
from cortexctl.instance.secret import hidden

_PERCENT = re.compile(r"(\d{1,3})%")


@dataclass(slots=True)
class GateReporter:
    """Reports one run of a gate. `secrets` are values that must not be shown."""

    address: str
    clock: Clock
    emit: Sink
    secrets: tuple[str, ...] = ()
    began: float = field(init=False)
    _last: dict[Probe, tuple[bool, str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.began = self.clock.elapsed()

    @property
    def seconds(self) -> float:
        """Since the gate began."""
        return self.clock.elapsed() - self.began

    def stage(self, text: str) -> None:
        percent = _PERCENT.search(text)
        self.emit(Progress(self.address, text, self.seconds, int(percent.group(1)) / 100 if percent else None))

    def probe(self, probe: Probe, *, ok: bool, detail: str = "") -> None:
        """Reported once as long as it stays the same."""
        seen = ok, hidden(detail, self.secrets)
        if self._last.get(probe) != seen:
            self._last[probe] = seen
            self.emit(GateProbe(self.address, probe, *seen, self.seconds))
