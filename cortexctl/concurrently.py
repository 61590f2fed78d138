"""Many blocking calls at the same time: requests to many hosts or servers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Generic, TypeVar

from cortexctl.waiting import Watch

PARALLEL = 64
"""Calls at the same time if they end soon. Each is a connection that waits."""
MOST = 160
"""Calls at the same time if many do not end soon. Each has an open file, and some systems allow 256 to a process."""
PER_HOST = 4
"""Requests to one host at the same time, where each host gets many."""
HOSTS = 32
"""Hosts at the same time that get PER_HOST requests each."""
SLOW = 0.1
"""Seconds after which a call does not hold up the others: another thread takes its place."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def at_once(call: Callable[[Item], Result], items: Sequence[Item], *, most: int = MOST) -> list[Result]:
    """The results in the order of `items`. An exception of a call is raised here. One item needs no thread. Calls that
    wait for their time-out do not delay the others, up to `most` of them.

    An interrupt (Ctrl-C) is raised at once, whatever the calls wait for, except for blocks of `finishing`.
    """
    if len(items) < 2:
        return [call(item) for item in items]
    return _Calls(call, items).results(most)


def at_once_watched(
    call: Callable[[Item], Result],
    items: Sequence[Item],
    watch: Watch,
    *,
    name: Callable[[Item], str] = str,
    what: str = "hosts",
    most: int = MOST,
) -> list[Result]:
    """The same, and each answer is reported. `name`: of an item, for people; `what`: the kind of all, in the plural."""

    def reported(item: Item) -> Result:
        try:
            return call(item)
        finally:
            watch.answered(name(item))

    watch.begins([name(item) for item in items], what)
    try:
        return at_once(reported, items, most=most)
    finally:
        watch.begins(())  # after an exception, too


def finishing() -> AbstractContextManager[None]:
    """In a call, around what it creates and removes again: an interrupt waits until the block ends. No block begins
    after an interrupt.
    """
    calls: _Calls[Any, Any] | None = getattr(_OF_THREAD, "calls", None)
    return calls.finishing() if calls else nullcontext()


_OF_THREAD = threading.local()
"""`calls`: those that the thread works on."""


class _Calls(Generic[Item, Result]):
    """Threads that take one item after another, and further threads in place of those that wait."""

    def __init__(self, call: Callable[[Item], Result], items: Sequence[Item]) -> None:
        self._call = call
        self._items = items
        self._left = deque(range(len(items)))
        self._results: list[Any] = [None] * len(items)
        self._failures: dict[int, BaseException] = {}
        self._all_taken = threading.Event()
        self._threads: list[threading.Thread] = []
        self._current: list[int] = []
        """By thread, the number of the item that it works on."""
        self._finished = threading.Condition()
        self._finishing = 0
        """Number of threads in a block of `finishing`."""
        self._is_interrupted = False

    def results(self, most: int) -> list[Result]:
        try:
            self._start(min(PARALLEL, most))
            while not self._all_taken.is_set():
                before = list(self._current)
                if not self._all_taken.wait(SLOW):
                    waiting = sum(now == then for now, then in zip(self._current, before, strict=False))
                    self._start(min(PARALLEL + waiting, most) - len(self._threads))
            self._join()
        except BaseException as cause:
            self._left.clear()
            if isinstance(cause, KeyboardInterrupt):
                self._interrupt()
            else:
                self._join()
            raise
        if self._failures:
            raise self._failures[min(self._failures)]
        return self._results

    def _interrupt(self) -> None:
        """A call that is not in a block of `finishing` may end with the process."""
        with self._finished:
            self._is_interrupted = True
            self._finished.wait_for(lambda: not self._finishing)

    @contextmanager
    def finishing(self) -> Iterator[None]:
        with self._finished:
            if self._is_interrupted:
                raise KeyboardInterrupt
            self._finishing += 1
        try:
            yield
        finally:
            with self._finished:
                self._finishing -= 1
                self._finished.notify_all()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _start(self, count: int) -> None:
        for _ in range(min(count, len(self._left))):
            self._current.append(-1)
            thread = threading.Thread(target=self._work, args=(len(self._threads),), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self, number: int) -> None:
        _OF_THREAD.calls = self
        while True:
            try:
                item = self._current[number] = self._left.popleft()
            except IndexError:
                self._all_taken.set()
                return
            try:
                self._results[item] = self._call(self._items[item])
            except BaseException as cause:  # noqa: BLE001 - the caller's thread raises it
                self._failures[item] = cause
                self._left.clear()
