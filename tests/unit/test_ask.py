"""One question, one answer, one deadline: whatever the server does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cortexctl.health.ask import ask_all, ask_health
from cortexctl.health.probe import HttpProber
from cortexctl.observed.health import Answer, Heard


@contextmanager
def server(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """Each connection is given to `behave`; yields the endpoint."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_one, args=(connection,), daemon=True).start()

        def _one(connection: socket.socket) -> None:
            with connection:
                try:
                    behave(connection)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def answers(raw: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(raw)

    return behave


def hang(connection: socket.socket) -> None:
    connection.recv(4096)
    time.sleep(5)


def drip(connection: socket.socket) -> None:
    connection.recv(4096)
    for letter in b"HTTP/1.1 " * 100:
        connection.sendall(bytes([letter]))
        time.sleep(0.1)


def slam(connection: socket.socket) -> None:
    connection.recv(4096)


@pytest.mark.parametrize(
    ("behave", "expected", "in_words"),
    [
        (answers(b"HTTP/1.1 200 OK\r\n\r\n"), Answer(Heard.HEALTHY, 200), ""),
        (answers(b"HTTP/1.1 503 Service Unavailable\r\n"), Answer(Heard.STATUS, 503), "status 503"),
        (answers(b"HTTP/1.0 200\r\n"), Answer(Heard.HEALTHY, 200), ""),
        (answers(b"SSH-2.0-OpenSSH_9.2\r\n"), Answer(Heard.STATUS), "status 0"),
        (answers(b"x" * 100_000), Answer(Heard.STATUS), "status 0"),
        (slam, Answer(Heard.RESET), "no connection"),
        (hang, Answer(Heard.SILENT), "no answer"),
        (drip, Answer(Heard.SILENT), "no answer"),
    ],
)
def test_what_is_heard(
    behave: Callable[[socket.socket], None], expected: Answer, in_words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cortexctl.health.probe.QUICK", 0.5)
    with server(behave) as endpoint:
        began = time.monotonic()
        assert ask_health(endpoint, 0.5) == expected
        assert time.monotonic() - began < 1.5
        prober = HttpProber()
        assert prober.health(endpoint) == in_words
        prober.close()


def test_nobody_listens_and_nobody_is_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert ask_health(closed, 1) == Answer(Heard.REFUSED)
    assert ask_health("http://no-such-host.invalid:80", 1) == Answer(Heard.UNREACHED)
    assert ask_health("http://[::1]:1", 1).heard in {Heard.REFUSED, Heard.UNREACHED}


def test_many_that_hang_cost_one_deadline() -> None:
    with server(hang) as endpoint:
        same = [f"{endpoint}/{i}" for i in range(40)]  # told apart by what nobody asks for
        began = time.monotonic()
        heard = ask_all(same, 1.0)
        assert time.monotonic() - began < 4
    assert set(heard) == set(same)
    assert set(heard.values()) == {Answer(Heard.SILENT)}
    assert ask_all([], 1.0) == {}
