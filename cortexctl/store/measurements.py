"""Measurements of starts, kept on this machine: one small file for each distinct start, in the user's cache.

A file is written whole and then put in its place, so two runs at once or a killed one leave no half file. Nothing
depends on these files: they can be deleted at any time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cortexctl.errors import UsageError
from cortexctl.store.cache_folder import cache_folder

if TYPE_CHECKING:
    from cortexctl.engines.measurement import Measurement

RETAINED = 300
"""Files; the oldest are deleted first. Reading all takes some ten milliseconds."""


def folder() -> Path:
    """Raises UsageError without a home."""
    try:
        return cache_folder() / "measured"
    except RuntimeError as cause:
        raise UsageError(f"there is no folder for measurements: {cause}") from None


def read_all(skipped: Callable[[str], None] = lambda _why: None) -> list[Measurement]:
    """All that can be read. `skipped` gets a sentence about each file that is damaged or of another format."""
    known: list[Measurement] = []
    with suppress(UsageError, OSError):
        for file in sorted(folder().glob("*.json")):
            from cortexctl.engines.measurement import from_json

            try:
                known.append(from_json(json.loads(file.read_text(encoding="utf-8"))))
            except FileNotFoundError:
                continue  # another run has just removed it
            except (OSError, ValueError) as cause:
                skipped(f"{file} is ignored ({cause}); delete it")
    return known


def keep(measurement: Measurement) -> None:
    """In place of an earlier one of the same start. Raises UsageError where nothing can be written."""
    from cortexctl.engines.measurement import to_json
    from cortexctl.files.atomic import write_atomic

    at = folder()
    try:
        at.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as cause:
        raise UsageError(f"cannot create {at}: {cause.strerror or cause}") from cause
    write_atomic(str(at / f"{measurement.started.key}.json"), json.dumps(to_json(measurement), indent=1) + "\n")
    _prune(at)


def _prune(at: Path) -> None:
    with suppress(OSError):  # another run may prune at the same time
        files = sorted(at.glob("*.json"), key=lambda f: f.stat().st_mtime, reverse=True)
        for file in files[RETAINED:]:
            file.unlink(missing_ok=True)
