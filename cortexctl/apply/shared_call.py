"""A call whose result serves all who wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class SharedCall(Generic[Result]):
    """A call without arguments that several threads may want at the same time: those that wait for it share the next
    one. Each gets the result of a call that began after it asked for one.
    """

    def __init__(self, call: Callable[[], Result]) -> None:
        self._call = call
        self._guard, self._running = threading.Lock(), threading.Lock()
        self._wanted = 0
        """The number of callers so far."""
        self._served = 0
        """How many of them had come when the last call began that has ended."""
        self._last: list[Result] = []

    def __call__(self) -> Result:
        """Raises the errors of the call, to each caller those of its own call."""
        with self._guard:
            self._wanted += 1
            number = self._wanted
        with self._running:
            if self._served < number:
                with self._guard:
                    served = self._wanted
                result = self._call()
                self._served, self._last = served, [result]
            return self._last[0]
