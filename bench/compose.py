"""Docker Compose v2, Debian's package, unpacked into the bench's own cache: nothing is installed.

`python -m bench.compose` fetches it. The packages of this machine's own release are used if they are version 2, else
those of Debian's development release, from the mirror that apt is configured with. $BENCH_COMPOSE: a program to use
instead.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.checkouts import clean_environment
from bench.measuring import Command

NEWER = "sid"
PROGRAM = "usr/libexec/docker/cli-plugins/docker-compose"
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def cache() -> Path:
    """The folder of the bench below the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base, "cortexctl-bench")


def program() -> Path:
    return Path(os.environ.get("BENCH_COMPOSE") or cache() / "compose" / PROGRAM)


def version() -> str:
    """As it reports it; empty if it cannot be run."""
    if not os.access(program(), os.X_OK):
        return ""
    done = subprocess.run([program(), "version", "--short"], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def command(file: Path, *arguments: str, limit: float = 300.0) -> Command:
    """Of the project that the file describes."""
    argv = (str(program()), "-f", str(file), *arguments)
    return Command(argv, clean_environment(file.parent), limit=limit)


def fetch() -> None:
    """Unpack it into the cache, if it is not there. Raises OSError or CalledProcessError without a mirror."""
    if version():
        return
    folder = cache() / "compose"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    own = next((name for name in ("docker-compose-v2", "docker-compose") if _is_second(name)), "")
    if own:
        package = _download(own, folder, [])
    else:
        options = _options(folder)
        subprocess.run(["apt-get", *options, "-qq", "update"], check=True)
        package = _download("docker-compose", folder, options)
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    shutil.rmtree(folder / "apt", ignore_errors=True)
    if not version():
        raise OSError(f"the package has no program that runs: {folder / PROGRAM}")


def _options(folder: Path) -> list[str]:
    """Of apt, for the newer release only: with sources, lists and packages in `folder` instead of the system's."""
    for name in ("lists/partial", "cache/archives/partial", "parts"):
        (folder / "apt" / name).mkdir(parents=True)
    keys = f"[signed-by={KEYS}] " if KEYS.exists() else ""
    (folder / "apt" / "sources.list").write_text(f"deb {keys}{mirror()} {NEWER} main\n", encoding="utf-8")
    settings = {
        "Dir::Etc::SourceList": folder / "apt" / "sources.list",
        "Dir::Etc::SourceParts": folder / "apt" / "parts",
        "Dir::State::Lists": folder / "apt" / "lists",
        "Dir::Cache": folder / "apt" / "cache",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def mirror() -> str:
    """The URL of the mirror that apt reads this machine's release from. Raises OSError."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    listed = subprocess.run(["apt-get", "update", "--print-uris"], capture_output=True, text=True, check=True).stdout
    return mirror_in(listed, release)


def mirror_in(uris: str, release: str) -> str:
    """From the output of `apt-get update --print-uris`. Raises OSError."""
    for line in uris.splitlines():
        url, separator, _ = line.partition(f"/dists/{release}/")
        if separator:
            return url.strip("'")
    raise OSError(f"apt has no source for this machine's release {release!r}")


def _is_second(package: str) -> bool:
    """Whether the package's version is 2 or later."""
    shown = subprocess.run(["apt-cache", "policy", package], capture_output=True, text=True, check=False)
    return candidate_major(shown.stdout) >= 2


def candidate_major(policy: str) -> int:
    """From the output of `apt-cache policy PACKAGE`; 0 if there is no candidate."""
    for line in policy.splitlines():
        name, _, value = line.strip().partition(": ")
        if name == "Candidate":
            major = value.rpartition(":")[2].partition(".")[0]
            return int(major) if major.isdigit() else 0
    return 0


def _download(package: str, folder: Path, options: Sequence[str]) -> Path:
    subprocess.run(["apt-get", *options, "-qq", "download", package], cwd=folder, check=True)
    return next(folder.glob("*.deb"))


if __name__ == "__main__":
    fetch()
    print(f"bench: Compose {version()}")
