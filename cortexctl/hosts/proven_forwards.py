"""Connections to a container's own address through the ssh connection of its host, once it is proven where they end.

A forward alone proves nothing: the bridge of another daemon, or a route of the host, may own that address. So a program
in the container listens on a fresh port of the address and answers with a number that only we and the program know. If
the number arrives through a forward to that port, the host's way to the address ends in the container. A rule of the
host for single ports could still lead to another server. Only root sets such rules, and root there can read the
requests inside the container, too.

The proof belongs to one run of the container, and each connection is checked against it in this order: the connection
is opened, then the container is inspected over the same ssh connection. The host handles the messages in their order.
So if the inspection shows the same run of the container at the same address, it was there when the connection was made.
"""

from __future__ import annotations

import math
import secrets
import socket
import threading
import time
from collections import defaultdict
from contextlib import closing, suppress

from cortexctl.dataclass import dataclass
from cortexctl.errors import PathFailed
from cortexctl.hosts.inside import PYTHON, Inside, run_inside
from cortexctl.hosts.transport import Forwarder, Transport
from cortexctl.observed.host_paths import FORBIDS_FORWARDS
from cortexctl.observed.location import Location

PROOF = """
import os, select, signal, socket, sys
signal.alarm(int(sys.argv[1]))
number = os.read(0, 32)
ports = [socket.create_server((address, 0)) for address in sys.argv[2:]]
os.write(1, (" ".join(str(port.getsockname()[1]) for port in ports) + "\\n").encode())
while True:
    ready, _, _ = select.select([0, *ports], [], [])
    if 0 in ready:
        break
    for port in ready:
        with port.accept()[0] as connection:
            connection.sendall(number)
"""
"""It receives the number on its standard input, where no list of processes shows it, and ends with its input."""
LIVES = 20
"""Seconds after which the program ends by itself."""
ARRIVES = 5.0
"""Seconds for the number to arrive through a forward."""
INSIDE_EVERY = 5.0
"""Seconds between two tests from inside of a container whose port refuses connections."""
PAYS_AFTER = 1
"""Connections to a container before a proof. A proof costs about as much as one connection from inside, so it pays from
the second connection on: single requests (`status`, `drift`) need none, a gate does.
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """A run of a container, and the address at which its host reaches it, over an ssh connection."""

    at: Location
    address: str
    session: int


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A connection that is not confirmed yet. Nothing may be sent on it."""

    connection: socket.socket
    proof: Proof

    def is_refused(self) -> bool:
        """Whether the host could not open it: then ssh has closed it before the inspection was answered."""
        self.connection.setblocking(False)
        try:
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


