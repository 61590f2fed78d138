"""cortexctl in separate processes that are forked from one with the imports already loaded.

A normal start costs half a second of processor time, and the tests need a thousand. The forked process runs the real
command line. Nothing has run in it before, and it handles signals like any other process.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from cortexctl.hosts import transport
from tests.waiting import AT_MOST

T = TypeVar("T")
CLONE_NEWNET = 0x40000000

LOADED = ["__main__", "encodings.utf_8_sig", "netrc", "cortexctl.cli.main", "cortexctl.cli.validate", "cortexctl.cli.lock",
          "cortexctl.cli.observe", "cortexctl.audit.audit_log", "cortexctl.audit.provenance", "cortexctl.hooks.runner",
          "cortexctl.apply.redaction", "cortexctl.render.drift", "cortexctl.cli.apply", "cortexctl.cli.plan",
          "cortexctl.cli.drift", "cortexctl.cli.status",
          "cortexctl.hosts.act", "cortexctl.apply.run", "cortexctl.apply.executor", "cortexctl.apply.locking",
          "cortexctl.health.prober", "cortexctl.render.apply.progress", "cortexctl.render.apply.outcome", "cortexctl.render.plan.terminal",
          "cortexctl.render.plan.html", "jinja2", "cortexctl.stack.load", "httpx", __name__]  # fmt: skip
transport.FIRST_ANSWER = 10.0  # a machine with a high load may need more than the product's 5 s
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(LOADED)
_reading = threading.Lock()
"""Held while a thread reads exit codes. The fork server sends each code once, and multiprocessing reads those of all ended
processes whenever one starts. If two threads read the same code, the second gets 255.
"""


def ran(
    *arguments: str, cwd: Path, env: Mapping[str, str] = os.environ, stdin: str = "", timeout: float = AT_MOST
) -> subprocess.CompletedProcess[str]:
    """Run a command until it exits. `env`: its whole environment; `stdin`: the text of its stdin.

    Raises:
        subprocess.TimeoutExpired: it did not exit within `timeout` seconds, and was killed
    """
    with TemporaryDirectory() as name:
        here = Path(name)
        (here / "in").write_text(stdin, encoding="utf-8", newline="")
        streams = _Streams(*(str(here / stream) for stream in ("in", "out", "err")))
        process = _forks.Process(target=_run, args=(streams, str(cwd), dict(env), arguments, ""), daemon=True)
        _start(process)
        code = _exit_code(process, timeout)
        if code is None:
            process.kill()
            _exit_code(process)
            raise subprocess.TimeoutExpired(["cortexctl", *arguments], timeout)
        out, err = (Path(path).read_bytes().decode() for path in (streams.out, streams.err))
        return subprocess.CompletedProcess(["cortexctl", *arguments], code, out, err)


def _start(process: BaseProcess) -> None:
    with _reading:
        process.start()


def _exit_code(process: BaseProcess, timeout: float | None = None) -> int | None:
    """Wait for the exit. None: it still runs after `timeout` seconds."""
    wait([process.sentinel], timeout)
    with _reading:
        return process.exitcode


@dataclass(frozen=True)
class _Streams:
    """Paths of files."""

    stdin: str
    out: str
    err: str


class Forked:
    """A running command. `output`: the file for its stdout and stderr. `docker`: its DOCKER_HOST. `namespace`: its
    network namespace. Default: the namespace of the tests.
    """

    def __init__(self, output: Path, docker: str, *arguments: str, namespace: str = "") -> None:
        self._output = output
        streams, env = _Streams(os.devnull, str(output), str(output)), {**os.environ, "DOCKER_HOST": docker}
        self._process = _forks.Process(target=_run, args=(streams, "", env, arguments, namespace), daemon=True)
        _start(self._process)

    def kill(self) -> None:
        self._process.kill()

    def send(self, number: signal.Signals) -> None:
        if self._process.pid and _exit_code(self._process, 0) is None:
            os.kill(self._process.pid, number)

    def has_ended(self) -> bool:
        return _exit_code(self._process, 0) is not None

    def end(self, timeout: float = AT_MOST) -> tuple[int, str]:
        """Wait for the exit. Returns the exit code (minus the signal's number after a signal) and the whole output."""
        code = _exit_code(self._process, timeout)
        if code is None:
            self.kill()
            _exit_code(self._process)
        output = self._output.read_text()
        assert code is not None, f"it did not exit within {timeout} s: {output}"
        return code, output


def _run(streams: _Streams, cwd: str, env: Mapping[str, str], arguments: tuple[str, ...], namespace: str) -> None:
    """In the new process: as if the shell had started it."""
    if namespace:
        enter(namespace)
    out = os.open(streams.out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    err = out if streams.err == streams.out else os.open(streams.err, os.O_WRONLY | os.O_CREAT, 0o600)
    run_as((os.open(streams.stdin, os.O_RDONLY), out, err), cwd, env, arguments)


def run_as(streams: Sequence[int], cwd: str, env: Mapping[str, str], arguments: Sequence[str]) -> None:
    """Run the command line in this process, which it ends. `streams`: descriptors of stdin, stdout and stderr."""
    gc.freeze()  # a search of the loaded modules for garbage would copy the memory that the processes share
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
    os.environ.clear()
    os.environ.update(env)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    if cwd:
        os.chdir(cwd)
    sys.argv = ["cortexctl", *arguments]
    from cortexctl.__main__ import main

    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def enter(namespace: str) -> None:
    """Move the calling thread into a network namespace (setns(2)). Its new sockets belong to that namespace."""
    fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace {namespace}")
    finally:
        os.close(fd)


def inside(namespace: str, do: Callable[[], T]) -> T:
    """Call a function in a network namespace. The calling thread stays in its own. Without a name: in its own."""
    if not namespace:
        return do()

    def there() -> T:
        enter(namespace)
        return do()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(there).result()
