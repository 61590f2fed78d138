"""The facts that only a container on the host can read: GPUs and free disk. Pure.

The texts of nvidia-smi are parsed here and not in the container, so that its script stays small.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from itertools import combinations
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.observed.host_facts import Disk, FolderFacts, FolderState
from cortexctl.text.shorten import shortened

MIB = 2**20
MOST_GPUS = 64
LARGEST = 2**60
"""Bytes beyond which a number is not a size."""
_CUDA = re.compile(r"CUDA(?: UMD)? Version\s*:\s*(\d{1,3}\.\d{1,3})", re.ASCII)
"""Drivers since 610 print "CUDA UMD Version"."""
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_NVLINK = re.compile(r"NV(\d{1,3})", re.ASCII)
_CAPABILITY = re.compile(r"\d{1,2}\.\d", re.ASCII)
_GPU = re.compile(r"GPU(\d{1,3})", re.ASCII)


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """`memory`, `free`: bytes, as nvidia-smi shows them; None if it shows none. `capability`: "9.0", or empty."""

    index: int
    name: str
    memory: int | None = None
    free: int | None = None
    driver: str = ""
    capability: str = ""


@dataclass(frozen=True, slots=True)
class HostProbe:
    """`image`: the image that the temporary container used. `cuda`: the newest CUDA that the driver supports.
    `nvlinks`: (GPU, GPU, number of links) of each connected pair. `gpu_problem`: why no GPU is known. `problem`: why
    nothing at all is known.
    """

    image: str = ""
    gpus: tuple[GpuFacts, ...] = ()
    cuda: str = ""
    nvlinks: tuple[tuple[int, int, int], ...] = ()
    images_disk: Disk | None = None
    folders: tuple[FolderFacts, ...] = ()
    gpu_problem: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ProbeOutput:
    """The texts of a temporary container. `missing`: keys of folders that do not exist on the host. `refusal`: the
    daemon's own message if it gives no GPUs to containers. `problem`: why there is no output.
    """

    output: str = ""
    log: str = ""
    missing: tuple[str, ...] = ()
    refusal: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Script:
    """The JSON of the script, with everything of an unexpected type dropped."""

    plain: Mapping[str, Any] = field(default_factory=dict)

    def table(self, key: str) -> Mapping[str, Any]:
        value = self.plain.get(key)
        return value if isinstance(value, dict) else {}

    def text(self, key: str) -> str:
        value = self.plain.get(key)
        return value if isinstance(value, str) else ""


def parse_host_probe(image: str, result: ProbeOutput, folders: Mapping[str, str]) -> HostProbe:
    """`folders`: key -> path on the host. An image can contain anything, so nothing is taken for granted."""
    if result.problem:
        return HostProbe(image, problem=result.problem)
    try:
        plain = json.loads(result.output)
    except (ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict):
        last = next((line for line in reversed(result.log.splitlines()) if line.strip()), "")
        reason = f": {_one_line(last)}" if last else ""
        return HostProbe(image, problem=f"the container in {image} ended without an answer{reason}")
    script = _Script(plain)
    gpus = parse_gpus(script.text("gpus"))
    pairs = tuple(p for p in parse_nvlinks(script.text("topology")) if {p[0], p[1]} <= {g.index for g in gpus})
    return HostProbe(
        image,
        gpus,
        parse_cuda(script.text("summary")) if gpus else "",
        pairs,
        _disk(script.table("disks").get("/")),
        tuple(_folder(key, path, script, result.missing) for key, path in folders.items()),
        "" if gpus else _no_gpus(script.text("gpus_problem"), result.refusal),
    )


def parse_gpus(text: str) -> tuple[GpuFacts, ...]:
    """From `nvidia-smi --query-gpu=index,name,memory.total,memory.free,driver_version[,compute_cap]
    --format=csv,noheader,nounits`.
    """
    gpus: dict[int, GpuFacts] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) < 5 or not re.fullmatch(r"\d{1,3}", cells[0], re.ASCII):
            continue
        capability = cells[5] if len(cells) > 5 and _CAPABILITY.fullmatch(cells[5]) else ""
        gpu = GpuFacts(int(cells[0]), cells[1], _mebibytes(cells[2]), _mebibytes(cells[3]), cells[4], capability)
        gpus[gpu.index] = gpu
    return tuple(gpus[index] for index in sorted(gpus))[:MOST_GPUS]


def parse_cuda(text: str) -> str:
    """From the head of `nvidia-smi`; empty if it names no version."""
    match = _CUDA.search(text)
    return match[1] if match else ""


def parse_nvlinks(text: str) -> Iterator[tuple[int, int, int]]:
    """From `nvidia-smi topo -m`: the pairs of GPUs with NVLink, and the number of links of each."""
    rows = [[cell.strip() for cell in _STYLE.sub("", line).split("\t")] for line in text.splitlines()]
    heading = next((row for row in rows if any(_GPU.fullmatch(cell) for cell in row[1:])), [])
    columns = {cell: at for at, cell in enumerate(heading) if _GPU.fullmatch(cell) and at}
    cells = {row[0]: row for row in rows if row[0] in columns and row is not heading}
    for first, second in combinations(sorted(cells, key=lambda name: int(name[3:]))[:MOST_GPUS], 2):
        row = cells[first]
        link = _NVLINK.fullmatch(row[columns[second]]) if columns[second] < len(row) else None
        if link:
            yield int(first[3:]), int(second[3:]), int(link[1])


def _folder(key: str, path: str, script: _Script, missing: tuple[str, ...]) -> FolderFacts:
    if key in missing:
        return FolderFacts(key, path, "missing")
    known = script.table("folders").get(key)
    state: FolderState = "unknown"
    detail = ""
    if isinstance(known, dict):
        match known.get("entries"):
            case 0 | 1 as count:
                state = "readable" if count else "empty"
            case _:
                state, detail = "unreadable", _one_line(str(known.get("problem") or ""))
    return FolderFacts(key, path, state, detail=detail, disk=_disk(script.table("disks").get(key)))


def _no_gpus(script: str, refusal: str) -> str:
    return _one_line(refusal or script or "nvidia-smi lists none")


def _disk(value: object) -> Disk | None:
    match value:
        case [free, total] if type(free) is type(total) is int and 0 <= free <= total <= LARGEST and total:
            return Disk(free, total)
    return None


def _mebibytes(cell: str) -> int | None:
    return int(cell) * MIB if re.fullmatch(r"\d{1,9}", cell, re.ASCII) else None


def _one_line(text: str) -> str:
    return shortened(" ".join(text.split()))
