"""One request, one answer, one deadline, for every behaviour of the server."""

from __future__ import annotations

import gzip
import re
import socket
import threading
from collections.abc import Callable

import pytest

from cortexctl.engines.vllm.contract import CONTRACT
from cortexctl.errors import PathFailed, ProbeFailed
from cortexctl.health.health_check import query_all, query_health
from cortexctl.health.prober import HttpProber
from cortexctl.health.query import ApiRequest, call_api
from cortexctl.observed.health import Answer, HealthOutcome
from cortexctl.reach import Stream
from tests.fakes.http_servers import answers, drips, hang, server, slam
from tests.fakes.ports import reserved_port
from tests.fakes.reach import BrokenReach, FailingReach, LoopbackReach
from tests.fakes.sockets import read_request

NEVER_ENDING_HEADS = [
    drips(b"", b"H"),
    drips(b"HTTP/1.1 200 OK\r\n", b"X-Drop: 1\r\n"),
    drips(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    drips(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
]
NEVER_ENDING_BODIES = [
    drips(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
    drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    drips(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    drips(b"HTTP/1.1 500 Oh\r\n\r\n", b"x"),
]


def floods(begin: bytes, piece: bytes) -> Callable[[socket.socket], None]:
    """A server that sends far more than a client needs, as fast as the client reads."""

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(begin)
        for _ in range(4096):
            connection.sendall(piece)

    return behave


@pytest.mark.parametrize(
    ("behave", "expected", "problem"),
    [
        (answers(b"HTTP/1.1 200 OK\r\n\r\n"), Answer(HealthOutcome.HEALTHY, 200), ""),
        (answers(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), Answer(HealthOutcome.HEALTHY, 200), ""),
        (answers(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"), Answer(HealthOutcome.STATUS, 503), "status 503"),
        (answers(b"HTTP/1.0 200\r\n\r\n"), Answer(HealthOutcome.HEALTHY, 200), ""),
        (answers(b"HTTP/1.1 200 OK\r\n"), Answer(HealthOutcome.RESET), "no connection"),
        (answers(b"HTT"), Answer(HealthOutcome.RESET), "no connection"),
        (answers(b"SSH-2.0-OpenSSH_9.2\r\n"), Answer(HealthOutcome.STATUS), "status 0"),
        (answers(b"x" * 100_000), Answer(HealthOutcome.STATUS), "status 0"),
        (answers(b"HTTP/1.1 two hundred\r\n\r\n"), Answer(HealthOutcome.STATUS), "status 0"),
        (slam, Answer(HealthOutcome.RESET), "no connection"),
        (hang, Answer(HealthOutcome.SILENT), "no answer"),
        *((never, Answer(HealthOutcome.SILENT), "no answer") for never in NEVER_ENDING_HEADS),
    ],
)
def test_the_outcome_of_each_kind_of_answer(
    behave: Callable[[socket.socket], None], expected: Answer, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 0.5 if expected.outcome is HealthOutcome.SILENT else 60
    monkeypatch.setattr("cortexctl.health.prober.QUICK", seconds)
    with server(behave) as reach:
        assert query_health(reach, seconds, CONTRACT.health) == expected
        assert HttpProber(CONTRACT).health(reach) == problem


def test_a_closed_port_refuses_and_a_broken_reach_is_unreached() -> None:
    with reserved_port() as port:
        assert query_health(LoopbackReach(port), 1, CONTRACT.health) == Answer(HealthOutcome.REFUSED)
    assert query_health(BrokenReach("no way"), 1, CONTRACT.health) == Answer(HealthOutcome.UNREACHED, why="no way")
    with pytest.raises(PathFailed, match="no way"):
        HttpProber(CONTRACT).health(BrokenReach("no way"))


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (TimeoutError(), "no connection within 10 s"),
        (ConnectionResetError(104, "Connection reset by peer"), "no connection (Connection reset by peer)"),
        (OSError("odd"), "no connection (it was closed)"),
    ],
)
def test_a_connection_that_fails_is_a_fault_of_the_reach_and_not_of_the_server(fault: OSError, why: str) -> None:
    reach = FailingReach(fault)
    assert query_health(reach, 1, CONTRACT.health) == Answer(HealthOutcome.UNREACHED, why=why)
    with pytest.raises(PathFailed, match=re.escape(why)):
        call_api(reach, ApiRequest("/v1/models", None, "GET"), 1)


def test_the_time_that_a_connection_takes_is_not_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, the program inside the container that connects may start slowly."""
    now = [0.0]
    monkeypatch.setattr("cortexctl.health.health_check.time.monotonic", lambda: now[0])

    class Slow(LoopbackReach):
        def connect(self, seconds: float, _announced: bytes = b"") -> Stream:
            now[0] += seconds - 1
            return super().connect(seconds)

    with server(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) as reach:
        slow = Slow(reach.port)
        assert query_health(slow, 5, CONTRACT.health) == Answer(HealthOutcome.HEALTHY, 200)
        assert call_api(slow, ApiRequest("/version", None, "GET"), 5) == {}


@pytest.mark.parametrize("behave", [*NEVER_ENDING_HEADS, *NEVER_ENDING_BODIES])
def test_an_answer_that_never_ends_is_given_up(behave: Callable[[socket.socket], None]) -> None:
    """The server would send for a minute. The query ends before the server does."""
    over = threading.Event()

    def to_the_end(connection: socket.socket) -> None:
        behave(connection)
        over.set()

    with server(to_the_end) as reach, pytest.raises(ProbeFailed, match="no answer in time"):
        call_api(reach, ApiRequest("/v1/models", None, "GET"), 0.5)
    assert not over.is_set()


@pytest.mark.parametrize(
    "behave",
    [
        floods(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
        floods(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2048),
        floods(b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 65536),
    ],
)
def test_an_answer_without_bounds_is_given_up(behave: Callable[[socket.socket], None]) -> None:
    """Each answer would have 100 MiB or more."""
    over = threading.Event()

    def to_the_end(connection: socket.socket) -> None:
        behave(connection)
        over.set()

    with server(to_the_end) as reach, pytest.raises(ProbeFailed, match=r"is too long|is not HTTP"):
        call_api(reach, ApiRequest("/v1/models", None, "GET"), 600)
    assert not over.is_set()


def test_a_compressed_answer_is_not_unpacked() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with server(answers(head + bomb)) as reach, pytest.raises(ProbeFailed, match="not JSON"):
        call_api(reach, ApiRequest("/v1/models", None, "GET"), 60)


def test_a_key_that_no_header_can_hold_is_one_sentence() -> None:
    with server(answers(b"")) as reach, pytest.raises(ProbeFailed, match="cannot be sent") as failed:
        call_api(reach, ApiRequest("/v1/models", "planted\r\nX-Evil: 1", "GET"), 5)
    assert "planted" not in failed.value.message


def test_many_servers_that_hang_are_queried_in_parallel() -> None:
    """Forty servers never answer, and each has a second. In sequence, they would need longer than the server waits."""
    with server(hang) as reach:
        answers = query_all(dict.fromkeys(range(40), (reach, CONTRACT.health)), 1.0)
    assert set(answers) == set(range(40))
    assert set(answers.values()) == {Answer(HealthOutcome.SILENT)}
    assert query_all({}, 1.0) == {}
