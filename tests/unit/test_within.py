"""Servers that drip: a report and a request to the Hub are given up, whichever part of the answer never ends.

Every server here would send for two minutes. No test reads a clock: a client that waits reaches the server's end.
"""

from __future__ import annotations

from http import HTTPStatus

import httpx
import pytest

from cortexctl.errors import NotifyFailed
from cortexctl.health.hub import files_from_hub
from cortexctl.health.whole_deadline import Connections, Overdue
from cortexctl.hooks.notify import destination, notify
from cortexctl.model_files.files import ModelSource
from tests.fakes.dripping import Drip, dripping_server
from tests.fakes.receiver import Receiver, receiver

SOURCE = ModelSource("gpu-1", "", "", "org/name", "main")
HANDSHAKE = b"\x16\x03\x03\x3f\xff"
"""The begin of a record of TLS with 16,383 bytes of a handshake in it."""
NEVER_ENDING = {
    "head": ("http", b"HTTP/1.1 200 OK\r\n", b"X"),
    "status line": ("http", b"HTTP/1.1 200 ", b"O"),
    "100 Continue": ("http", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "102 Processing": ("http", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "handshake": ("https", HANDSHAKE, b"\x02"),
}
BODIES = {
    "body": (b"HTTP/1.1 200 OK\r\n\r\n", b"{"),
    "body of a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"{"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n"),
    "gzip": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\0", b"\0\0\0\xff\xff"),
}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortexctl.hooks.notify.TIMEOUT", 0.5)
    monkeypatch.setattr("cortexctl.health.hub.WITHIN", 0.5)


@pytest.mark.parametrize("part", NEVER_ENDING)
def test_a_report_to_a_receiver_that_drips_is_given_up(part: str) -> None:
    scheme, first, piece = NEVER_ENDING[part]
    drip = Drip(first, piece)
    with dripping_server(drip) as port:
        with pytest.raises(NotifyFailed, match="no answer within 0 s, 4 times"):
            notify(destination(f"{scheme}://127.0.0.1:{port}/"), b"{}", timestamp=1, sleep=lambda _: None)
        assert not drip.finished()


def test_a_receivers_body_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortexctl.hooks.notify.TIMEOUT", 60)
    drip = Drip(*BODIES["body"])
    with dripping_server(drip) as port:
        notify(destination(f"http://127.0.0.1:{port}/"), b"{}", timestamp=1, sleep=lambda _: None)
        assert not drip.finished()


def test_all_tries_together_have_an_end() -> None:
    drip = Drip(b"HTTP/1.1 200 OK\r\n", b"X")
    with dripping_server(drip) as port:
        with pytest.raises(NotifyFailed, match="1 time"):
            notify(destination(f"http://127.0.0.1:{port}/"), b"{}", timestamp=1, sleep=lambda _: None, within=1)
        assert not drip.finished()


@pytest.mark.parametrize("part", [*NEVER_ENDING, *BODIES])
def test_a_hub_that_drips_is_given_up(part: str) -> None:
    scheme, first, piece = NEVER_ENDING[part] if part in NEVER_ENDING else ("http", *BODIES[part])
    drip = Drip(first, piece)
    with dripping_server(drip) as port:
        files = files_from_hub(SOURCE, {"HF_ENDPOINT": f"{scheme}://127.0.0.1:{port}"})
        assert not drip.finished()
    assert files.problem == "the Hub did not deliver a whole file within 0 s"


def test_the_target_of_a_redirect_of_the_hub_may_not_drip_either() -> None:
    drip = Drip(*BODIES["body"])
    with dripping_server(drip) as port:
        led = {"Location": f"http://127.0.0.1:{port}/blob"}
        with receiver([(HTTPStatus.TEMPORARY_REDIRECT, led)]) as redirecting:
            files = files_from_hub(SOURCE, {"HF_ENDPOINT": redirecting.url})
        assert not drip.finished()
    assert files.problem == "the Hub did not deliver a whole file within 0 s"


# ---- the deadline itself


def test_an_answer_in_time_is_an_answer_and_its_connection_is_used_again() -> None:
    ports = set()
    with receiver() as at, Connections() as connections, httpx.Client(timeout=60) as client:
        for _ in range(3):
            with connections.within(60):
                answer = client.get(at.url, extensions=connections.extensions)
            assert answer.status_code == HTTPStatus.NO_CONTENT
            ports.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(ports) == 1


def test_a_request_after_one_that_was_cut_is_answered() -> None:
    drip = Drip(b"HTTP/1.1 200 OK\r\n", b"X")
    with (
        dripping_server(drip) as port,
        receiver() as at,
        Connections() as connections,
        httpx.Client(timeout=60) as client,
    ):
        with pytest.raises(Overdue), connections.within(0.3):
            client.get(f"http://127.0.0.1:{port}", extensions=connections.extensions)
        assert not drip.finished()
        with connections.within(60):
            answer = client.get(at.url, extensions=connections.extensions)
    assert answer.status_code == HTTPStatus.NO_CONTENT


def test_no_request_starts_after_the_deadline() -> None:
    def late(at: Receiver, client: httpx.Client, connections: Connections) -> None:
        with connections.within(0):
            assert connections._over.wait(60)
            client.get(at.url, extensions=connections.extensions)

    with receiver() as at, Connections() as connections, httpx.Client(timeout=60) as client, pytest.raises(Overdue):
        late(at, client, connections)
    assert at.got == []


def test_an_error_before_the_deadline_is_raised_unchanged() -> None:
    with Connections() as connections, pytest.raises(ZeroDivisionError), connections.within(60):
        _ = 1 // 0
