"""How often a gate checks a container that starts."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cortexctl.apply.gate.pacing import FIRST_POLL, POLL, QUICK_START, WATCH_POLL, checks_every, inspects_every


@given(st.floats(0, 10**5))
def test_a_server_is_checked_at_least_as_often_as_its_container(waited: float) -> None:
    assert FIRST_POLL <= checks_every(waited, needs_daemon=False) <= inspects_every(waited) <= WATCH_POLL
    assert checks_every(waited, needs_daemon=True) == inspects_every(waited)


def test_checks_become_rarer_as_a_start_gets_longer() -> None:
    pauses = [checks_every(tenths / 10, needs_daemon=False) for tenths in range(100)]
    assert all(one <= other for one, other in pairwise(pauses))
    assert (pauses[0], pauses[20], pauses[-1]) == (FIRST_POLL, POLL, WATCH_POLL)


def test_a_quick_start_is_inspected_more_often() -> None:
    assert (inspects_every(0), inspects_every(QUICK_START)) == (POLL, WATCH_POLL)
