"""The checkout to compare with, in an environment of its own: `python -m bench.base REF` prepares it and prints the
folder of its programs. REF: a folder with a checkout, or a revision of this repository.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.checkouts import REPO
from bench.compose import cache


def prepared(reference: str) -> Path:
    """Its environment is made at first; a revision is unpacked into the bench's cache. Raises CalledProcessError."""
    if Path(reference).is_dir():
        source = Path(reference).resolve()
        if (source / ".venv" / "bin" / "cortexctl").exists():
            return source / ".venv" / "bin"
    else:
        source = unpacked(reference)
    environment = cache() / "base" / f"env-{source.name}"
    python = environment / "bin" / "python"
    if not (environment / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        pip = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, "--upgrade", "pip"], check=True)
        subprocess.run([*pip, "-e", source], check=True)
        (environment / "ready").touch()
    return python.parent


def unpacked(revision: str) -> Path:
    """The files of a revision, without a worktree that git would have to forget."""
    parse = ["git", "-C", str(REPO), "rev-parse", "--verify", f"{revision}^{{commit}}"]
    commit = subprocess.run(parse, check=True, capture_output=True, text=True).stdout.strip()
    folder = cache() / "base" / commit[:12]
    if not (folder / "pyproject.toml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        archive = subprocess.run(["git", "-C", str(REPO), "archive", commit], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    return folder


if __name__ == "__main__":
    print(prepared(sys.argv[1]))
