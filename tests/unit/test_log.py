"""A container's log, read as a stream: the reading ends, whatever the log holds and however it arrives."""

from __future__ import annotations

import itertools
import json
import socketserver
import struct
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonRefused, DaemonUnreachable
from cortexctl.hosts.act import DockerDaemon
from cortexctl.hosts.log import (
    LINES_AT_MOST,
    LONGEST_LINE,
    LONGEST_TAIL,
    PIECE,
    READ_AT_MOST,
    Payload,
    Unfinished,
    Wanted,
    bounded,
    followed,
    last_lines,
    lines,
    pieces,
)
from cortexctl.hosts.transports.choice import connection_to
from cortexctl.text.shorten import shortened
from tests.fakes.dripping import Drip, dripping_daemon
from tests.fakes.sockets import read_request, serving_on

OK = b"HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\n\r\n"
LOG = Wanted("c" * 64, "vllm-model-tiny", 100, tty=False)


def frame(content: bytes, stream: int = 1) -> bytes:
    return struct.pack(">BxxxL", stream, len(content)) + content


def endless(piece: bytes) -> Iterator[bytes]:
    """An endless stream: its reader must stop by itself."""
    return itertools.repeat(piece)


# ---- frames


@given(
    contents=st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=40)), max_size=12),
    cuts=st.lists(st.integers(1, 30), min_size=1, max_size=60),
)
def test_frames_are_removed_however_the_stream_is_split(contents: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(frame(content, number) for number, content in contents)
    payload, at, got = Payload(tty=False), 0, b""
    for size in itertools.cycle(cuts):
        if at >= len(stream):
            break
        got += b"".join(payload.of(stream[at : at + size]))
        at += size
    assert got == b"".join(content for _, content in contents)


def test_a_terminals_log_has_no_frames() -> None:
    assert list(Payload(tty=True).of(b"as it is")) == [b"as it is"]


def test_an_answer_without_frames_is_not_a_log() -> None:
    with pytest.raises(Unfinished, match="the daemon's answer is not a log"):
        list(Payload(tty=False).of(b"<html>an error page</html>"))


# ---- lines


@given(text=st.text(alphabet="ab \r\nä\0", max_size=120), size=st.integers(1, 7))
def test_lines_are_the_same_however_the_stream_is_split(text: str, size: int) -> None:
    whole = text.encode()
    cut = [whole[at : at + size] for at in range(0, len(whole), size)]
    expected = [line.rstrip().rpartition("\r")[2] for line in text.split("\n") if line.strip()]
    assert list(lines(cut)) == [line for line in expected if line]


def test_of_bars_that_are_drawn_over_each_other_the_last_counts() -> None:
    assert list(lines([b"10%\r20%\r3", b"0%\r\nnext\r\n"])) == ["30%", "next"]


def of_one_line(size: int) -> Iterator[bytes]:
    yield b"the begin of it"
    yield from itertools.repeat(b" and more" * (PIECE // 9), size // PIECE)
    yield b" its end\n"


def test_a_line_of_any_length_is_both_its_ends_and_how_much_is_cut() -> None:
    (line,) = lines(of_one_line(64 << 20))
    assert line.startswith("the begin of it and more")
    assert line.endswith("and more its end")
    assert len(line) <= LONGEST_LINE
    assert " characters cut ...]" in line
    cut = int(line.partition("[... ")[2].partition(" ")[0].replace(",", ""))
    whole = sum(map(len, of_one_line(64 << 20))) - 1
    mark = f" [... {cut:,} characters cut ...] "
    assert cut + len(line) - len(mark) == whole


def test_a_cut_leaves_no_half_of_a_secret() -> None:
    """Only a whole secret is hidden."""
    secret = "swordfish-and-a-long-one-" * 8
    for shift in range(0, 2 * len(secret), 7):
        text = "x " * ((LONGEST_LINE // 2 - shift) // 2) + secret + " y" * LONGEST_LINE
        shown = shortened(text, LONGEST_LINE).replace(secret, "***")
        assert "swordfish" not in shown, shift
        shown = shortened(text[::-1], LONGEST_LINE).replace(secret[::-1], "***")
        assert "hsifdrows" not in shown, shift


@pytest.mark.parametrize(
    "piece",
    [b"x" * PIECE, b"\0" * PIECE, b"\r" * PIECE, b"bar\r" * (PIECE // 4), b"\xff" * PIECE, b"\n" * PIECE, b"a\n" * 999],
    ids=["one line", "NULs", "carriage returns", "bars", "no UTF-8", "empty lines", "short lines"],
)
def test_an_endless_log_is_cut_in_little_memory(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortexctl.hosts.log.READ_AT_MOST", 32 << 20)
    tracemalloc.start()
    try:
        tail = last_lines(bounded(endless(piece)), 5000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert tail[0] == "[... cut: this log is incomplete: the daemon sends far more than was requested ...]"
    assert all(len(line) <= LONGEST_LINE for line in tail)
    assert peak < 4 << 20


def test_only_the_end_of_a_log_is_kept() -> None:
    sent = (b"%d %s\n" % (n, b"x" * 10_000) for n in range(2_000))
    note, *tail = last_lines(sent, 5000)
    assert note == "[... cut: only the last 4 MiB of this log are included ...]"
    assert [line.split(" ")[0] for line in tail] == [str(n) for n in range(2_000 - len(tail), 2_000)]
    assert LONGEST_TAIL - 10_010 < sum(map(len, tail)) <= LONGEST_TAIL


def test_a_small_log_is_kept_whole_without_a_note() -> None:
    assert last_lines([b"one\ntwo\n", b"three"], 5000) == ["one", "two", "three"]
    assert last_lines([b"one\ntwo\n", b"three"], 2) == ["two", "three"]
    assert last_lines([], 5000) == []


def test_the_bounds_of_a_log_exceed_what_a_daemon_keeps_of_the_requested_lines() -> None:
    assert READ_AT_MOST > 5000 * (16 << 10)
    assert LINES_AT_MOST > 10 * 5000


# ---- followed


def test_a_followed_log_is_unchanged_but_for_long_lines() -> None:
    sent = [b"bar 1%\r", b"bar 2%\r\n", *[b"z" * PIECE] * 20, b"\nthe next\n"]
    shown = "".join(followed(sent))
    assert shown.startswith("bar 1%\rbar 2%\r\nzzz")
    assert shown.endswith(" [... cut ...]\nthe next\n")
    assert shown.count("z") == LONGEST_LINE
    assert shown.count("cut") == 1


def test_a_character_that_is_cut_in_two_is_followed_whole() -> None:
    assert "".join(followed(["ä".encode()[:1], "ä".encode()[1:]])) == "ä"


@given(text=st.text(alphabet="ab\r\n", max_size=200), size=st.integers(1, 9))
def test_of_short_lines_all_is_followed(text: str, size: int) -> None:
    whole = text.encode()
    assert "".join(followed(whole[at : at + size] for at in range(0, len(whole), size))) == text


# ---- the daemon's answer


def test_a_log_request_names_the_container_the_tail_and_the_start(tmp_path: Path) -> None:
    requests: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            requests.append(read_request(self.request))
            self.request.sendall(OK + frame(b"one\ntw") + frame(b"o\n", 2))

    wanted = Wanted("c" * 64, "vllm-model-tiny", 7, tty=False, since=1_700_000_000.25)
    with serving_on(tmp_path / "e.sock", Handler) as url:
        assert list(lines(pieces(connection_to(Host("here", url)), wanted))) == ["one", "two"]
    line = requests[0].strip().decode()
    assert line == f"GET /containers/{'c' * 64}/logs?stdout=1&stderr=1&tail=7&follow=0&since=1700000000.250000 HTTP/1.1"


@pytest.mark.parametrize(
    "drip",
    [
        Drip(b"HTTP/1.0 200 OK\r\n", b"X-More: 1\r\n"),
        Drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        Drip(b"HTTP/1.0 500 Internal Server Error\r\n\r\n", b"x"),
    ],
    ids=["head", "100 Continue", "error"],
)
def test_an_answer_that_never_begins_is_given_up(tmp_path: Path, drip: Drip) -> None:
    with dripping_daemon(tmp_path / "e.sock", drip) as url:
        with pytest.raises(DaemonUnreachable) as caught:
            list(pieces(connection_to(Host("here", url)), LOG, within=0.5))
        assert not drip.finished()
    assert caught.value.message == f"here: the daemon at {url} does not return the log of vllm-model-tiny"
    assert "docker logs vllm-model-tiny" in caught.value.next_step


@pytest.fixture
def hasty_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the reader of a log, three seconds pass between two readings of the clock: a minute ends after a few
    reads, and none of them fails on a busy machine.
    """
    clock = SimpleNamespace(monotonic=partial(next, itertools.count(0, 3)))
    monkeypatch.setattr("cortexctl.hosts.http.time", clock)
    monkeypatch.setattr("cortexctl.hosts.log.time", clock)


@pytest.mark.usefixtures("hasty_clock")
@pytest.mark.parametrize("reader_counts", [True, False])
@pytest.mark.parametrize("piece", [b"x", b"x\n"])
def test_the_part_of_a_dripping_log_that_came_in_time_is_kept(
    tmp_path: Path, piece: bytes, reader_counts: bool
) -> None:
    drip = Drip(OK + frame(b"ValueError: the first\n"), frame(piece))
    with dripping_daemon(tmp_path / "e.sock", drip) as url:
        note, first, *_ = last_lines(
            pieces(connection_to(Host("here", url)), LOG, within=60, reader_counts=reader_counts), 5000
        )
        assert not drip.finished()
    assert note == "[... cut: this log is incomplete: the daemon did not send all of it within 60 s ...]"
    assert first == "ValueError: the first"


def test_a_reader_may_take_more_time_than_the_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("cortexctl.hosts.http.time", clock)
    monkeypatch.setattr("cortexctl.hosts.log.time", clock)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            read_request(self.request)
            self.request.sendall(OK)
            for n in range(40):
                self.request.sendall(frame(b"%d\n" % n))

    read = []
    with serving_on(tmp_path / "e.sock", Handler) as url:
        for line in lines(pieces(connection_to(Host("here", url)), LOG, within=60, reader_counts=False)):
            read.append(line)
            now += 59
    assert read == [str(n) for n in range(40)]


@pytest.mark.parametrize(
    ("status", "body", "quoted"),
    [
        (501, json.dumps({"message": "configured logging driver does not support reading"}).encode(), "configured"),
        (404, b"no JSON", "status 404"),
        (500, json.dumps({"message": "m" * 10_000_000}).encode(), "status 500"),
    ],
)
def test_a_daemon_that_refuses_is_quoted(tmp_path: Path, status: int, body: bytes, quoted: str) -> None:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            read_request(self.request)
            self.request.sendall(b"HTTP/1.0 %d Something\r\n\r\n" % status + body)

    with serving_on(tmp_path / "e.sock", Handler) as url, pytest.raises(DaemonRefused) as caught:
        list(pieces(connection_to(Host("here", url)), LOG))
    assert caught.value.message.startswith(f"here: cannot read the log of vllm-model-tiny: {quoted}")
    assert caught.value.status == status
    assert len(caught.value.message) < 3_000


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.0\r\n\r\n", b"HTTP/1.0 x y\r\n\r\n"])
def test_an_invalid_answer_is_an_error_that_names_the_log(tmp_path: Path, answer: bytes) -> None:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            read_request(self.request)
            self.request.sendall(answer)

    expected: tuple[type[Exception], ...] = (DaemonUnreachable, DaemonRefused)
    with serving_on(tmp_path / "e.sock", Handler) as url, pytest.raises(expected) as caught:
        list(pieces(connection_to(Host("here", url)), LOG))
    assert "the log of vllm-model-tiny" in str(caught.value)


def test_a_daemon_that_breaks_off_leaves_what_it_sent(tmp_path: Path) -> None:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            read_request(self.request)
            self.request.sendall(OK + frame(b"x" * 40)[:20])

    with serving_on(tmp_path / "e.sock", Handler) as url:
        assert last_lines(pieces(connection_to(Host("here", url)), LOG), 10) == ["x" * 12]


# ---- as apply and the command line read it


@contextmanager
def whole_daemon(path: Path, log: bytes, drips: int = 0) -> Iterator[str]:
    """Enough of a daemon for its client to read a log. After the log it sends `drips` frames of one byte."""
    known = {
        "/version": {"ApiVersion": "1.41", "Version": "20.10.24"},
        "/json": {"Id": "c" * 64, "Name": "/vllm-model-tiny", "State": {}, "Config": {"Tty": False}},
    }

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            path_and_query = read_request(self.request).split(b" ")[1].decode()
            answer = next((v for k, v in known.items() if path_and_query.partition("?")[0].endswith(k)), None)
            body = log if answer is None else json.dumps(answer).encode()
            self.request.sendall(
                b"HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n\r\n" + body
            )
            with suppress(OSError):
                for _ in range(drips if answer is None else 0):
                    time.sleep(0.05)
                    self.request.sendall(frame(b"x"))

    with serving_on(path, Handler) as url:
        yield url


@pytest.mark.parametrize("read", ["logs", "log_lines", "follow"])
def test_every_way_to_a_log_is_bounded(tmp_path: Path, read: str) -> None:
    with whole_daemon(tmp_path / "e.sock", frame(b"one\n" + b"x" * 1_000_000 + b"\ntwo\n")) as url:
        daemon = DockerDaemon(connection_to(Host("here", url)), "demo")
        log = "".join(f"{line}\n" if read != "follow" else line for line in getattr(daemon, read)("tiny", 5))
    first, cut, last = log.splitlines()
    assert (first, last) == ("one", "two")
    assert len(cut) <= LONGEST_LINE + 20
    assert " cut ...]" in cut


@pytest.mark.usefixtures("hasty_clock")
def test_a_log_that_drips_is_read_for_its_time_by_apply_and_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cortexctl.hosts.log.WITHIN", 60)
    monkeypatch.setattr("cortexctl.hosts.act.REQUEST_TIMEOUT", 60)
    with whole_daemon(tmp_path / "e.sock", frame(b"one\n"), drips=2400) as url:
        daemon = DockerDaemon(connection_to(Host("here", url)), "demo")
        note, first, *_ = daemon.logs("tiny", 5)
        assert note.startswith("[... cut: this log is incomplete: the daemon did not send all of it")
        assert first == "one"
        lines_of_it = daemon.log_lines("tiny", 5)
        assert next(lines_of_it) == "one"
        with pytest.raises(
            DaemonUnreachable, match="here: the log of vllm-model-tiny is incomplete: the daemon did not"
        ):
            list(lines_of_it)


@given(
    text=st.text(alphabet="ab ,\n'", min_size=0, max_size=1_000),
    most=st.integers(100, 900),
)
def test_a_text_that_is_cut_has_both_ends_and_a_bound(text: str, most: int) -> None:
    short = shortened(text, most)
    assert len(short) <= most
    if len(text) <= most:
        assert short == text
    else:
        head, _, tail = short.partition(" [... ")
        assert text.startswith(head)
        assert text.endswith(tail.partition("cut ...] ")[2])
