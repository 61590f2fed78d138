"""An `ssh` whose connection never stands."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True)
class SilentSsh:
    """`pid`: the file with the number of its process."""

    pid: Path

    def has_started(self) -> bool:
        return self.pid.exists() and self.pid.read_text().endswith("\n")

    def has_ended(self) -> bool:
        return not Path(f"/proc/{int(self.pid.read_text())}").exists()


def silent_ssh(folder: Path, patch: pytest.MonkeyPatch) -> SilentSsh:
    """From now on, it is the `ssh` in PATH."""
    ssh = SilentSsh(folder / "pid")
    (folder / "ssh").write_text(f"#!/bin/sh\necho $$ > {ssh.pid}\nexec sleep 600\n")
    (folder / "ssh").chmod(0o755)
    patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return ssh
