"""The stack's git commit."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cortexctl.files.checkout import checkout_of
from cortexctl.files.git import Git, GitRefused, git_at


@dataclass(frozen=True, slots=True)
class Revision:
    """`commit` is empty without git; `dirty`: the stack's folder has changes that are not in that commit."""

    commit: str = ""
    dirty: bool = False

    def __str__(self) -> str:
        return self.commit + ("-dirty" if self.dirty else "")


def revision_of(stack: Path, log: str = "") -> Revision:
    """The revision of the stack file's folder. A changed tracked file, or an untracked stack file, makes it dirty. The
    audit log does not: it changes with every apply.
    """
    file = Path(os.path.realpath(stack))
    if not file.parent.is_dir():
        return Revision()
    try:
        return _revision(git_at(checkout_of(file)), file, log)
    except GitRefused:
        return Revision()


def _revision(git: Git, file: Path, log: str) -> Revision:
    """Files are compared without filters, because a filter is a program. A file that a filter would change counts as
    changed if git has to compare its content.
    """
    folder, off = file.parent.relative_to(git.top).as_posix(), git.without_filters()
    inside = os.path.relpath(os.path.realpath(log), git.top) if log else ".."
    but = [] if inside.startswith("..") else [f":(exclude,literal){inside}"]
    answer = git.run(
        *("status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules=dirty"),
        *("--", f":(literal){folder}" if folder != "." else ".", *but),
        off=off,
    )
    lines = answer.decode(errors="replace").splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "")
    if not commit or commit == "(initial)":
        return Revision()
    changed = any(not line.startswith("#") for line in lines)
    tracked = git.run("ls-files", "--", f":(literal){file.relative_to(git.top).as_posix()}", off=off)
    return Revision(commit, changed or not tracked)
