"""Where a run comes from: who applies, and the git commit of the stack."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cortexctl.dataclass import dataclass
from cortexctl.files.checkout import checkout_of
from cortexctl.files.git import Git, GitRefused, git_at

_GITHUB = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
_JOB_URLS = ("CI_JOB_URL", "BUILD_URL", "BUILDKITE_BUILD_URL", "CIRCLE_BUILD_URL", "CI_PIPELINE_URL")
"""GitLab, Jenkins, Buildkite, CircleCI, Woodpecker."""
_ACTORS = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILD_USER_ID", "BUILDKITE_BUILD_AUTHOR", "CIRCLE_USERNAME")


@dataclass(frozen=True, slots=True)
class Identity:
    """`job` is the URL of a pipeline job, `actor` the person that the job names. Both are empty at a terminal."""

    user: str
    machine: str
    actor: str = ""
    job: str = ""

    @property
    def author(self) -> str:
        """One word, for a label."""
        return self.actor or f"{self.user}@{self.machine}"


def identity_of(user: str, machine: str, environ: Mapping[str, str]) -> Identity:
    """The identity, from the variables of the common CI systems."""
    actor = next((environ[name] for name in _ACTORS if environ.get(name)), "")
    if all(environ.get(name) for name in _GITHUB):
        server, repository, run = (environ[name] for name in _GITHUB)
        return Identity(user, machine, actor, f"{server}/{repository}/actions/runs/{run}")
    return Identity(user, machine, actor, next((environ[name] for name in _JOB_URLS if environ.get(name)), ""))


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
