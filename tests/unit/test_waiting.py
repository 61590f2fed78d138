"""What a command waits for, on a terminal: the line itself, who sees it, and that nothing of it stays."""

from __future__ import annotations

import io
import os
import pty
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from cortexctl.cli.live_lines import LiveLines, size_of
from cortexctl.cli.questions import Questions
from cortexctl.concurrently import at_once_watched
from cortexctl.errors import DaemonUnreachable
from cortexctl.render.columns import columns_of, cut_to
from cortexctl.render.waiting import Waiting, waiting_line
from tests.fakes.daemon_socket import talking_daemon
from tests.reading import model_text, stack_text
from tests.screen import RealTerminal, Screen, real_terminal, shown
from tests.waiting import wait_until

THREE = ("gpu-3", "gpu-7", "gpu-9")
MANY = tuple(f"gpu-{n}" for n in range(300))


@pytest.mark.parametrize(
    ("wait", "now", "columns", "line"),
    [
        (Waiting("hosts", 12, 3, THREE, 0, 0), 4, 77, "Waiting for 3 of 12 hosts: gpu-3, gpu-7, gpu-9 (4s)"),
        (Waiting("hosts", 12, 3, THREE, 0, 0), 4, 46, "Waiting for 3 of 12 hosts (4s)"),
        (Waiting("hosts", 12, 3, THREE, 0, 0), 4, 48, "Waiting for 3 of 12 hosts: gpu-3 and 2 more (4s)"),
        (Waiting("hosts", 12, 3, THREE, 0, 0), 4, 20, "Waiting for 3 of ..."),
        (Waiting("hosts", 1000, 300, MANY, 0, 0), 75, 70, "Waiting for 300 of 1000 hosts: gpu-0, gpu-1 and 298 more (1m15s)"),
        (Waiting("hosts", 1, 1, ("gpu-3",), 0, 0), 2, 77, "Waiting for gpu-3 (2s)"),
        (Waiting("hosts", 1, 1, ("a" * 100,), 0, 0), 2, 30, "Waiting for aaaaaaaaaa... (2s)"),
        (Waiting("servers", 40, 3, ("gpu-3", "gpu-7"), 0, 2), 4, 77, "Waiting for 3 of 40 servers: gpu-3, gpu-7 (2s)"),
        (Waiting("answers", 9, 1, ("images of gpu-3",), 0, 0), 9, 77, "Waiting for 1 of 9 answers: images of gpu-3 (9s)"),
        (Waiting("hosts", 2, 1, ("模型-1",), 0, 0), 9, 42, "Waiting for 1 of 2 hosts: 模型-1 (9s)"),
        (Waiting("hosts", 2, 1, ("模型-1",), 0, 0), 9, 36, "Waiting for 1 of 2 hosts (9s)"),
        (Waiting("hosts", 2, 1, ("a\x1b[31mb",), 0, 0), 9, 77, "Waiting for 1 of 2 hosts: a␛[31mb (9s)"),
        (Waiting("hosts", 12, 3, THREE, 0, 0), 0.9, 77, ""),
        (Waiting("hosts", 12, 0, (), 0, 0), 9, 77, ""),
    ],
    ids=[
        "all names", "no room for a name", "room for one", "narrow", "a large fleet", "one host", "one long name", "servers", "facts",
        "wide names", "wide names that do not fit", "control characters", "fast", "all have answered",
    ],
)  # fmt: skip
def test_the_line_names_what_is_missing_as_far_as_it_fits(wait: Waiting, now: float, columns: int, line: str) -> None:
    assert waiting_line(wait, now, columns) == line
    assert columns_of(line) <= columns


