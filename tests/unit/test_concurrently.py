"""Calls at the same time: their order, their number, and calls that wait."""

from __future__ import annotations

import threading

import pytest

from cortexctl import concurrently
from cortexctl.concurrently import PARALLEL, at_once
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


@pytest.mark.parametrize("most", [1, 2, 1000])
def test_every_item_is_taken_once(most: int) -> None:
    taken: list[int] = []
    at_once(taken.append, range(300), most=most)
    assert sorted(taken) == list(range(300))
