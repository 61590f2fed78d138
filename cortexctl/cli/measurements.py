"""What starts measured, kept on this machine: one small file for each distinct start, in the user's cache.

A file is written whole and then put in its place, so two runs at once and a killed one leave nothing half done. Nothing
depends on what is here: it can be deleted at any time.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from cortexctl.cli.outfile import write_whole
from cortexctl.cli.writing import say_plain
from cortexctl.engines.vllm.memory.measured import Measurement, from_json, to_json
from cortexctl.errors import UsageError

KEPT = 300
"""So many files; the oldest go first. Reading all takes some ten milliseconds."""


def folder() -> Path:
    """By the XDG base directory specification, which has relative paths ignored. Raises UsageError without a home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    except RuntimeError as cause:
        raise UsageError(f"nowhere to keep measurements: {cause}") from None
    return root / "cortexctl" / "measured"


def read_all() -> list[Measurement]:
    """All that can be read; of what is damaged or of another format a warning is given."""
    found = []
    with suppress(UsageError, OSError):
        for file in sorted(folder().glob("*.json")):
            try:
                found.append(from_json(json.loads(file.read_text(encoding="utf-8"))))
            except FileNotFoundError:
                continue  # another run has just removed it
            except (OSError, ValueError) as cause:
                say_plain(f"Warning: {file} is passed over ({cause}); delete it\n")
    return found


def keep(measurement: Measurement) -> None:
    """In place of an earlier one of the same start. Raises UsageError where nothing can be written."""
    at = folder()
    try:
        at.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as cause:
        raise UsageError(f"cannot make {at}: {cause.strerror or cause}") from cause
    write_whole(str(at / f"{measurement.started.key}.json"), json.dumps(to_json(measurement), indent=1) + "\n")
    _prune(at)


def _prune(at: Path) -> None:
    with suppress(OSError):  # another run may prune at the same time
        files = sorted(at.glob("*.json"), key=lambda f: f.stat().st_mtime, reverse=True)
        for file in files[KEPT:]:
            file.unlink(missing_ok=True)
