"""The audit log: JSON lines, append-only."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import Any, Self

from cortexctl.dataclass import dataclass
from cortexctl.files.private import open_private
from cortexctl.text.json_text import json_text


@dataclass
class AuditLog:
    """One run's access to the log. It needs no lock: each line is one write at the end of the file, and the system does
    not mix it with another write. A write error is reported once, in `problem`, and stops nothing.
    """

    path: Path
    problem: str = ""
    _file: int = field(default=-1)

    def __enter__(self) -> Self:
        try:
            self._file = open_private(self.path, add=True)
        except OSError as cause:
            self._failed(cause)
        return self

    def write(self, record: Mapping[str, Any]) -> None:
        line = (json_text(record) + "\n").encode("utf-8", "replace")
        if self._file < 0:
            return
        try:
            if os.write(self._file, line) < len(line):
                self.problem = f"{self.path}: the disk is full"
        except OSError as cause:
            self._failed(cause)

    def __exit__(self, *_: object) -> None:
        if self._file < 0:
            return
        try:
            if stat.S_ISREG(os.fstat(self._file).st_mode):
                os.fsync(self._file)
        except OSError as cause:
            self._failed(cause)
        with suppress(OSError):
            os.close(self._file)

    def _failed(self, cause: OSError) -> None:
        why = (
            "its folder does not exist; create it" if isinstance(cause, FileNotFoundError) else cause.strerror or cause
        )
        self.problem = f"{self.path}: {why}"


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The readable records, oldest first; a line cut off by a full disk is skipped. Raises OSError."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            with suppress(ValueError):
                record = json.loads(line)
                if isinstance(record, dict):
                    yield record
