"""Connections to a daemon's socket while many clients wait for it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cortexctl.errors import DaemonUnreachable
from cortexctl.hosts.transports.choice import transport_to


@contextmanager
def busy_daemon(path: Path) -> Iterator[socket.socket]:
    """Its queue has room for one client, and one waits in it."""
    with socket.socket(socket.AF_UNIX) as daemon, socket.socket(socket.AF_UNIX) as waiting:
        daemon.bind(str(path))
        daemon.listen(0)
        waiting.connect(str(path))
        yield daemon


def test_a_connection_waits_for_its_turn(tmp_path: Path) -> None:
    connections: list[socket.socket] = []
    with busy_daemon(tmp_path / "d.sock") as daemon:
        client = threading.Thread(
            target=lambda: connections.append(transport_to(f"unix://{tmp_path}/d.sock").connect(60))
        )
        client.start()
        client.join(0.2)
        assert client.is_alive(), "it waits"
        with daemon.accept()[0], daemon.accept()[0] as accepted:
            client.join()
            with connections[0] as connection:
                connection.sendall(b"x")
                assert accepted.recv(1) == b"x"
                assert connection.gettimeout() == 60


@pytest.mark.parametrize("seconds", [0.2, 0.0])
def test_a_connection_that_never_gets_its_turn_is_given_up(tmp_path: Path, seconds: float) -> None:
    with busy_daemon(tmp_path / "d.sock"), pytest.raises(DaemonUnreachable, match="does not answer"):
        transport_to(f"unix://{tmp_path}/d.sock").connect(seconds)
