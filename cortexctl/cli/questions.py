"""The open questions of a run, for the line that shows them."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence

from cortexctl.render.waiting import AFTER, Waiting, waiting_line
from cortexctl.waiting import Watch


class Questions(Watch):
    """Keeps the names that owe an answer. `clock`: in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._owed: Counter[str] = Counter()
        self._left = self._total = 0
        self._what = ""
        self._began = self._since = self._last_owed = float("-inf")
        self._guard = threading.Lock()

    def begins(self, names: Sequence[str], what: str = "hosts") -> None:
        """After a second without a question, the time begins again."""
        with self._guard:
            now = self._clock()
            self._last_owed = now if self._left else self._last_owed
            if names and now - self._last_owed >= AFTER:
                self._began = self._since = now
            elif names and what != self._what:
                self._since = now
            self._owed, self._what = Counter(names), what
            self._left = self._total = len(names)

    def answered(self, name: str) -> None:
        with self._guard:
            if self._owed[name] > 1:
                self._owed[name] -= 1
            else:
                del self._owed[name]
            self._left = max(self._left - 1, 0)
            self._last_owed = self._clock()

    def lines(self, size: os.terminal_size) -> Sequence[str]:
        """The line, if there is one to show."""
        with self._guard:
            now, missing = self._clock(), [*self._owed]
            waiting = Waiting(self._what, self._total, self._left, missing, self._began, self._since)
        line = waiting_line(waiting, now, size.columns)
        return [line] if line else []
