"""One command, run once, and what the operating system counted: CPU, wall, peak memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PASSED = frozenset({0})
_COUNTED = Path(__file__).parent / "clients" / "counted.py"


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU (user and system) and wall in seconds, of the process and of those that it waited for. Peak memory in MiB."""

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
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        counts = Path(folder, "counts")
        process = subprocess.Popen(
            (sys.executable, "-I", "-S", str(_COUNTED), str(counts), *command.argv),
            env=command.env,
            cwd=command.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            exit_code = process.wait(command.limit)
        except subprocess.TimeoutExpired:
            exit_code = -signal.SIGKILL
        finally:
            if process.returncode is None:
                _kill(process.pid)
                process.wait()
        if exit_code not in command.exit_codes or not counts.exists():
            raise CommandFailed(f"{' '.join(command.argv)}: exit code {exit_code}{_end_of(output)}")
        return Usage(*map(float, counts.read_text(encoding="ascii").split()))


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def _end_of(output: IO[bytes]) -> str:
    output.seek(0)
    text = output.read().decode(errors="replace").strip()
    return f": {text[-600:]}" if text else ""
