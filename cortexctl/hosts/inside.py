"""A connection to a container's server from inside it: a small program there passes the bytes on.

The daemon runs the program in that very container, so the path proves itself, regardless of where the daemon is and
what its socket goes through. The program receives all data on its standard input: no part of a request is ever on a
command line, except for the start of one that holds no secret, which saves a round trip. It ends with its connection,
and by itself after a while, even if its caller is gone.
"""

from __future__ import annotations

import errno
import json
import math
import socket
import time
from collections.abc import Sequence

from cortexctl.errors import DaemonRefused, NotListening, PathFailed
from cortexctl.hosts.frames import Frames, attached
from cortexctl.hosts.http import exchange, message_in
from cortexctl.hosts.transport import Transport
from cortexctl.observed.location import Location

RELAY = """
import errno, os, signal, socket, sys, threading
signal.alarm(int(sys.argv[1]))
port = int(sys.argv[2])
def listens_here():
    import glob
    held = {os.readlink(fd) for fd in glob.glob("/proc/[0-9]*/fd/*") if os.path.islink(fd)}
    rows = [line.split() for table in ("tcp", "tcp6") if os.path.exists("/proc/net/" + table)
            for line in list(open("/proc/net/" + table))[1:]]
    return any(row[3] == "0A" and row[1].endswith(":%04X" % port) and "socket:[%s]" % row[9] in held for row in rows)
if sys.argv[3] == "shared" and not listens_here():
    os.write(1, b"?")
    sys.exit()
problem = None
for address in sys.argv[5:]:
    try:
        server = socket.create_connection((address, port), 5, (address, 0))
        break
    except OSError as fault:
        if fault.errno != errno.EADDRNOTAVAIL or not problem:
            problem = fault
else:
    os.write(1, b"-%d" % (problem.errno or 0))
    sys.exit()
server.settimeout(None)
os.write(1, b"+")
server.sendall(sys.argv[4].encode())
def up():
    while data := os.read(0, 65536):
        server.sendall(data)
    os._exit(0)
threading.Thread(target=up, daemon=True).start()
while data := server.recv(65536):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
os._exit(0)
"""
"""With "shared", the network does not belong to the container alone: then one of its own processes must listen at the
port. Each connection starts from the address that it goes to: after a restart, that may belong to another container,
where nothing here can start.
"""
PYTHON = "python3"
"""vLLM's images have it."""
LIVES = 600
"""Seconds after which the program ends by itself. No request may take longer."""
_CREATED = 201
_NOT_RUNNING = {404, 409}


def connect_inside(transport: Transport, at: Location, seconds: float, announced: bytes = b"") -> Inside:
    """A connection to the port, on the container's loopback or one of its own addresses. `announced`: as in
    `reach.Reach`.

    Raises NotListening, PathFailed if no program can run there, TimeoutError, DaemonUnreachable.
    """
    end = time.monotonic() + seconds
    network = "shared" if at.shares_network else "own"
    addresses = ["127.0.0.1", *(own for own, _ in at.addresses)]
    argv = [PYTHON, "-I", "-S", "-c", RELAY, str(LIVES), str(at.port), network, announced.decode("ascii"), *addresses]
    connection = run_inside(transport, at.id, argv, seconds)
    try:
        connection.settimeout(max(end - time.monotonic(), 0.1))
        begin(connection)
        connection.announced = announced
    except BaseException:
        connection.close()
        raise
    return connection


def run_inside(transport: Transport, container: str, argv: Sequence[str], seconds: float) -> Inside:
    """The input and output of a new program in the container.

    Raises NotListening if the container does not run, PathFailed if no program can run there, TimeoutError,
    DaemonUnreachable.
    """
    end = time.monotonic() + seconds
    program = _program(transport, container, argv, seconds)
    start = {"Detach": False, "Tty": False}
    try:
        return Inside(*attached(transport, f"/exec/{program}/start", start, max(end - time.monotonic(), 0.1)))
    except DaemonRefused as cause:
        raise _no_program(cause) from cause


class Inside:
    """Implements `reach.Stream` over the frames of a program's output."""

    def __init__(self, connection: socket.socket, first: bytes = b"") -> None:
        self._connection = connection
        self._frames = Frames()
        self._came = bytearray()
        self._end = math.inf
        self.errors = bytearray()
        """The beginning of the program's error output."""
        self.announced = b""
        """What the program sends by itself."""
        self._add(first)

    def sendall(self, data: bytes, /) -> None:
        rest, self.announced = data.removeprefix(self.announced), b""
        if rest:
            self._connection.sendall(rest)

    def recv(self, most: int, /) -> bytes:
        while not self._came:
            left = self._end - time.monotonic()
            if left <= 0:  # a program inside may write errors without end
                raise TimeoutError
            self._connection.settimeout(min(left, LIVES))
            piece = self._connection.recv(max(most, 4096))
            if not piece:
                return b""
            self._add(piece)
        data = bytes(self._came[:most])
        del self._came[:most]
        return data

    def _add(self, piece: bytes) -> None:
        for stream, content in self._frames.feed(piece):
            if stream == 1:
                self._came += content
            elif len(self.errors) < 4096:
                self.errors += content[:4096]

    def settimeout(self, seconds: float, /) -> None:
        self._end = time.monotonic() + seconds
        self._connection.settimeout(seconds)

    def close(self) -> None:
        self._connection.close()


def _program(transport: Transport, container: str, argv: Sequence[str], seconds: float) -> str:
    """The id of a program that is ready to start. Raises NotListening if the container does not run."""
    body = json.dumps(
        {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": False, "Cmd": list(argv)}
    ).encode()
    answer = exchange(transport, "POST", f"/containers/{container}/exec", body=body, timeout=seconds)
    if answer.status in _NOT_RUNNING:
        raise NotListening("its container does not run")
    try:
        if answer.status == _CREATED:
            return str(json.loads(answer.body)["Id"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise PathFailed(
            f"the daemon at {transport.url} does not return the id of the program that it started"
        ) from None
    raise _no_program(DaemonRefused(message_in(answer.body) or f"status {answer.status}"))


def begin(connection: Inside) -> None:
    """Wait for the program's first byte: `+` and the bytes of the server follow, `-` and the error number, `?`: another
    program listens there, not the container.
    """
    first = connection.recv(1)
    if first == b"+":
        return
    if first == b"?":
        raise NotListening("no process in its container listens on its port")
    if first == b"-":
        number = connection.recv(8)
        if number == str(errno.ECONNREFUSED).encode():
            raise NotListening("its port refuses connections")
        if number.isdigit():
            raise NotListening(f"its port cannot be reached in its own container (error {number.decode()})")
    output = (first + connection.recv(300)) or bytes(connection.errors[-300:])
    raise _no_program(DaemonRefused(output.decode(errors="replace").strip() or "it ended without a message"))


def _no_program(cause: DaemonRefused) -> PathFailed:
    return PathFailed(
        f"no {PYTHON} can be run in its container to send the request from inside ({cause.message.strip()})",
        next_step="run cortexctl on the host itself, where its address can be reached",
    )
