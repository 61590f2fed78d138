"""Calls at the same time: their order, their number, and calls that wait."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from cortexctl import concurrently
from cortexctl.concurrently import PARALLEL, at_once, finishing
from tests.waiting import AT_MOST


def test_the_results_have_the_order_of_the_items() -> None:
    assert at_once(lambda n: n * n, range(500)) == [n * n for n in range(500)]
    assert at_once(str, []) == []


def test_one_item_needs_no_thread() -> None:
    assert at_once(lambda _: threading.current_thread(), [1]) == [threading.current_thread()]


def test_calls_that_wait_hold_up_no_other() -> None:
    """Twice as many as there are threads wait until every other call is done: they would never end in a fixed number."""
    waiting = 2 * PARALLEL
    others = threading.Semaphore(0)

    def call(number: int) -> int:
        if number >= waiting:
            others.release()
        else:
            for _ in range(100):
                assert others.acquire(timeout=AT_MOST)
            for _ in range(100):
                others.release()
        return number

    items = range(waiting + 100)
    assert at_once(call, items) == list(items)


def test_the_number_of_calls_at_the_same_time_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them wait for as many as may run at the same time, so that more would be started if more could be."""
    monkeypatch.setattr(concurrently, "SLOW", 0.001)
    guard, together = threading.Lock(), threading.Barrier(5)
    running = highest = 0

    def call(_: int) -> None:
        nonlocal running, highest
        with guard:
            running += 1
            highest = max(highest, running)
        together.wait(AT_MOST)
        with guard:
            running -= 1

    at_once(call, range(100), most=5)
    assert highest <= 5


def test_quick_calls_start_no_further_threads() -> None:
    threads = {t for t in at_once(lambda _: threading.current_thread().name, range(2000)) if t}
    assert len(threads) <= PARALLEL


def test_an_exception_is_raised_here_and_ends_the_rest() -> None:
    started: list[int] = []

    def call(number: int) -> None:
        started.append(number)
        raise ValueError(f"item {number}")

    with pytest.raises(ValueError, match="item"):
        at_once(call, range(100_000))
    assert len(started) <= PARALLEL


@pytest.fixture
def interrupts() -> Iterator[Callable[[], None]]:
    """Sends this process an interrupt."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
    yield lambda: os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, handler)


def test_an_interrupt_waits_for_no_call(interrupts: Callable[[], None]) -> None:
    over, together = threading.Event(), threading.Barrier(2)

    def call(number: int) -> None:
        if number < 2 and together.wait(AT_MOST) == 0:
            interrupts()
        over.wait(AT_MOST)

    with pytest.raises(KeyboardInterrupt):
        at_once(call, range(PARALLEL * 2))
    assert not over.is_set()
    over.set()


def test_an_interrupt_waits_for_what_finishes(interrupts: Callable[[], None]) -> None:
    over, together = threading.Event(), threading.Barrier(2)
    removed: list[int] = []

    def call(number: int) -> None:
        if number == 0:
            together.wait(AT_MOST)
            interrupts()
            over.wait(AT_MOST)
            return
        with finishing():
            together.wait(AT_MOST)
            time.sleep(0.2)  # an interrupt that does not wait would be raised meanwhile
            removed.append(number)

    with pytest.raises(KeyboardInterrupt):
        at_once(call, range(2))
    assert removed == [1]
    over.set()


def test_nothing_that_must_finish_begins_after_an_interrupt(interrupts: Callable[[], None]) -> None:
    over, together, ended = threading.Event(), threading.Barrier(2), threading.Event()
    created: list[int] = []

    def call(number: int) -> None:
        if together.wait(AT_MOST) == 0:
            interrupts()
        over.wait(AT_MOST)
        try:
            with finishing():
                created.append(number)
        finally:
            ended.set()

    with pytest.raises(KeyboardInterrupt):
        at_once(call, range(2))
    over.set()
    assert ended.wait(AT_MOST)
    assert not created


def test_what_finishes_outside_such_calls_needs_nothing() -> None:
    with finishing():
        assert at_once(str, [1]) == ["1"]


@pytest.mark.parametrize("most", [1, 2, 1000])
def test_every_item_is_taken_once(most: int) -> None:
    taken: list[int] = []
    at_once(taken.append, range(300), most=most)
    assert sorted(taken) == list(range(300))
