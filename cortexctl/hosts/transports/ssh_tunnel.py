"""A daemon behind ssh: one `ssh` process per host and run forwards the daemon's socket to a private one here.

It is the user's own ssh, with their ssh_config, agent and jump hosts, and it never asks a question. Where the server
forbids to forward sockets, each connection runs `docker system dial-stdio` there, over the same ssh connection.
"""

from __future__ import annotations

import math
import shlex
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cortexctl.errors import DaemonError, DaemonUnreachable
from cortexctl.hosts.transport import unreachable
from cortexctl.hosts.transports.ssh_errors import channel_refusal, is_forwarding_refused, ssh_failure
from cortexctl.hosts.transports.ssh_process import SshProcess
from cortexctl.hosts.transports.unix_socket import connected

REMOTE_SOCKET = "/var/run/docker.sock"
OPENING = 30.0
"""Seconds for an ssh connection, with its authentication and all jump hosts."""
OPTIONS = (
    *("-o", "BatchMode=yes", "-o", "ConnectTimeout=5"),
    *("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"),
    *("-o", "ForwardAgent=no", "-o", "ForwardX11=no", "-o", "PermitLocalCommand=no"),
    *("-o", "RemoteCommand=none", "-o", "RequestTTY=no", "-o", "LogLevel=INFO"),
)
"""No questions, a dead connection is noticed after 15 s, and nothing but our forward."""
MASTER = (
    *("-o", "ControlMaster=yes", "-o", "ControlPersist=no", "-o", "ExitOnForwardFailure=no"),
    *("-o", "StreamLocalBindUnlink=yes", "-o", "StreamLocalBindMask=0177"),
)
_PAUSE = 0.02
_TURN = 0.2
"""Seconds between two checks, while other connections are opened, whether this one is still wanted."""
AT_ONCE = 32
"""Connections that are opened at the same time: each starts a process, which computes its handshake."""
_STARTS = threading.BoundedSemaphore(AT_ONCE)


