"""Which commit the stack is at, as git tells."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 10.0
"""Seconds that git may take: no apply waits long for a name."""


@dataclass(frozen=True, slots=True)
class Revision:
    """`commit` is empty where there is no git; `dirty`: the stack's folder holds what is not in that commit."""

    commit: str = ""
    dirty: bool = False

    def __str__(self) -> str:
        return self.commit + ("-dirty" if self.dirty else "")


def revision_of(stack: Path, log: str = "") -> Revision:
    """Of the stack file's folder. What is tracked there and changed, or a stack that is not tracked, makes it dirty;
    the audit log does not: it changes with every apply.
    """
    folder = stack.resolve().parent
    inside = os.path.relpath(Path(log).resolve(), folder) if log else ".."
    but = [] if inside.startswith("..") else [f":(exclude,literal){inside}"]
    said = _git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no", "--", ".", *but)
    lines = (said or "").splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "")
    if not commit or commit == "(initial)":
        return Revision()
    changed = any(not line.startswith("#") for line in lines)
    return Revision(commit, changed or not _git(folder, "ls-files", "--", f":(literal){stack.name}"))


def _git(folder: Path, *words: str) -> str | None:
    """What it prints; None when it fails, or is not there. It takes no lock, and runs no program of the repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *words],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
