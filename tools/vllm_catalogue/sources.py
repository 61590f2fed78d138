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
"""The oldest minor that the catalogue knows."""
PACKAGES = ("pydantic", "regex", "pyyaml", "packaging", "msgspec")
"""What a release's parser computes with; everything else is stubbed."""


def cache() -> Path:
    """Sources (2.2 GB for all releases), the environment that runs them, and what was extracted."""
    chosen = os.environ.get("CORTEXCTL_CATALOGUE_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "cortexctl-catalogue"


def age(version: str) -> tuple[int, ...]:
    """A key that sorts releases by age: 0.9.0.1 and 0.6.1.post2 lie behind their base."""
    return tuple(int(n) for n in re.findall(r"\d+", version))


def _index_url() -> str:
    """Where pip looks, as it is configured here."""
    if "PIP_INDEX_URL" in os.environ:
        return os.environ["PIP_INDEX_URL"]
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    if asked.returncode == 0:
        return asked.stdout.strip()
    from pip._internal.models.index import PyPI

    return str(PyPI.simple_url)


def releases() -> dict[str, list[dict[str, Any]]]:
    """Version -> its files, oldest first, as the index lists them."""
    request = urllib.request.Request(  # noqa: S310 - pip's own address
        f"{_index_url().rstrip('/')}/vllm/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        listing = json.load(answer)
    found: dict[str, list[dict[str, Any]]] = {}
    for file in listing["files"]:
        name = re.fullmatch(r"vllm-([0-9][^-]*?)(\.tar\.gz|-.*\.whl)", file["filename"])
        if name and age(name[1])[:2] >= FIRST and "rc" not in name[1]:
            found.setdefault(name[1], []).append(file)
    return dict(sorted(found.items(), key=lambda item: age(item[0])))


def fetch(version: str, files: list[dict[str, Any]]) -> tuple[Path, str]:
    """The source distribution in the cache, or a wheel where there is none (0.15); and the day of the release.

    By its URL: asking pip for a source distribution builds its metadata, and that needs torch.
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
            raise SystemExit(f"{version}: the downloaded file is not what the index names")
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
    """The Python files of a release in a folder that is gone afterwards."""
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
    """An interpreter with the few packages that the parsers compute with, made on first use."""
    home = cache() / "python"
    interpreter = home / "bin" / "python"
    if not interpreter.exists():
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return interpreter
