"""A call whose result serves all who wait for it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cortexctl.apply.shared_call import SharedCall
from tests.waiting import AT_MOST, wait_until


def test_those_who_wait_for_a_shared_call_share_the_next_one() -> None:
    """None of them gets the result of a call that began before it asked."""
    numbers, goes_on, running = itertools.count(1), threading.Event(), threading.Event()

    def call() -> int:
        number = next(numbers)
        if number == 1:
            running.set()
            assert goes_on.wait(AT_MOST)
        return number

    shared = SharedCall(call)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(shared)
        assert running.wait(AT_MOST)
        others = [pool.submit(shared) for _ in range(5)]
        wait_until(lambda: shared._wanted == 6)
        goes_on.set()
        assert first.result() == 1
        assert [other.result() for other in others] == [2] * 5
    assert shared() == 3, "nobody waited with it"


def test_an_error_of_a_shared_call_is_one_callers_own() -> None:
    answers: Iterator[OSError | str] = iter([OSError("lost"), "found"])

    def call() -> str:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    shared = SharedCall(call)
    with pytest.raises(OSError, match="lost"):
        shared()
    assert shared() == "found"
