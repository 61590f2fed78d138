"""The changes of a run that have ended, and the time that the others take: for every view of its progress."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from cortexctl.apply.events import Event, StepDone, StepFailed, StepStarted
from cortexctl.plan.model import Plan
from cortexctl.plan.pace import TimeLeft
from cortexctl.plan.steps import Place, StartContainer, StopContainer
from cortexctl.text.units import about, show_seconds


class Totals:
    """Follows the events of a run. `clock`: in seconds; the run begins now."""

    def __init__(self, plan: Plan, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._steps: defaultdict[Place, set[str]] = defaultdict(set)
        """The steps that are not done, by their ids."""
        for step in plan.steps:
            if step.address:
                self._steps[step.place].add(step.id)
        self._time_left = TimeLeft(plan)
        self._acting: dict[Place, float] = {}
        """When the first container of a change was stopped or started, by the clock."""
        self._running: set[Place] = set()
        self._done: set[Place] = {(c.host, c.address) for c in plan.effective} - self._steps.keys()
        self._failed: set[Place] = set()
        self.count = len(self._done | self._steps.keys())

    def note(self, event: Event) -> bool:
        """Whether a change is done with this event."""
        match event:
            case StepStarted(step) if step.address:
                self._running.add(step.place)
                if isinstance(step.task, StopContainer | StartContainer):
                    self._acting.setdefault(step.place, self._clock())
            case StepFailed(step) if step.address:
                self._running.discard(step.place)
                self._failed.add(step.place)
            case StepDone(step) if step.address:
                self._steps[step.place].discard(step.id)
                if not self._steps[step.place]:
                    self._running.discard(step.place)
                    self._done.add(step.place)
                    return True
            case _:
                pass
        return False

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began

    def share(self) -> str:
        """For example "2 of 4 changes"."""
        return f"{len(self._done)} of {self.count} {'change' if self.count == 1 else 'changes'}"

    def of_change(self, place: Place) -> str:
        """The time of a change that has stopped or started a container, and the time of its past starts: "34s of about
        2m". Empty if none is known, or if the change is being undone.
        """
        expected = self._time_left.expected(place)
        if expected is None or place not in self._acting or place in self._failed:
            return ""
        return f"{show_seconds(self._clock() - self._acting[place])} of about {about(expected)}"

    def text(self) -> str:
        """The whole run in one line."""
        parts = [f"{self.share()} done"]
        parts += [f"{len(self._running)} running"] if self._running else []
        parts += [f"{len(self._failed)} failed"] if self._failed else []
        return f"{', '.join(parts)}   {show_seconds(self.elapsed)}{self._rest()}"

    def _rest(self) -> str:
        """A failure ends the run early, so then nothing is known."""
        now = self._clock()
        elapsed = {place: now - at for place, at in self._acting.items()}
        left = None if self._failed else self._time_left.after(self._done, elapsed)
        return f", about {about(left)} left" if left else ""
