"""A fake fleet for a part of the bench: its process, its sockets and its counts."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.checkouts import REPO
from bench.recording import Traffic


@dataclass(frozen=True, slots=True)
class FakeFleet:
    """`folder`: of its sockets."""

    folder: Path

    def take_counts(self) -> Traffic:
        """Since the last call."""
        connection = http.client.HTTPConnection("fleet")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(min(self.folder.iterdir())))
        connection.request("GET", "/_fleet", headers={"Connection": "close"})
        counts = json.loads(connection.getresponse().read())
        connection.close()
        return Traffic(counts["requests"], counts["sent"])


@contextmanager
def sockets_folder() -> Iterator[Path]:
    """With a short name: a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        yield Path(folder)


@contextmanager
def fake_fleet(
    containers: Path, folder: Path, *, latency: float = 20, dead: int = 0, foreign: int = 0
) -> Iterator[FakeFleet]:
    """Runs in the block. `latency`: milliseconds. The options of `python -m bench.fake_fleet`."""
    argv = [sys.executable, "-m", "bench.fake_fleet", str(containers), str(folder)]
    argv += ["--latency", str(latency), "--dead", str(dead), "--foreign", str(foreign)]
    process = subprocess.Popen(argv, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise OSError("the fake fleet does not start")
        yield FakeFleet(folder)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
