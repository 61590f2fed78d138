"""One running `ssh`, its private folder, its forwards, and what it writes about errors."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from cortexctl.errors import DaemonUnreachable
from cortexctl.hosts.transports.ssh_errors import is_forbidden, last_line

GUARD = """
folder=$1; shift
exec 3<&0
"$@" 3<&- </dev/null &
ssh=$!
( read -r _ <&3; kill "$ssh" ) 2>/dev/null &
guard=$!
exec 3<&-
wait "$ssh"; code=$?
kill "$guard" 2>/dev/null
rm -rf "$folder"
exit "$code"
"""
"""Ends ssh as soon as our end of its input is closed: also if this process is killed. Then it removes the folder."""
_LONGEST_REQUEST = 10.0
"""Seconds for a request to our own ssh process."""


class SshProcess:
    """`ssh`, its private folder, and what it writes about errors."""

    def __init__(self, options: list[str], host: str, remote_socket: str) -> None:
        self._folder = Path(_private_folder())
        self.socket = self._folder / "docker"
        self.control = self._folder / "ssh"
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._forwards: dict[tuple[str, int], Path] = {}
        """The private sockets of TCP ports of the host."""
        self._forward_count = 0
        self._read = 0
        """Size of the log up to which its errors about TCP ports are known."""
        self._forbids_forwards = False
        self._host = host
        forward = f"{self.socket}:{remote_socket}"
        argv = ["ssh", "-N", "-T", "-S", str(self.control), *options, "-L", forward, "--", host]
        if shutil.which("ssh") is None:
            self._remove()
            raise DaemonUnreachable(
                "ssh is not installed on this machine", next_step="install OpenSSH's client: apt install openssh-client"
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "cortexctl-ssh", str(self._folder), *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self.log,
            start_new_session=True,  # Ctrl-C ends our steps in order, and they need the connection until then
        )

    def is_ready(self) -> bool:
        return self.socket.exists()

    def ended(self) -> bool:
        return self._guard.poll() is not None

    def errors(self) -> str:
        """What ssh wrote."""
        return self._errors_since(0)

    def errors_of_daemon(self) -> str:
        """The same, without the known errors about TCP ports."""
        return self._errors_since(self._read)

    def _errors_since(self, position: int) -> str:
        """`pread`, because the file's position belongs to ssh."""
        size = self._log_size()
        start = max(position, size - 65536)
        return os.pread(self.log.fileno(), size - start, start).decode(errors="replace") if size > start else ""

    def _log_size(self) -> int:
        return 0 if self.log.closed else os.fstat(self.log.fileno()).st_size

    def forward(self, address: str, port: int, request: list[str], seconds: float) -> Path:
        """A private socket that leads to a TCP port as the host reaches it. `request`: the beginning of a request to
        this process. Raises OSError if ssh does not make it; the host's permission is not known yet.
        """
        key = (address, port)
        if key not in self._forwards:
            self._read = self._read or self._log_size()  # earlier errors are about the daemon's socket
            self._forward_count += 1
            path = self._folder / f"tcp{self._forward_count}"
            self._request(request, "forward", f"{path}:{address}:{port}", seconds)
            self._forwards[key] = path
        return self._forwards[key]

    def cancel(self, address: str, port: int, request: list[str]) -> None:
        """Open connections stay."""
        path = self._forwards.pop((address, port), None)
        if path is not None:
            with suppress(OSError):
                self._request(request, "cancel", f"{path}:{address}:{port}", _LONGEST_REQUEST)
            path.unlink(missing_ok=True)

    def _request(self, request: list[str], command: str, forward: str, seconds: float) -> None:
        argv = [*request, "-O", command, "-L", forward, "--", self._host]
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=min(seconds, _LONGEST_REQUEST),
                check=False,
            )
        except subprocess.TimeoutExpired as cause:
            raise TimeoutError from cause
        if done.returncode:
            raise ConnectionError(f"ssh cannot forward to it: {last_line(done.stderr)}")

    def forbids_forwards(self) -> bool:
        """Whether the host has refused a connection to a TCP port because it forbids to forward it."""
        errors, self._read = self._errors_since(self._read), self._log_size()
        self._forbids_forwards = self._forbids_forwards or is_forbidden(errors)
        return self._forbids_forwards

    def end(self) -> None:
        """Tells ssh to end, and does not wait for it."""
        if self._guard.stdin and not self._guard.stdin.closed:
            with suppress(OSError):
                self._guard.stdin.close()

    def close(self) -> None:
        """Ends ssh; its guard removes the folder."""
        self.end()
        try:
            self._guard.wait(5)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        self._remove()

    def _remove(self) -> None:
        self.log.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _private_folder() -> str:
    """Only this user can open it. The path of a socket may have about 100 characters, and ssh adds some."""
    folder = tempfile.mkdtemp(prefix="cortexctl-ssh-")
    if len(folder) <= 60:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    return tempfile.mkdtemp(prefix="cortexctl-ssh-", dir="/tmp")
