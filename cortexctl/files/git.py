"""Runs git on one checkout, so that nothing in the checkout can answer in its place or run anything.

A commit can contain files that look like a repository (HEAD, config, objects, refs) and whose config names programs. So
git runs only at the top of the intended checkout, and on exactly that repository. All programs that git can be
configured to run are switched off as well: attributes in a commit can request a filter from the user's own config.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from cortexctl.dataclass import dataclass
from cortexctl.files.checkout import GIT, Checkout

PATIENCE = 10.0
"""Seconds that git may take: nobody waits long for a name."""
OFF = {
    "safe.bareRepository": "explicit",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.sshCommand": "false",
    "core.gitProxy": "false",
    "core.askPass": "",
    "core.pager": "cat",
    "core.editor": "false",
    "core.alternateRefsCommand": "",
    "credential.helper": "",
    "diff.external": "",
    "gpg.program": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
    "protocol.allow": "never",
    "protocol.ext.allow": "never",
}
"""Every setting by which git runs a program or contacts another machine."""
RETAINED = {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"}
"""The git variables that are kept: they locate the user's own config, which lists the trusted checkouts of other users.
"""


class GitRefused(Exception):
    """Git was not run, or it failed. The text is the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Git:
    """One repository. `top` and `folder` are real paths: of the work tree, and of git's own data for it."""

    top: Path
    folder: Path

    def run(self, *arguments: str, off: Mapping[str, str] = {}, stdin: str = "") -> bytes:
        """Git's output. `off`: more settings to switch off. Raises GitRefused."""
        return _run(self.top, f"--git-dir={self.folder}", f"--work-tree={self.top}", *arguments, off=off, stdin=stdin)

    def without_filters(self) -> dict[str, str]:
        """The settings to switch off so that no filter of the config runs, whatever the attributes request. Raises
        GitRefused.
        """
        listed = _run(
            self.top,
            f"--git-dir={self.folder}",
            "config",
            "-z",
            "--name-only",
            "--get-regexp",
            r"^filter\.",
            may_fail=True,
        ).decode(errors="surrogateescape")
        drivers = {name.removeprefix("filter.").rpartition(".")[0] for name in listed.split("\0") if name}
        if any("=" in driver or "\n" in driver for driver in drivers):
            raise GitRefused("its config has a filter that cannot be turned off, because of its name")
        return {
            f"filter.{driver}.{key}": "false" if key == "required" else ""
            for driver in sorted(drivers)
            for key in ("clean", "smudge", "process", "required")
        }


def git_at(checkout: Checkout) -> Git:
    """The repository of exactly this checkout. Raises GitRefused."""
    if not checkout.is_git:
        raise GitRefused(f"{checkout.top} is not in a git checkout")
    top = Path(os.path.realpath(checkout.top))
    try:
        lines = (
            _run(top, "rev-parse", "--show-toplevel", "--absolute-git-dir").decode(errors="surrogateescape").split("\n")
        )
    except GitRefused as cause:
        raise GitRefused(f"git cannot read {checkout.top}: {cause}") from None
    if len(lines) != 3 or os.path.realpath(lines[0]) != str(top) or os.path.realpath(lines[1]) != _meant(top):
        raise GitRefused(f"git uses another folder for the checkout {checkout.top}")
    return Git(top, Path(os.path.realpath(lines[1])))


def file_at(git: Git, revision: str, path: str, most: int) -> bytes:
    """A file of a commit, exactly as committed: no filter, no conversion. `path` is relative to the top; links inside
    the commit are followed there. Raises GitRefused.
    """
    if not revision or revision.startswith("-"):  # git would read it as an option, and some options write files
        raise GitRefused("a revision cannot begin with a minus" if revision else "it names no revision")
    if "\n" in path:
        raise GitRefused("a path that contains a line break is not supported")
    _refuse_ambiguous(git, revision)
    try:
        commit = git.run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
    except GitRefused:
        raise GitRefused(f"there is no revision {revision} in {git.top}; fetch it first") from None
    answer = git.run("cat-file", "--batch-check", "--follow-symlinks", stdin=f"{commit}:{path}\n").decode(
        errors="replace"
    )
    match answer.split("\n", 1)[0].split(" "):
        case [oid, "blob", size] if int(size) <= most:
            return git.run("cat-file", "blob", oid)
        case [_, "blob", _]:
            raise GitRefused(f"{path} is larger in that revision than a stack can be")
        case [_, "tree", _]:
            raise GitRefused(f"{path} is a folder in that revision")
        case ["symlink" | "dangling" | "loop" | "notdir", *_]:
            raise GitRefused(f"{path} is a link in that revision to a file that the revision does not have")
    raise GitRefused(f"{path} does not exist in that revision")


def _refuse_ambiguous(git: Git, revision: str) -> None:
    """A tag can have the name of a branch, and git prefers the tag: a user who may push a tag could choose the revision
    to compare with.
    """
    name = re.split(r"[~^]|@\{", revision, maxsplit=1)[0]
    kinds = [f"refs/{kind}/{name}" for kind in ("tags", "heads", "remotes")]
    listed = git.run("for-each-ref", "--format=%(refname)", "--", *kinds).decode(errors="replace").split("\n")
    both = [ref for ref in kinds if ref in listed]
    if len(both) > 1:
        raise GitRefused(f"the name is ambiguous; write one of {', '.join(both)}")


def _meant(top: Path) -> str:
    """The folder that the checkout's own .git is, or points to (a worktree, a submodule)."""
    entry = top / GIT
    if entry.is_dir():
        return os.path.realpath(entry)
    try:
        with entry.open(encoding="utf-8", errors="surrogateescape") as file:
            first = file.readline(5000)
    except OSError:
        return ""
    where = first.removeprefix("gitdir:").strip()
    return os.path.realpath(top / where) if first.startswith("gitdir:") else ""


def _run(top: Path, *arguments: str, off: Mapping[str, str] = {}, stdin: str = "", may_fail: bool = False) -> bytes:
    switched_off = [part for name, value in {**OFF, **off}.items() for part in ("-c", f"{name}={value}")]
    try:
        done = subprocess.run(
            ["git", "--no-pager", *switched_off, *arguments],
            cwd=top,
            input=os.fsencode(stdin),
            capture_output=True,
            check=False,
            timeout=PATIENCE,
            env=_environ(top),
        )
    except FileNotFoundError:
        raise GitRefused("git is not installed") from None
    except OSError as cause:
        raise GitRefused(f"git cannot be run: {cause.strerror}") from None
    except subprocess.TimeoutExpired:
        raise GitRefused(f"git did not finish within {PATIENCE:g} s") from None
    if done.returncode and not may_fail:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise GitRefused(lines[0].removeprefix("fatal: ") if lines else "git failed")
    return done.stdout


def _environ(top: Path) -> dict[str, str]:
    """The environment without variables that point git elsewhere, such as those inside a hook. Git then takes no lock,
    prompts nobody and fetches nothing.
    """
    retained = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in RETAINED}
    return retained | {
        "GIT_CEILING_DIRECTORIES": str(top.parent),
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "LC_ALL": "C",
    }