@pytest.mark.parametrize(
    ("line", "columns", "cut"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "..."),
        ("abcdef", 5, "ab..."),
        ("模型模型", 6, "模..."),
        ("e\u0301" * 3, 3, "e\u0301" * 3),
        ("\x1b[1mabcdef\x1b[0m", 5, "\x1b[1mab\x1b[0m..."),
        ("abcdef", 1, "."),
        ("abcdef", 0, ""),
    ],
)
def test_a_line_is_cut_by_its_columns(line: str, columns: int, cut: str) -> None:
    assert cut_to(line, columns) == cut


class Time:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def line_of(open_questions: Questions) -> str:
    """The line on a wide terminal."""
    return "".join(open_questions.lines(os.terminal_size((120, 24))))


def test_the_time_counts_from_the_first_question_of_a_kind() -> None:
    time = Time()
    open_questions = Questions(time)
    open_questions.begins(["a", "b"])
    time.now += 0.9
    assert line_of(open_questions) == "", "nothing in the first second"
    open_questions.answered("a")
    time.now += 2.1
    assert line_of(open_questions) == "Waiting for 1 of 2 hosts: b (3s)"
    open_questions.answered("b")
    assert line_of(open_questions) == ""
    open_questions.begins(["a"])
    assert line_of(open_questions) == "Waiting for a (3s)", "the hosts are still being read"
    open_questions.begins(["b", "a", "b"], "servers")
    assert line_of(open_questions) == "Waiting for 3 of 3 servers: b, a (0s)"
    open_questions.answered("b")
    time.now += 1
    assert line_of(open_questions) == "Waiting for 2 of 3 servers: b, a (1s)", "one of b has not answered"
    open_questions.begins(())
    assert line_of(open_questions) == ""
    time.now += 60
    open_questions.begins(["c"], "servers")
    assert line_of(open_questions) == "", "a new wait, whose first second shows nothing"


def test_a_question_that_fails_ends_the_wait() -> None:
    time = Time()
    open_questions = Questions(time)

    def call(host: str) -> str:
        if host == "b":
            raise DaemonUnreachable("b: away")
        return host

    with pytest.raises(DaemonUnreachable):
        at_once_watched(call, ["a", "b", "c"], open_questions)
    time.now += 9
    assert line_of(open_questions) == ""
    assert at_once_watched(call, ["a", "c"], open_questions) == ["a", "c"]
    time.now += 9
    assert line_of(open_questions) == ""


def test_answers_from_many_threads_all_count() -> None:
    time = Time()
    open_questions = Questions(time)
    names = [f"h{n}" for n in range(200)]
    together = threading.Barrier(8)

    def call(name: str) -> None:
        if int(name[1:]) < 8:
            together.wait(60)
        open_questions.lines(os.terminal_size((80, 24)))

    at_once_watched(call, names, open_questions)
    assert (open_questions._left, +open_questions._owed) == (0, {})


# what is on the terminal


@contextmanager
def on(screen: Screen, *picture: str) -> Iterator[LiveLines]:
    """The lines on a screen, drawn."""
    lines = screen.lines()
    with lines.showing(lambda _size: picture):
        lines.draw()
        yield lines


def test_other_output_stands_above_the_lines_and_nothing_of_them_stays() -> None:
    screen = Screen()
    with on(screen, "one", "two") as lines:
        assert screen.text() == "one\ntwo"
        screen.funnel(lines).write("a note\n")
        assert screen.text() == "a note\none\ntwo"
        screen.funnel(lines).write("Type yes: ")
        lines.draw()
        assert screen.text() == "a note\nType yes:", "not in the line of a prompt"
        screen.funnel(lines).write("\n")
        assert screen.text() == "a note\nType yes:\none\ntwo"
    assert screen.text() == "a note\nType yes:"


def test_the_same_lines_are_not_drawn_twice() -> None:
    screen = Screen()
    with on(screen, "one") as lines:
        written = screen.written()
        lines.draw()
        assert screen.written() == written


