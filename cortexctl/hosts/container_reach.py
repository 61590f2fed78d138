"""How a container's server is reached: at its own address, if this machine's kernel proves that the connection ends in
it; else from inside the container. Published ports are for clients: another program may answer at one here.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress

from cortexctl.decoding.decode import read_json
from cortexctl.errors import DaemonError, DaemonRefused, NotListening, PathFailed
from cortexctl.hosts import kernel
from cortexctl.hosts.http import NOT_FOUND, get
from cortexctl.hosts.inside import connect_inside
from cortexctl.hosts.transport import Transport
from cortexctl.observed.location import Location, parse_location
from cortexctl.reach import Stream

OWN_ADDRESS = 2.0
"""Seconds for a connection to an address of this machine's own network."""
TRIES = 3
"""Number of consecutive failed connections before the address is not tried again: each may take its time."""


class ContainerReach:
    """Implements `reach.Reach` for one container, by its id. It is inspected before each connection, because a restart
    gives it another process and another address.
    """

    def __init__(self, transport: Transport, container: str) -> None:
        self._transport = transport
        self._container = container
        self._failed = 0
        """Consecutive connections to its own address that failed."""
        self._is_inside = False
        self._target = "its port"

    @property
    def target(self) -> str:
        return self._target

    @property
    def is_slow(self) -> bool:
        return self._is_inside

    def connect(self, seconds: float) -> Stream:
        """Raises NotListening, PathFailed, TimeoutError."""
        end = time.monotonic() + seconds
        at = self._location(seconds)
        if not at.running:
            raise NotListening("its container does not run")
        direct = _by_its_address(at, end) if self._failed < TRIES else None
        self._failed = 0 if direct is not None else self._failed + 1
        self._is_inside = direct is None
        if direct is not None:
            connection, address = direct
            self._target = f"{address}:{at.port}"
            return connection
        self._target = f"its port {at.port}, from inside the container"
        try:
            return connect_inside(self._transport, at, max(end - time.monotonic(), 0.1))
        except DaemonError as cause:
            raise PathFailed(cause.message, next_step=cause.next_step) from cause
        except TimeoutError:
            raise
        except OSError as cause:
            raise PathFailed(f"the daemon at {self._transport.url} closed the connection into its container") from cause

    def _location(self, seconds: float) -> Location:
        try:
            answer = get(self._transport, f"/containers/{self._container}/json", timeout=seconds)
            return parse_location(read_json(answer.body))
        except DaemonRefused as cause:
            if cause.status == NOT_FOUND:
                raise NotListening("its container is gone") from cause
            raise PathFailed(cause.message) from cause
        except DaemonError as cause:
            raise PathFailed(cause.message, next_step=cause.next_step) from cause
        except (ValueError, TypeError, KeyError, AttributeError) as cause:
            raise PathFailed(
                f"the answer of the daemon at {self._transport.url} about its container cannot be read"
            ) from cause


def _by_its_address(at: Location, end: float) -> tuple[socket.socket, str] | None:
    """A connection to one of the container's own addresses that is proven to end in it, and the address; None if that
    is not possible.

    Raises NotListening if it is proven that nothing listens there at all.
    """
    if not kernel.runs_here(at.pid, at.id):
        return None
    open_at = {a: kernel.listens(at.pid, a, at.port) for a in ("127.0.0.1", *(own for own, _ in at.addresses))}
    if at.addresses and set(open_at.values()) == {False}:
        raise NotListening("its port refuses connections")
    for address, gateway in at.addresses:  # a server that listens only on its loopback is reached from inside
        if open_at[address]:
            seconds = min(OWN_ADDRESS, max(end - time.monotonic(), 0.1))
            with suppress(OSError):
                connection = _proven(at, (address, at.port), gateway, seconds)
                return connection, address
    return None


def _proven(at: Location, theirs: kernel.Address, gateway: str, seconds: float) -> socket.socket:
    """Raises OSError, also if the connection ends elsewhere.

    It starts from the gateway's address, which only this machine's own bridge has: without it nothing is sent, because
    the packets would leave the machine.
    """
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.bind((gateway, 0))
        connection.connect(theirs)
        in_it = kernel.ends_in(at.pid, connection.getsockname(), theirs)
        if not in_it or not kernel.runs_here(at.pid, at.id):  # the number may belong to another process by now
            raise ConnectionError("it ends in another process")
    except OSError:
        connection.close()
        raise
    return connection
