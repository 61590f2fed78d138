"""The one reader of a daemon's answers: chunks, refusals, and answers that never end."""

from __future__ import annotations

import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cortexctl.errors import DaemonRefused, DaemonUnreachable
from cortexctl.hosts import http
from cortexctl.hosts.archive import read_file
from cortexctl.hosts.http import exchange, get, opened
from cortexctl.hosts.transports.choice import transport_to
from tests.fakes.dripping import Drip, dripping_daemon
from tests.fakes.sockets import serving_on

HEAD = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nServer: Docker/20.10.24 (linux)\r\n"


@contextmanager
def sends(path: Path, answer: bytes) -> Iterator[str]:
    """A daemon that sends these bytes to every request and closes the connection."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answer)

    with serving_on(path, Handler) as url:
        yield url


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 4\r\n\r\nbody and more than that",
        b"\r\nbody",
        b"Connection: close\r\n\r\nbody",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2;extension=1\r\ndy\r\n0\r\n\r\n",
    ],
)
def test_a_body_is_read_however_it_is_sent(tmp_path: Path, body: bytes) -> None:
    with sends(tmp_path / "d.sock", HEAD + body) as url:
        answer = get(transport_to(url), "/_ping")
    assert (answer.body, answer.daemon, answer.api) == (b"body", "Docker/20.10.24 (linux)", "1.41")


def test_interim_answers_before_the_answer_are_skipped(tmp_path: Path) -> None:
    with sends(tmp_path / "d.sock", b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"\r\nbody") as url:
        assert get(transport_to(url), "/_ping").body == b"body"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 nothing\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n[]",
    ],
    ids=["another protocol", "no status", "too many headers", "too long a header", "another server"],
)
def test_what_is_not_a_daemon_is_named_as_such(tmp_path: Path, answer: bytes) -> None:
    with sends(tmp_path / "d.sock", answer) as url, pytest.raises(DaemonUnreachable, match="is not a Docker daemon"):
        get(transport_to(url), "/_ping")


def test_a_daemon_that_closes_the_connection_at_once_is_unreachable(tmp_path: Path) -> None:
    with sends(tmp_path / "d.sock", b"") as url, pytest.raises(DaemonUnreachable, match="without an answer"):
        get(transport_to(url), "/_ping")


@pytest.mark.parametrize("rest", [b"zz\r\nbody", b"5\r\nbo", b"2\r\nbo\r\n"])
def test_chunks_that_break_off_are_an_error_and_never_a_short_answer(tmp_path: Path, rest: bytes) -> None:
    with (
        sends(tmp_path / "d.sock", HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + rest) as url,
        pytest.raises(DaemonUnreachable),
    ):
        get(transport_to(url), "/_ping")


def test_a_refusal_has_the_daemons_message_and_status(tmp_path: Path) -> None:
    answer = b'HTTP/1.1 409 Conflict\r\nApi-Version: 1.41\r\n\r\n{"message":"it is in use"}'
    with sends(tmp_path / "d.sock", answer) as url, pytest.raises(DaemonRefused, match="it is in use") as refused:
        get(transport_to(url), "/x")
    assert refused.value.status == 409


@pytest.mark.parametrize(
    "first", [b"", b"HTTP/1.1 200 OK\r\n", HEAD + b"\r\n", HEAD + b"Content-Length: 99999\r\n\r\n"]
)
def test_a_daemon_that_drips_is_given_up_within_one_time_for_all_of_its_answer(tmp_path: Path, first: bytes) -> None:
    drip = Drip(first, b"A: b\r\n")
    with dripping_daemon(tmp_path / "d.sock", drip) as url:
        with pytest.raises(DaemonUnreachable), opened(transport_to(url), "GET", "/x", whole=0.5) as answer:
            answer.read()
        assert not drip.finished()


def test_a_file_that_drips_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortexctl.hosts.archive.WHOLE_FILE", 0.5)
    drip = Drip(HEAD + b"\r\n", b"x")
    with dripping_daemon(tmp_path / "d.sock", drip) as url, pytest.raises(DaemonUnreachable):
        read_file(transport_to(url), "id", "/models/config.json", 10)
    assert not drip.finished()


def test_an_answer_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LARGEST_ANSWER", 10)
    with sends(tmp_path / "d.sock", HEAD + b"\r\n" + b"x" * 11) as url, pytest.raises(DaemonUnreachable):
        get(transport_to(url), "/x")
    with sends(tmp_path / "e.sock", HEAD + b"\r\n" + b"x" * 10) as url:
        assert len(exchange(transport_to(url), "GET", "/x").body) == 10


def test_a_path_that_is_not_one_is_never_sent(tmp_path: Path) -> None:
    with sends(tmp_path / "d.sock", HEAD + b"\r\n") as url:
        for path in ("/a b", "/a\r\nX: y", "/\N{LATIN SMALL LETTER E WITH ACUTE}"):
            with pytest.raises(DaemonUnreachable):
                get(transport_to(url), path)
