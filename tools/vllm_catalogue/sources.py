"""The releases on the package index, and their sources in a cache folder outside of the repository."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

FIRST = (0, 6)
"""The oldest minor release of the catalogue."""
PACKAGES = ("pydantic", "regex", "pyyaml", "packaging", "msgspec")
"""The packages that a release's parser needs. All others are stubbed."""


def cache() -> Path:
    """The folder of the sources (2.2 GB for all releases), and of the environment that runs them."""
    chosen = os.environ.get("CORTEXCTL_CATALOGUE_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "cortexctl-catalogue"


def age(version: str) -> tuple[int, ...]:
    """A key that sorts releases by age: 0.9.0.1 and 0.6.1.post2 come after their base."""
    return tuple(int(n) for n in re.findall(r"\d+", version))


def _index_url() -> str:
    """The package index that pip is configured to use here."""
    if "PIP_INDEX_URL" in os.environ:
        return os.environ["PIP_INDEX_URL"]
    configured = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    if configured.returncode == 0:
        return configured.stdout.strip()
    from pip._internal.models.index import PyPI

    return str(PyPI.simple_url)


def releases() -> dict[str, list[dict[str, Any]]]:
    """Version -> its files, oldest first, as the index lists them."""
    request = urllib.request.Request(  # noqa: S310 - pip's own address
        f"{_index_url().rstrip('/')}/vllm/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        listing = json.load(answer)
    files_of: dict[str, list[dict[str, Any]]] = {}
    for file in listing["files"]:
        name = re.fullmatch(r"vllm-([0-9][^-]*?)(\.tar\.gz|-.*\.whl)", file["filename"])
        if name and age(name[1])[:2] >= FIRST and "rc" not in name[1]:
            files_of.setdefault(name[1], []).append(file)
    return dict(sorted(files_of.items(), key=lambda item: age(item[0])))


def fetch(version: str, files: list[dict[str, Any]]) -> tuple[Path, str]:
    """Fetch the source distribution into the cache, or a wheel if there is none (0.15).

    Returns the file, and the day of the release.
    It uses the URL, because pip would build the metadata of a source distribution, and that needs torch.
    """
    sdists = [f for f in files if f["filename"].endswith(".tar.gz")]
    wheels = [f for f in files if f["filename"].endswith("x86_64.whl")]
    file = (sdists or wheels)[-1]
    path = cache() / "sources" / file["filename"]
    day = min(f["upload-time"] for f in files)[:10]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        digest = hashlib.sha256()
        with urllib.request.urlopen(file["url"], timeout=120) as answer, part.open("wb") as out:  # noqa: S310 - from the index
            while block := answer.read(1 << 20):
                digest.update(block)
                out.write(block)
        if digest.hexdigest() != file["hashes"]["sha256"]:
            raise SystemExit(f"{version}: the digest of the downloaded file is not the one in the index")
        part.rename(path)
    return path, day


def _needed(name: str) -> bool:
    return (
        (name.startswith("vllm/") and name.endswith(".py"))
        or name in {"PKG-INFO", "Dockerfile", "docker/Dockerfile"}
        or name.endswith(".dist-info/METADATA")
    )


@contextlib.contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """The Python files of a release, in a folder that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="vllm-catalogue-"))
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(folder, [n for n in wheel.namelist() if _needed(n)])  # noqa: S202 - names are checked
        else:
            with tarfile.open(archive) as sdist:
                for member in sdist:
                    member.name = str(PurePosixPath(*PurePosixPath(member.name).parts[1:]))
                    if member.isfile() and _needed(member.name):
                        sdist.extract(member, folder, filter="data")
        yield folder
    finally:
        shutil.rmtree(folder)


def python() -> Path:
    """An interpreter with the few packages that the parsers need. It is created on first use."""
    home = cache() / "python"
    interpreter = home / "bin" / "python"
    if not interpreter.exists():
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return interpreter
