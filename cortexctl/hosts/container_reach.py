"""How a container's server is reached: at its own address, if it is proven that the connection ends in it (by this
machine's kernel, or over ssh by a number that the container returns); else from inside the container. Published ports
are for clients: another program may answer at one here.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cortexctl.desired.stack import ReachMode
from cortexctl.errors import DaemonError, DaemonRefused, NotListening, PathFailed
from cortexctl.hosts import kernel
from cortexctl.hosts.http import NOT_FOUND, get
from cortexctl.hosts.inside import connect_inside
from cortexctl.hosts.transport import Transport
from cortexctl.observed.daemon_json import LOCATED, read_answer
from cortexctl.observed.host_paths import FORBIDS_FORWARDS
from cortexctl.observed.location import Location, parse_location
from cortexctl.reach import Stream

if TYPE_CHECKING:
    from cortexctl.hosts.proven_forwards import Forwarded, ProvenForwards

OWN_ADDRESS = 2.0
"""Seconds for a connection to an address of this machine's own network."""
NOT_PROVEN = "this machine's kernel shows no connection to its own address that ends in it"
LOCATION_LASTS = 2.0
"""Seconds for which a location on this machine is used again, while the kernel shows that its process runs. A client
that polls a starting server needs no request to the daemon for each connection.
"""
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)
"""What reading an answer raises that has another content than a daemon's."""
TRIES = 3
"""Number of consecutive failed connections before the address is not tried again: each may take its time."""


