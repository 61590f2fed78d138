"""When the holder of a lock is provably gone, and when nobody can know."""

from __future__ import annotations

import os
from dataclasses import replace

from cortexctl.engine.lock import from_labels, is_dead, this_machine, to_labels
from cortexctl.observed.state import LockInfo

NOBODY = 2**22 + 1
"""No process has this number: it is above what Linux gives out."""
HELD = LockInfo("id", "alice", this_machine(), os.getpid(), "run", started=100, expires=200)


def test_a_process_that_runs_here_holds_its_lock_however_long() -> None:
    assert not is_dead(HELD, 150)
    assert not is_dead(HELD, 10_000)


def test_a_process_that_is_gone_from_here_holds_nothing() -> None:
    assert is_dead(replace(HELD, pid=NOBODY), 150)


def test_of_another_machine_only_the_time_is_known() -> None:
    elsewhere = replace(HELD, machine="elsewhere#1", pid=NOBODY)
    assert not is_dead(elsewhere, 199)
    assert is_dead(elsewhere, 200)


def test_the_same_host_name_with_other_process_numbers_is_another_machine() -> None:
    """Two containers of a CI: the pid of one says nothing in the other."""
    other = replace(HELD, machine=f"{HELD.machine_name}#other", pid=NOBODY)
    assert not is_dead(other, 199)


def test_what_is_written_in_labels_is_read_back() -> None:
    assert from_labels(to_labels("stack@env", HELD)) == HELD


def test_labels_that_say_nothing_are_an_expired_lock() -> None:
    assert is_dead(from_labels({}), 1)
    assert from_labels({"cortexctl.lock.pid": "²"}).pid == 0
