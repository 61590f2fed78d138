"""When the holder of a lock is provably dead, and when that cannot be known."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortexctl.hosts import lock
from cortexctl.hosts.lock import born, from_labels, is_dead, runs_here, this_machine, to_labels
from cortexctl.observed.lock_holder import HeldLock, LockInfo
from cortexctl.operations.lock import lock_state
from cortexctl.render.lock import holder_text

UNUSED_PID = 2**22 + 1
"""No process has this number: it is above what Linux gives out."""
HOLDER = LockInfo("id", "alice", this_machine(), os.getpid(), "run", started=100, expires=200)


def test_a_process_that_runs_here_holds_its_lock_however_long() -> None:
    assert not is_dead(HOLDER, 150)
    assert not is_dead(HOLDER, 10_000)


def test_a_lock_of_an_ended_process_of_this_machine_is_dead() -> None:
    assert is_dead(replace(HOLDER, pid=UNUSED_PID), 150)


def test_of_another_machine_only_the_time_is_known() -> None:
    elsewhere = replace(HOLDER, machine="elsewhere#1", pid=UNUSED_PID)
    assert not is_dead(elsewhere, 199)
    assert is_dead(elsewhere, 200)


def test_the_same_host_name_with_other_process_numbers_is_another_machine() -> None:
    """Two containers of a CI: a pid of one means nothing in the other."""
    other = replace(HOLDER, machine=f"{HOLDER.machine_name}#other", pid=UNUSED_PID)
    assert not is_dead(other, 199)


def test_the_labels_of_a_lock_read_back() -> None:
    assert from_labels(to_labels("stack@env", HOLDER)) == HOLDER


LATER = 10**11


def test_empty_labels_do_not_prove_that_a_holder_is_dead() -> None:
    """A user who can write a lock can write any label: only a person releases such a lock."""
    assert not is_dead(from_labels({}), LATER)
    assert from_labels({"cortexctl.lock.pid": "²"}).pid == 0


BAD_NUMBERS = [
    "", "one", "-1", "1.5", "²", "1e3", "NaN", "Infinity", "9" * 30, "9" * 5000, "[" * 100_000, "\ud800", " 5", "0x10",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_NUMBERS, ids=lambda t: t[:10])
def test_a_lock_that_does_not_say_when_it_expires_never_does(text: str) -> None:
    elsewhere = to_labels("stack", replace(HOLDER, machine="elsewhere#boot#1"))
    assert not is_dead(from_labels({**elsewhere, "cortexctl.lock.expires": text}), LATER)


@pytest.mark.parametrize("text", ["0", str(2**31), str(2**64), *BAD_NUMBERS], ids=lambda t: t[:10])
def test_a_lock_with_an_invalid_pid_is_dead_only_after_it_expires(text: str) -> None:
    holder = from_labels({**to_labels("stack", HOLDER), "cortexctl.lock.pid": text})
    assert not is_dead(holder, 199)
    assert is_dead(holder, 200)


def test_a_lock_of_an_ended_process_is_dead_whatever_its_expiry() -> None:
    holder = from_labels({**to_labels("stack", replace(HOLDER, pid=UNUSED_PID)), "cortexctl.lock.expires": "?"})
    assert is_dead(holder, 1)


def test_the_same_host_name_with_another_boot_is_another_machine() -> None:
    """Two machines from one image: the first PID namespace has the same number on every machine."""
    name, boot, space = this_machine().split("#")
    assert boot
    assert space
    for machine in (
        f"{name}#{'0' * 8}{boot[8:]}#{space}",
        f"{name}#{space}",
        f"{name}##{space}",
        name,
        f"{name}#{boot}#",
    ):
        clone = replace(HOLDER, machine=machine, pid=UNUSED_PID)
        assert not runs_here(clone)
        assert not is_dead(clone, 199), "the process of the other machine is not visible here"
        assert is_dead(clone, 200)
        assert clone.machine_name == name


@pytest.mark.parametrize("gone", ["_boot", "_space"])
def test_the_holder_on_a_machine_without_an_identity_is_not_dead(monkeypatch: pytest.MonkeyPatch, gone: str) -> None:
    """Without /proc, two machines with one name cannot be distinguished."""
    monkeypatch.setattr(lock, gone, lambda: "")
    assert not is_dead(replace(HOLDER, machine=this_machine(), pid=UNUSED_PID), 199)


def test_a_number_that_another_process_has_since_is_not_the_holders() -> None:
    assert is_dead(replace(HOLDER, born="1"), 150)
    assert not is_dead(replace(HOLDER, born=born(os.getpid())), 10_000)


HOSTILE: list[object] = [
    None, 5, 1.5, True, [], {}, "", "x" * 2**20, "\ud800", "\x1b]0;x\x07", "9" * 5000, "[" * 100_000, "NaN", "-1", "0",
]  # fmt: skip
KEYS = ("owner", "who", "machine", "pid", "run", "started", "expires", "born")


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(HOSTILE)), st.integers(0, 2**40))
def test_whatever_a_lock_holds_is_one_sentence(marks: dict[str, object], now: int) -> None:
    labels = {**to_labels("stack", HOLDER), **{f"cortexctl.lock.{key}": value for key, value in marks.items()}}
    holder = from_labels(labels)
    text = holder_text(lock_state(HeldLock(holder, now)))
    assert len(text) < 1000
    assert text.encode()