class ProvenForwards:
    """Of one host and run. Failures are remembered, so that each costs once."""

    def __init__(self, transport: Transport, forwarder: Forwarder) -> None:
        self._transport = transport
        self._forwarder = forwarder
        self._guard = threading.Lock()
        self._proving: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._proofs: dict[str, Proof] = {}
        self._failed: dict[str, tuple[Location, str]] = {}
        self._connections: dict[str, int] = {}
        self._inside: dict[str, float] = {}
        self._forbidden = False

    def open(self, container: str, seconds: float) -> Forwarded | None:
        """A connection over a forward that was proven before. Raises DaemonError, OSError."""
        proof = self._proofs.get(container)
        if proof is None or self._forbidden:
            return None
        connection = self._forwarder.connect_to(proof.address, proof.at.port, seconds)
        if self._forwarder.session == proof.session:
            return Forwarded(connection, proof)
        connection.close()
        self._drop(container)
        return None

    def has_proof(self, container: str) -> bool:
        """Whether a connection may be opened over a proven forward."""
        return container in self._proofs

    def confirms(self, opened: Forwarded, at: Location) -> bool:
        """Whether the connection ends in the container. `at`: as inspected after the connection was opened."""
        return opened.proof.at == at and opened.proof.session == self._forwarder.session

    def pays(self, container: str) -> bool:
        """Whether the container gets enough connections for a proof. Counts this one."""
        with self._guard:
            count = self._connections[container] = self._connections.get(container, 0) + 1
        return count > PAYS_AFTER

    def prove(self, at: Location, seconds: float) -> str:
        """Prove one of the container's own addresses. Empty if one is proven, else the reason. Raises NotListening,
        DaemonError, OSError.
        """
        with self._guard:
            of_container = self._proving[at.id]
        with of_container:
            if self._forbidden:
                return FORBIDS_FORWARDS
            if at.id in self._failed and self._failed[at.id][0] == at:
                return self._failed[at.id][1]
            known = self._proofs.get(at.id)
            if known is not None and known.at == at and known.session == self._forwarder.session:
                return ""
            self._drop(at.id)
            reason = self._prove(at, seconds)
            if reason:
                self.give_up(at, reason)
            return reason

    def give_up(self, at: Location, reason: str) -> None:
        """The forward is not used again for this run of the container."""
        self._drop(at.id)
        self._failed[at.id] = (at, reason)

    def is_forbidden(self) -> bool:
        """Whether the host's ssh server forbids to forward TCP ports."""
        self._forbidden = self._forbidden or self._forwarder.is_forbidden()
        return self._forbidden

    def tests_inside(self, container: str) -> bool:
        """Whether to test from inside if the container's port refuses a connection: the server may listen on its
        loopback only. Not more often than every few seconds.
        """
        now = time.monotonic()
        if now - self._inside.get(container, -math.inf) < INSIDE_EVERY:
            return False
        self._inside[container] = now
        return True

    def answers_inside(self, container: str) -> None:
        """The server answers there although its port refused a connection; the next refusal is tested at once, too."""
        self._inside.pop(container, None)

    def _drop(self, container: str) -> None:
        with self._guard:
            proof = self._proofs.pop(container, None)
        if proof is not None:
            self._forwarder.cancel(proof.address, proof.at.port)

    def _prove(self, at: Location, seconds: float) -> str:
        if at.shares_network or not at.addresses:
            return "its container has no address of its own"
        number = secrets.token_hex(16).encode()
        addresses = [address for address, _ in at.addresses]
        end = time.monotonic() + seconds
        try:
            argv = [PYTHON, "-I", "-S", "-c", PROOF, str(LIVES), *addresses]
            with closing(run_inside(self._transport, at.id, argv, seconds)) as program:
                program.settimeout(max(end - time.monotonic(), 0.1))
                program.sendall(number)
                ports = _ports(program, len(addresses))
                for address, port in zip(addresses, ports, strict=False):
                    if self._arrives(number, address, port, min(ARRIVES, max(end - time.monotonic(), 0.1))):
                        self._proofs[at.id] = Proof(at, address, self._forwarder.session)
                        return ""
        except PathFailed as cause:
            return cause.message
        if not ports:
            return "no program in its container can listen at its own address"
        return FORBIDS_FORWARDS if self.is_forbidden() else f"its host does not reach it at {' or '.join(addresses)}"

    def _arrives(self, number: bytes, address: str, port: int, seconds: float) -> bool:
        received, end = b"", time.monotonic() + seconds
        try:
            with suppress(OSError), self._forwarder.connect_to(address, port, seconds) as connection:
                while len(received) < len(number) and (piece := connection.recv(64)):
                    received += piece
                    connection.settimeout(max(end - time.monotonic(), 0.01))
        finally:
            self._forwarder.cancel(address, port)
        return received == number


def _ports(program: Inside, count: int) -> list[int]:
    """The ports on which the program listens; empty if it does not."""
    text = b""
    while not text.endswith(b"\n") and len(text) < 8 * count and (piece := program.recv(8 * count)):
        text += piece
    fields = text.split()
    is_valid = len(fields) == count and all(f.isdigit() and 0 < int(f) < 65536 for f in fields)
    return [int(f) for f in fields] if is_valid else []
