"""One command, run once, and what the operating system counted: CPU, wall, peak memory."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PASSED = frozenset({0})


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU (user and system) and wall in seconds, of the process and of those that it waited for. Peak memory in MiB: at
    least that of the bench itself, some 20 MiB, from which the kernel starts to count.
    """

    cpu: float
    wall: float
    peak: float


@dataclass(frozen=True, slots=True)
class Command:
    """`exit_codes`: with any other the command has failed. `limit`: seconds until it is killed."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    exit_codes: frozenset[int] = PASSED
    limit: float = 300.0
    folder: Path | None = None


class BenchFailed(Exception):
    """A part of the bench cannot be measured. The others can."""


class CommandFailed(BenchFailed):
    """A command ended with an unexpected exit code, or too late. The message has the end of its output."""


def measured(command: Command) -> Usage:
    """Run it to its end. Raises CommandFailed."""
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command.argv,
            env=command.env,
            cwd=command.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        alarm = threading.Timer(command.limit, _kill, [process.pid])
        alarm.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            alarm.cancel()
            if process.returncode is None:
                _kill(process.pid)
                process.wait()
        wall = time.perf_counter() - began
        if process.returncode not in command.exit_codes:
            raise CommandFailed(f"{' '.join(command.argv)}: exit code {process.returncode}{_end_of(output)}")
    return Usage(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024)


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def _end_of(output: IO[bytes]) -> str:
    output.seek(0)
    text = output.read().decode(errors="replace").strip()
    return f": {text[-600:]}" if text else ""
