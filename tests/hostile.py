"""Hostile files of a pull request: git, or a reader of files, may mistake them for something else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

WHO = ("-c", "user.name=n", "-c", "user.email=n@example.com", "-c", "init.defaultBranch=main")


def git(folder: Path, *arguments: str) -> str:
    """Run git as the author of the repository."""
    env = {n: v for n, v in os.environ.items() if not n.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return subprocess.run(
        ["git", *WHO, *arguments], cwd=folder, check=True, capture_output=True, text=True, env=env
    ).stdout.strip()


def repository(at: Path, files: Mapping[str, str]) -> Path:
    """A repository with one commit on `main` and `origin/main`."""
    at.mkdir(parents=True, exist_ok=True)
    git(at, "init", "--quiet")
    commit(at, files)
    git(at, "update-ref", "refs/remotes/origin/main", "HEAD")
    return at


def commit(at: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_text(text, encoding="utf-8")
    git(at, "add", ".")
    git(at, "commit", "--quiet", "--allow-empty", "-m", "c")


def lookalike(folder: Path, lie: str, name: str, ran: Path) -> None:
    """Plain files in `folder` that git mistakes for a repository. Its `origin/main` and its `main` hold the file `name`
    with the text `lie`. Its config names programs that create the file `ran`.
    """
    real = folder.parent / f"{folder.name}.real"
    repository(real, {name: lie, ".gitattributes": "* filter=evil diff=evil\n"})
    for part in ("HEAD", "objects", "refs"):
        source = real / ".git" / part
        shutil.copytree(source, folder / part) if source.is_dir() else shutil.copy(source, folder / part)
    shutil.copy(real / ".git" / "index", folder / "index")
    shutil.rmtree(real)
    (folder / "config").write_text(
        f"""[core]
\trepositoryformatversion = 0
\tbare = false
\tworktree = .
\tfsmonitor = "touch {ran}; false"
\tsshCommand = "touch {ran}; false"
\thooksPath = "{folder}"
\tpager = "touch {ran}"
[remote "origin"]
\turl = ssh://nobody@127.0.0.1:9/none
\tuploadpack = "touch {ran}"
[filter "evil"]
\tclean = "touch {ran}; cat"
\tsmudge = "touch {ran}; cat"
\tprocess = "touch {ran}"
\trequired = true
[diff "evil"]
\ttextconv = "touch {ran}; cat"
\tcommand = "touch {ran}"
"""
    )
    hook = folder / "post-index-change"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