class ContainerReach:
    """Implements `reach.Reach` for one container, by its id. A restart gives it another process and another address: so
    it is inspected before each connection is used, or this machine's kernel shows that the process of a recent
    inspection still runs in it. A program inside it needs neither: then the first connection is made with its location
    in the list, if that is known (`listed`).
    """

    def __init__(
        self,
        transport: Transport,
        container: str,
        mode: ReachMode = "auto",
        forwards: ProvenForwards | None = None,
        host_address: str = "",
        listed: Location | None = None,
    ) -> None:
        self._host_address = host_address
        self._listed = listed
        self._endpoint = ""
        self._seen: tuple[Mapping[str, Any], float] | None = None
        self._known: tuple[Location, float] | None = None
        """The last location, and the time of its inspection on the monotonic clock."""
        self._transport = transport
        self._container = container
        self._mode = mode
        self._forwards = forwards if mode != "exec" else None
        self._failed = 0
        """Consecutive connections to its own address that failed."""
        self._announced = b""
        self._is_inside = False
        self._needs_daemon = True
        self._silent_at = -math.inf
        """When the kernel last showed that nothing listens in it, on the monotonic clock."""
        self._target = "its port"

    @property
    def target(self) -> str:
        return self._target

    @property
    def endpoint(self) -> str:
        """The URL of the server for clients, as last read; empty if there is none."""
        return self._endpoint

    @property
    def is_slow(self) -> bool:
        return self._is_inside

    @property
    def needs_daemon(self) -> bool:
        return self._needs_daemon

    def saw(self, inspected: Mapping[str, Any], at: float) -> None:
        """The daemon's answer to an inspection by another client of it, which began `at` on the monotonic clock."""
        self._seen = inspected, at

    def connect(self, seconds: float, announced: bytes = b"") -> Stream:
        """Raises NotListening, PathFailed, TimeoutError."""
        self._announced = announced
        try:
            return self._connected(time.monotonic() + seconds)
        except DaemonError as cause:
            raise PathFailed(cause.message, next_step=cause.next_step) from cause
        except TimeoutError:
            raise
        except OSError as cause:
            raise PathFailed(f"the daemon at {self._transport.url} closed the connection into its container") from cause

    def _connected(self, end: float) -> Stream:
        listed, self._listed = self._listed, None
        if listed is not None and self._starts_inside(listed):
            self._endpoint = listed.endpoint
            return self._from_inside(listed, end)
        known = self._known_location()
        self._needs_daemon = False
        if known is not None and (direct := self._direct(known, end)) is not None:
            connection, address = direct
            return self._at(f"{address}:{known.port}", connection)
        self._needs_daemon = True
        at, forwarded = self._located(end)
        if self._mode == "exec":
            return self._from_inside(at, end)
        if self._forwards is not None:
            return self._forwarded(self._forwards, at, forwarded, end)
        direct = self._direct(at, end) if self._failed < TRIES or self._mode == "direct" else None
        self._failed = 0 if direct is not None else self._failed + 1
        if direct is None:
            return self._otherwise(at, NOT_PROVEN, end)
        connection, address = direct
        return self._at(f"{address}:{at.port}", connection)

    def _starts_inside(self, at: Location) -> bool:
        """Whether a connection is made from inside, whatever an inspection shows."""
        if self._mode == "exec":
            return True
        if self._mode == "direct":
            return False
        if self._forwards is not None:
            return not self._forwards.has_proof(at.id) and not self._forwards.pays(at.id)
        return not any(kernel.has_address(gateway) for _, gateway in at.addresses)

    def _direct(self, at: Location, end: float) -> tuple[socket.socket, str] | None:
        was_silent = time.monotonic() - self._silent_at <= LOCATION_LASTS
        try:
            return _by_its_address(at, end, was_silent=was_silent)
        except NotListening:
            if not was_silent:
                self._silent_at = time.monotonic()
            raise

    def _known_location(self) -> Location | None:
        """Of a recent inspection. It is of use only if this machine's kernel confirms it."""
        if self._mode == "exec" or self._forwards is not None or self._failed:
            return None
        oldest = time.monotonic() - LOCATION_LASTS
        if self._known is None or self._known[1] < oldest:
            if self._seen is None or self._seen[1] < oldest:
                return None
            try:
                known = self._remember(*self._seen)
            except UNREADABLE:
                return None
        else:
            known = self._known[0]
        return known if known.running else None

    def _remember(self, inspected: Mapping[str, Any], at: float) -> Location:
        location = parse_location(LOCATED(inspected), self._host_address)
        self._endpoint = location.endpoint
        self._known = location, at
        return location

    def _located(self, end: float) -> tuple[Location, Forwarded | None]:
        """Where the container is, and a connection over a proven forward that ends there. It is opened before the
        inspection, as its proof demands.
        """
        opened = self._forwards.open(self._container, _left(end)) if self._forwards else None
        is_confirmed = False
        try:
            at = self._location(_left(end))
            if not at.running:
                raise NotListening("its container does not run")
            is_confirmed = opened is not None and self._forwards is not None and self._forwards.confirms(opened, at)
        finally:
            if opened is not None and not is_confirmed:
                opened.connection.close()
        return at, opened if is_confirmed else None

    def _forwarded(self, forwards: ProvenForwards, at: Location, opened: Forwarded | None, end: float) -> Stream:
        """Over the forward if that is possible or demanded, else from inside."""
        if opened is None:
            if self._mode != "direct" and not forwards.pays(at.id):
                return self._from_inside(at, end)
            if problem := forwards.prove(at, _left(end)):
                return self._otherwise(at, problem, end)
            at, opened = self._located(end)
            if opened is None:
                return self._otherwise(at, "its container was restarted meanwhile", end)
        if not opened.is_refused():
            opened.connection.settimeout(_left(end))
            return self._at(f"{opened.proof.address}:{at.port} over ssh", opened.connection)
        opened.connection.close()
        if forwards.is_forbidden():
            return self._otherwise(at, FORBIDS_FORWARDS, end)
        if self._mode == "direct" or not forwards.tests_inside(at.id):
            raise NotListening("its port refuses connections")
        stream = self._from_inside(at, end)
        forwards.answers_inside(at.id)
        return stream

    def _otherwise(self, at: Location, problem: str, end: float) -> Stream:
        """From inside, unless its own address is demanded."""
        if self._mode != "direct":
            return self._from_inside(at, end)
        raise PathFailed(
            f'it cannot be reached at its own address, as reach = "direct" demands: {problem}',
            next_step='set reach = "auto" for its host in the stack',
        )

    def _from_inside(self, at: Location, end: float) -> Stream:
        self._target = f"its port {at.port}, from inside the container"
        self._is_inside = True
        return connect_inside(self._transport, at, _left(end), self._announced)

    def _at(self, target: str, connection: socket.socket) -> Stream:
        self._target = target
        self._is_inside = False
        return connection

    def _location(self, seconds: float) -> Location:
        began = time.monotonic()
        try:
            answer = get(self._transport, f"/containers/{self._container}/json", timeout=seconds)
            return self._remember(read_answer(answer.body), began)
        except DaemonRefused as cause:
            if cause.status == NOT_FOUND:
                raise NotListening("its container is gone") from cause
            raise PathFailed(cause.message) from cause
        except DaemonError as cause:
            raise PathFailed(cause.message, next_step=cause.next_step) from cause
        except UNREADABLE as cause:
            raise PathFailed(
                f"the answer of the daemon at {self._transport.url} about its container cannot be read"
            ) from cause


def _by_its_address(at: Location, end: float, *, was_silent: bool) -> tuple[socket.socket, str] | None:
    """A connection to one of the container's own addresses that is proven to end in it, and the address; None if that
    is not possible. `was_silent`: a moment ago nothing listened in the container. The kernel's tables show that, but on
    a large machine they take it some milliseconds, so they are read only if no address accepts a connection.

    Raises NotListening if it is proven that nothing listens there at all.
    """
    if not kernel.runs_here(at.pid, at.id):
        return None
    refusals = 0
    for address, gateway in at.addresses:
        seconds = min(OWN_ADDRESS, max(end - time.monotonic(), 0.1))
        try:
            return _proven(at, (address, at.port), gateway, seconds), address
        except ConnectionRefusedError:
            refusals += 1
        except OSError:
            continue
    if not at.addresses:
        return None
    if not (was_silent and refusals == len(at.addresses)):
        open_at = kernel.listens(at.pid, ("127.0.0.1", *(own for own, _ in at.addresses)), at.port)
        if open_at is None or any(open_at.values()):
            return None  # a server that listens only on its loopback is reached from inside
    raise NotListening("its port refuses connections")


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


def _left(end: float) -> float:
    return max(end - time.monotonic(), 0.1)