def test_lines_fit_the_window_and_a_narrower_window_is_erased_too() -> None:
    screen = Screen(columns=20, rows=3)
    with on(screen, "0", "1", "x" * 30, "2") as lines:
        assert screen.text() == "xxxxxxxxxxxxxx...\n2", "the last ones, with space for a ^C, below one free row"
        wrapped, screen.size = shown(screen.written(), 10), os.terminal_size((10, 24))
        assert wrapped.count("\n") == 2
        lines.draw()
        assert shown(screen.written(), 10) == "0\n1\nxxxx...\n2"


def test_an_interrupt_is_written_on_a_clean_line() -> None:
    screen = Screen()
    with on(screen, "one", "two") as lines:
        screen.funnel(lines).stream.write("^C" + lines.erasure() + "Stopping\n")
        assert screen.text() == "Stopping"


def test_a_terminal_that_is_gone_does_no_harm() -> None:
    ours, theirs = pty.openpty()
    terminal = os.fdopen(theirs, "w", encoding="utf-8")
    lines = LiveLines(terminal, str, lambda: size_of(terminal))
    with lines.showing(lambda _size: ["one"]):
        os.close(ours)
        lines.draw()
    with suppress(OSError):  # it cannot be written any more
        terminal.close()


# who sees it


@pytest.fixture
def terminal() -> Iterator[RealTerminal]:
    """No wait is too short to be shown on it."""
    with real_terminal() as terminal:
        yield terminal


def stack_of(url: str, tmp_path: Path) -> str:
    """A stack on this daemon."""
    file = tmp_path / "stack.toml"
    file.write_text(stack_text(model_text(), hosts=f'[hosts.here]\nmodels_dir = "/m"\ndocker = "{url}"\n'))
    return str(file)


@pytest.mark.parametrize("command", ["status", "plan", "drift", "observe", "lock status", "doctor --stack"])
def test_a_slow_host_is_named_until_it_answers(command: str, terminal: RealTerminal, tmp_path: Path) -> None:
    with talking_daemon(tmp_path / "d.sock", {}) as daemon:
        daemon.before_answer = lambda: wait_until(lambda: "Waiting for here (" in terminal.written())
        terminal.run(*command.split(), stack_of(daemon.url, tmp_path))
    left = shown(terminal.written())
    assert left
    assert "Waiting" not in left


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        ((), {"TERM": "dumb"}),
        ((), {"TERM": "dumb", "FORCE_COLOR": "1"}),
        ((), {"NO_COLOR": "1"}),
        ((), {"CI": "true"}),
        (("--format", "json"), {}),
        (None, {}),
    ],
    ids=["dumb", "dumb with colour", "no colour", "CI", "JSON on the terminal", "stderr in a file"],
)
def test_nothing_is_drawn_without_a_person_at_a_terminal(
    arguments: tuple[str, ...] | None,
    environ: dict[str, str],
    terminal: RealTerminal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    errors = io.StringIO() if arguments is None else None
    with talking_daemon(tmp_path / "d.sock", {}) as daemon:
        threads: list[str] = []
        daemon.before_answer = lambda: threads.extend(t.name for t in threading.enumerate())
        terminal.run("status", stack_of(daemon.url, tmp_path), *(arguments or ()), errors=errors)
    assert threads
    assert not [name for name in threads if "_draw_until" in name], "no thread that draws"
    assert "\x1b[J" not in terminal.written()
    assert "Waiting" not in terminal.written()


def test_an_interrupt_leaves_a_clean_terminal(terminal: RealTerminal, tmp_path: Path) -> None:
    def interrupted(_host: object, *, locates: bool) -> None:
        wait_until(lambda: "Waiting for here (" in terminal.written())
        raise KeyboardInterrupt

    with talking_daemon(tmp_path / "d.sock", {}) as daemon, pytest.MonkeyPatch.context() as patch:
        patch.setattr("cortexctl.hosts.read.observe_host", interrupted)
        assert terminal.run("status", stack_of(daemon.url, tmp_path)) == 130
    assert shown(terminal.written()).strip() == "Error: interrupted"
