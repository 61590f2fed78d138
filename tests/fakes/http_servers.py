"""HTTP servers that answer badly, or not at all."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.fakes.reach import LoopbackReach
from tests.fakes.sockets import read_request


@contextmanager
def server(behave: Callable[[socket.socket], None]) -> Iterator[LoopbackReach]:
    """Calls `behave` with each connection. Yields the server's reach."""
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
        yield LoopbackReach(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def answers(raw: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(raw)

    return behave


def hang(connection: socket.socket) -> None:
    read_request(connection)
    time.sleep(30)


def drips(begin: bytes, drop: bytes, count: int = 600) -> Callable[[socket.socket], None]:
    """A server that sends `drop` again and again for a minute, each one within the time limit of a read."""

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(begin)
        for _ in range(count):
            time.sleep(0.1)
            connection.sendall(drop)

    return behave


def slam(connection: socket.socket) -> None:
    read_request(connection)
