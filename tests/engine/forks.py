"""cortexctl in processes of its own that need not import everything anew: they are forked from one that has.

A start costs most of a second of processor time otherwise, and these tests need hundreds. What runs is the command line
as it is; a signal finds it as it would find any process.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000

LOADED = ["__main__", "cortexctl.cli.apply", "cortexctl.engine.act", "cortexctl.apply.run", "cortexctl.apply.executor",
          "cortexctl.apply.locking", "cortexctl.health.probe", "cortexctl.render.progress", "cortexctl.render.outcome",
          "cortexctl.stack.load", "httpx", __name__]  # fmt: skip
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(LOADED)


class Forked:
    """A command that runs. `docker` becomes its DOCKER_HOST; what it says is kept in the file `said`. `namespace`: the
    network namespace that it runs in, if not this one.
    """

    def __init__(self, said: Path, docker: str, *arguments: str, namespace: str = "") -> None:
        self._said = said
        self._process = _forks.Process(target=_run, args=(str(said), docker, arguments, namespace), daemon=True)
        self._process.start()

    def kill(self) -> None:
        self._process.kill()

    def send(self, how: signal.Signals) -> None:
        if self._process.pid and self._process.is_alive():
            os.kill(self._process.pid, how)

    def end(self, timeout: float = 120) -> tuple[int, str]:
        """Exit code (the signal's number below zero, if one ended it) and all that it said."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            self.kill()
            self._process.join()
        said = self._said.read_text()
        assert code is not None, f"it did not end in {timeout} s: {said}"
        return code, said


def _run(said: str, docker: str, arguments: tuple[str, ...], namespace: str) -> None:
    """In the new process: as if the shell had started it."""
    if namespace:
        enter(namespace)
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    sys.argv = ["cortexctl", *arguments]
    os.environ["DOCKER_HOST"] = docker
    from cortexctl.__main__ import main

    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def enter(namespace: str) -> None:
    """The calling thread goes into a network namespace (setns(2)), and what it opens from then on is there."""
    fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace {namespace}")
    finally:
        os.close(fd)


def inside(namespace: str, do: Callable[[], T]) -> T:
    """Do something in a network namespace, and stay where we are."""

    def there() -> T:
        enter(namespace)
        return do()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(there).result()
