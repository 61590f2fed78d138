"""The attacks themselves: a seed determines a whole case, a fault is detected, and a lie has the requested form."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonError
from cortexctl.hosts.http import get
from cortexctl.hosts.read import observe_host
from cortexctl.hosts.transports.choice import connection_to, transport_to
from tests.attack import documents, hostlabels, planted
from tests.attack.commands import check_sane, command
from tests.attack.finds import Find, Row, attempt, bounded, check_shown, save
from tests.attack.kills import case_of, compare
from tests.attack.lanes import Lanes
from tests.attack.liar import BODIES, CLAIMS, FORMS, KINDS, UNSENT, Lie, lies_of, lying_proxy
from tests.attack.scenes import SCENES, Differs
from tests.attack.table import report, table
from tests.fakes.sockets import canned_daemon


def test_a_seed_is_a_whole_case() -> None:
    for number in range(40):
        assert documents.stack_file(f"stacks-1-{number}") == documents.stack_file(f"stacks-1-{number}")
        assert documents.plan_file(f"plans-1-{number}") == documents.plan_file(f"plans-1-{number}")
        assert documents.snapshot(f"snapshots-1-{number}")[1] == documents.snapshot(f"snapshots-1-{number}")[1]
    assert [case_of(1, n) for n in range(30)] == [case_of(1, n) for n in range(30)]
    assert [c.kills for n in range(30) if (c := case_of(1, n))] != [c.kills for n in range(30) if (c := case_of(2, n))]
    assert list(hostlabels.by_hand(1)) == list(hostlabels.by_hand(1))
    assert [s.secret for s in planted.servers(1)] == [s.secret for s in planted.servers(1)]


def test_changed_files_are_of_both_kinds_and_some_are_still_right(tmp_path: Path) -> None:
    names = [documents.stack_file(f"stacks-1-{n}")[0] for n in range(200)]
    assert 10 < names.count("stack.json") < 60
    row = documents.attack_stacks(150, 3)
    assert 3 < int(row.tried.partition("(")[2].partition(" ")[0]) < 120


@pytest.mark.parametrize("number", range(len(planted.PLACES) + len(planted.INSTEAD)))
def test_the_planted_value_is_in_the_stack(number: int) -> None:
    value = planted.value_of(1)
    assert value in list(planted.stacks(value))[number][1]


def test_an_exception_a_loop_and_a_hunger_for_memory_are_finds() -> None:
    def loops() -> None:
        while True:
            pass

    def is_greedy() -> None:
        bytearray(3 << 30)

    def fails() -> None:
        json.loads("{")

    with bounded(cpu_seconds=0.2):
        finds = [attempt("x", {}, do) for do in (fails, loops, is_greedy, lambda: None)]
    assert [f.kind.partition(" ")[0] if f else None for f in finds] == [
        "JSONDecodeError",
        "TooSlow",
        "MemoryError",
        None,
    ]


@pytest.mark.parametrize("text", ["\x1b[2J", "a\rb", "\x9b31m", "\u202e", "\x07", "\ud800", "\x00"])
def test_what_has_an_effect_on_a_reader_is_seen(text: str) -> None:
    check_shown("it", "a line\n\tand a tab, é, 👩‍👧")
    with pytest.raises(AssertionError, match="raw control character"):
        check_shown("it", f"before {text} after")


def test_a_traceback_and_a_bug_are_seen() -> None:
    check_sane(4, "Error: refused")
    trace = 'Traceback (most recent call last):\n  File "/x/cortexctl/plan/model.py", line 1, in f\nKeyError: 1\nError: this is a bug'
    with pytest.raises(AssertionError, match=r"traceback of KeyError in plan/model\.py:f"):
        check_sane(1, trace)
    with pytest.raises(AssertionError, match="says that it is a bug"):
        check_sane(1, "FAILED: this is a bug in cortexctl, please report it: KeyError: 'State'")
    with pytest.raises(AssertionError, match="exit code 137"):
        check_sane(137, "")


def test_a_command_in_this_process_writes_what_it_would(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(planted.HEAD + planted.MODEL)
    wrote = command("validate", str(tmp_path / "stack.toml"))
    assert (wrote.code, "is valid: 1 model on 1 host" in wrote.out) == (0, True)
    assert command("validate", str(tmp_path / "none.toml")).code == 1


def test_states_that_differ_are_not_equal() -> None:
    compare("x", {"volumes": ["a"]}, {"volumes": ["a"]})
    with pytest.raises(Differs, match="x: volumes missing b"):
        compare("x", {"volumes": ["a"]}, {"volumes": ["a", "b"]})


def test_finds_are_written_with_everything_to_reproduce_them(tmp_path: Path) -> None:
    finds = [Find("KeyError in a/b.py:c", f"plans-1-{n}", "why", {"plan.json": b"{}"}) for n in range(9)]
    written = save(tmp_path, "plans", finds)
    assert len(written) == 5
    assert (written[0] / "plan.json").read_bytes() == b"{}"
    assert "why" in (written[0] / "find.txt").read_text()
    row = Row("plan | files", "9", "0 shown", tuple(finds))
    assert r"| plan \| files | 9 | 0 shown; **9 faults of 1 kinds**: 9 x KeyError in a/b.py:c |" in table([row])
    assert "plans-1-0: KeyError in a/b.py:c\nwhy" in report(row)
    assert "no fault" in table([Row("x", "1", "1")])


def test_every_scene_has_its_turn() -> None:
    cases = [case_of(1, number) for number in range(60)]
    assert {c.scene.name for c in cases} == {s.name for s in SCENES}
    assert {len(c.kills) for c in cases} == {1, 2, 3}
    assert {k.by_time for c in cases for k in c.kills} == {True, False}


def test_lanes_do_all_cases_and_stop_when_they_should() -> None:
    from contextlib import nullcontext

    done = Lanes(lambda: nullcontext(2), 3).run([1, 2, 3, 4], lambda by, n: by * n)
    assert sorted(done) == [2, 4, 6, 8]
    assert Lanes(lambda: nullcontext(2), 3).run([1], lambda by, n: n, lambda: True) == []

    def fails(_: int, case: int) -> int:
        raise OSError(case)

    with pytest.raises(OSError, match="7"):
        Lanes(lambda: nullcontext(2), 2).run([7], fails)


# the liar


ROWS = [{"Id": "a" * 64, "Names": ["/x"], "State": "running", "Labels": {}, "Image": "i"}]


def test_an_honest_proxy_passes_everything_on(tmp_path: Path) -> None:
    with canned_daemon(tmp_path / "e", ROWS) as daemon, lying_proxy(tmp_path / "p", daemon) as (url, liar):
        assert [c.name for c in observe_host(connection_to(Host("here", url))).containers] == ["x"]
        assert liar.requests == ["GET /containers/json?all=1"]
        assert liar.lied == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_lie_is_as_it_was_ordered(tmp_path: Path, kind: str) -> None:
    with canned_daemon(tmp_path / "e", ROWS) as daemon, lying_proxy(tmp_path / "p", daemon) as (url, liar):
        honest = get(transport_to(url), "/x").body
        liar.arm({1: Lie(kind, 0.1)})
        try:
            answered: bytes | DaemonError = get(transport_to(url), "/x").body
        except DaemonError as cause:
            answered = cause
        assert liar.lied == [f"{kind} at request 1: GET /x"]
        assert get(transport_to(url), "/x").body == honest, "only that one"
    match kind:
        case "delay":
            assert answered == honest
        case "too long a length" | "dripping body":
            assert isinstance(answered, DaemonError)
            assert "closed the connection within its answer" in answered.message
        case _ if kind in BODIES:
            assert answered == BODIES[kind]
        case "truncated":
            assert isinstance(answered, bytes)
            assert honest.startswith(answered)
            assert len(answered) == len(honest) // 2
        case "too short a length":
            assert isinstance(answered, bytes)
            assert answered.startswith(honest[:3])
        case _:
            assert isinstance(answered, DaemonError)
            assert ("the proxy lies" in answered.message) is (kind[:3] in {"404", "409", "500"})


def test_every_kind_of_lie_has_its_turn() -> None:
    choose = random.Random(1)
    kinds = {lie.kind for _ in range(400) for lie in lies_of(choose, 50, 8).values()}
    assert kinds == set(KINDS) == {*UNSENT, *CLAIMS, *BODIES, *FORMS}
