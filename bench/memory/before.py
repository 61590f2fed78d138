"""The errors of another commit on the same truth: its `cortexctl` with this checkout's `bench`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.base import unpacked
from bench.checkouts import REPO
from bench.memory.errors import Error


def errors(reference: str) -> list[Error]:
    """`reference`: a revision of this repository, or a folder with a checkout. Raises CalledProcessError."""
    source = Path(reference).resolve() if Path(reference).is_dir() else unpacked(reference)
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as folder:
        (Path(folder) / "cortexctl").symlink_to(source / "cortexctl")
        (Path(folder) / "bench").symlink_to(REPO / "bench")
        command = [sys.executable, "-m", "bench.memory", "--json"]
        done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE)
    return [Error(**of) for of in json.loads(done.stdout)]


def as_json(error: Error) -> dict[str, Any]:
    return asdict(error)