class SshTunnel:
    """Implements `transport.Transport`. A connection that breaks is made again by the next request."""

    patience = math.inf

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self._login = [*(["-l", unquote(parts.username)] if parts.username else [])]
        self._login += ["-p", str(parts.port)] if parts.port else []
        self._host = parts.hostname or ""
        self._command = shlex.join(["ssh", *self._login, self._host])
        """The same login in a shell, for the next step of an error."""
        self._known_as = f"[{self._host}]:{parts.port}" if parts.port else self._host
        """The host's name in known_hosts."""
        self._socket = unquote(parts.path).rstrip("/")
        self._guard = threading.Lock()
        self._process: SshProcess | None = None
        self._by_program = False
        """Whether the server forbids to forward sockets."""
        self._programs: list[subprocess.Popen[bytes]] = []
        self._sessions = 0
        """Number of ssh connections so far."""
        self._is_closed = False

    @property
    def forwarder(self) -> SshTunnel:
        return self

    @property
    def session(self) -> int:
        return self._sessions

    @property
    def kind(self) -> str:
        """As known once a connection was opened."""
        return "ssh, one program per request" if self._by_program else "ssh"

    def connect(self, seconds: float) -> socket.socket:
        connection = self._connected(seconds) or self._connected(seconds)
        if connection is None:
            raise self.fault(ConnectionResetError("the ssh connection ended"))
        connection.settimeout(seconds)
        return connection

    def _connected(self, seconds: float) -> socket.socket | None:
        """None if ssh has just ended: it is closed, so that the next call starts another one. No request is lost."""
        with self._guard:
            process = self._opened(seconds)
            connection = self._program(process) if self._by_program else None
        if connection is not None:
            return connection
        try:
            return connected(str(process.socket), seconds)
        except (ConnectionRefusedError, FileNotFoundError):
            with self._guard:
                process.close()
        except OSError:
            pass
        return None

    def connect_to(self, address: str, port: int, seconds: float) -> socket.socket:
        with self._guard:
            process = self._opened(seconds)
            path = process.forward(address, port, self._argv_of_request(process), seconds)
        connection = _connected(path, seconds)
        if connection is None:
            raise self.fault(ConnectionResetError("the ssh connection ended"))
        return connection

    def is_forbidden(self) -> bool:
        with self._guard:
            return self._process is not None and self._process.forbids_forwards()

    def cancel(self, address: str, port: int) -> None:
        with self._guard:
            if self._process is not None and not self._process.ended():
                self._process.cancel(address, port, self._argv_of_request(self._process))

    def _argv_of_request(self, process: SshProcess) -> list[str]:
        """The beginning of a request to the running ssh process."""
        return ["ssh", *OPTIONS, "-o", "ControlMaster=no", "-S", str(process.control), *self._login]

    def fault(self, cause: OSError) -> DaemonError:
        errors = self._process.errors() if self._process else ""
        if isinstance(cause, TimeoutError):
            return unreachable(self.url, cause, "")
        if self._process is not None and self._process.ended():
            return self._failure(errors)
        if self._process is not None and (refusal := channel_refusal(self._process.errors_of_daemon())):
            return DaemonUnreachable(
                f"no Docker daemon at {self.url}: on {self._host}, {self._socket or REMOTE_SOCKET}: {refusal}",
                next_step=f"{self._command} docker info",
            )
        return DaemonUnreachable(
            f"no Docker daemon at {self.url}: {cause.strerror or cause}", next_step=f"{self._command} docker info"
        )

    def _failure(self, errors: str) -> DaemonError:
        return ssh_failure(self._host, errors, command=self._command, known_as=self._known_as)

    def answered(self, _failure: DaemonError | None = None, /) -> None:
        """Nothing depends on it."""

    def close(self) -> None:
        """No ssh runs afterwards, also if another thread opens a connection at this moment."""
        self._is_closed = True
        if self._process is not None:
            self._process.end()  # the other thread has the guard until its ssh ends
        with self._guard:
            self._reap(everything=True)
            if self._process is not None:
                self._process.close()

    def _opened(self, seconds: float) -> SshProcess:
        """The running ssh process; started if there is none."""
        if self._process is not None and not self._process.ended():
            return self._process
        if self._process is not None:
            self._process.close()
        while not _STARTS.acquire(timeout=_TURN):
            self._check_open()
        try:
            process = self._started(seconds)
        finally:
            _STARTS.release()
        try:
            self._by_program = not _forwards(process, seconds) and is_forwarding_refused(process.errors())
        except OSError as cause:
            raise self.fault(cause) from cause
        return process

    def _check_open(self) -> None:
        if self._is_closed:
            raise DaemonUnreachable(f"the connection to {self._host} was closed")

    def _started(self, seconds: float) -> SshProcess:
        """A new ssh process whose connection stands."""
        self._check_open()
        self._process = process = SshProcess(
            [*OPTIONS, *MASTER, *self._login], self._host, self._socket or REMOTE_SOCKET
        )
        self._sessions += 1
        end = time.monotonic() + max(seconds, OPENING)
        while not process.is_ready():
            self._check_open()
            if process.ended():
                raise self._failure(process.errors())
            if time.monotonic() > end:
                process.close()
                raise DaemonUnreachable(
                    f"no ssh connection to {self._host} within {OPENING:.0f} s",
                    next_step=f"{self._command} docker info",
                )
            time.sleep(_PAUSE)
        return process

    def _program(self, process: SshProcess) -> socket.socket:
        """A connection over a program there, which passes everything on to the daemon."""
        self._reap()
        daemon = ["-H", f"unix://{self._socket}"] if self._socket else []
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                program = subprocess.Popen(
                    [
                        *self._argv_of_request(process),
                        "-T",
                        "--",
                        self._host,
                        "docker",
                        *daemon,
                        "system",
                        "dial-stdio",
                    ],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=process.log,
                    start_new_session=True,
                )
            except OSError as cause:
                ours.close()
                raise self.fault(cause) from cause
        self._programs.append(program)
        return ours

    def _reap(self, *, everything: bool = False) -> None:
        """Programs end with their connection; their exit codes must be read once."""
        if everything:
            for program in self._programs:
                with suppress(OSError):
                    program.terminate()
                program.wait()
        self._programs = [p for p in self._programs if p.poll() is None]


def _connected(path: Path, seconds: float) -> socket.socket | None:
    try:
        return connected(str(path), seconds)
    except OSError:
        return None


def _forwards(process: SshProcess, seconds: float) -> bool:
    """Whether a daemon answers over the forward. Raises TimeoutError if it accepts the connection and stays silent."""
    connection = _connected(process.socket, seconds)
    if connection is None:
        return False
    with connection, suppress(ConnectionError):
        connection.sendall(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
        return bool(connection.recv(1))
    return False
