"""Cases in parallel, each lane with its own ground: a case waits for most of its time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

G = TypeVar("G")
C = TypeVar("C")
R = TypeVar("R")


class Lanes(Generic[G]):
    """`ground` creates the ground of a lane."""

    def __init__(self, ground: Callable[[], AbstractContextManager[G]], width: int) -> None:
        self._ground = ground
        self._width = width

    def run(self, cases: Sequence[C], run: Callable[[G, C], R], until: Callable[[], bool] = lambda: False) -> list[R]:
        """The results of the cases, in any order. No case is started once `until` returns true."""
        waiting = deque(cases)
        results: list[R] = []
        failures: list[Exception] = []

        def work() -> None:
            try:
                with self._ground() as here:
                    while waiting and not until() and not failures:
                        results.append(run(here, waiting.popleft()))
            except Exception as cause:  # noqa: BLE001 - raised below
                failures.append(cause)

        threads = [threading.Thread(target=work) for _ in range(min(self._width, len(cases)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return results
