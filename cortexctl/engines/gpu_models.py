"""GPUs as people, torch and nvidia-smi name them."""

from __future__ import annotations

import math
import re
from dataclasses import replace

from cortexctl.engines.gpu_table import KNOWN, Gpu
from cortexctl.text.units import GIB, size_in_bytes

_NOISE = re.compile(r"NVIDIA|GEFORCE|TESLA|AMD|INSTINCT|PCIE|SXM\d?|RTX(?=\s?A\d)|[\s_-]|\d+GB", re.IGNORECASE)
_OF_THE_MACHINE = re.compile(r"(?<=GH200)\s*480\s*GB", re.IGNORECASE)
"""nvidia-smi writes the memory of the CPU in the name of a GH200."""


def gpu_of(name: str, total_gib: float | None = None) -> Gpu:
    """A GPU by its name as people, torch or nvidia-smi write it, and its memory if given.

    The advertised number (80 for an H100) stands for the memory that torch reports for such a card. Raises ValueError
    if neither the name nor a size gives the memory.
    """
    known = _named(name, total_gib)
    if known is None:
        size = total_gib or _size_in(name)
        if size is None:
            raise ValueError(f'the memory of "{name}" is not known; write it as {name or "NAME"}:GIB')
        is_whole = size == int(size) and total_gib is None
        return Gpu(name, _reported(int(size)) if is_whole else size)
    if total_gib is None or total_gib == known.marketed:
        return known
    return replace(known, total_gib=total_gib)


def _reported(size_gb: int) -> float:
    """GiB that torch reports for an advertised size: those of the known cards of this size if they agree."""
    totals = [g.total_gib for g in KNOWN if g.marketed == size_gb and not g.shared]
    return min(totals) if totals and max(totals) - min(totals) < 0.5 else size_gb * 0.985


def _named(name: str, total_gib: float | None) -> Gpu | None:
    name = _OF_THE_MACHINE.sub("", name)
    key = _key(name)
    matches = [g for g in KNOWN if key.startswith(_key(g.name))]
    sized = re.search(r"(\d+)\s*-?\s*GB", name, re.IGNORECASE) or re.search(r"-(\d+)$", name)
    size_gb = int(sized[1]) if sized else round(total_gib) if total_gib else 0
    best = max(matches, key=lambda g: len(_key(g.name)), default=None)
    if best is None or not size_gb or abs(size_gb - best.marketed) < 5 or name.upper().startswith(best.name):
        variants = [g for g in KNOWN if best and g.name.split("-")[0] == best.name and abs(g.marketed - size_gb) < 3]
        return variants[0] if variants and size_gb else best
    size = float(size_gb) if total_gib is None else total_gib
    return replace(best, total_gib=size * 0.985, marketed=size_gb)


def _key(name: str) -> str:
    return _NOISE.sub("", name.upper()).replace("GENERATION", "").replace("EDITION", "")


def _size_in(name: str) -> float | None:
    """'24GB' stands for a card with that advertised size."""
    match = re.match(r"(\d+(?:\.\d+)?)\s*(G(?:i?B)?)\b", name, re.IGNORECASE)
    return float(match[1]) if match else None


def parse_gpu(text: str) -> tuple[Gpu, int]:
    """'L40S:44.4x4', 'H100', 'A100:79.2 GiB', '24GB' -> the GPU and its number. Raises ValueError."""
    body, number = text.strip(), 1
    if times := re.search(r"(?<=[\w.])\s*[x*](\d{1,2})$", body):
        body, number = body[: times.start()], int(times[1])
    elif lead := re.match(r"(\d{1,2})x(?=\D)", body):
        body, number = body[lead.end() :], int(lead[1])
    if not number:
        raise ValueError("x0 leaves no GPU")
    name, colon, size = body.rpartition(":")
    if not colon:
        return gpu_of(body), number
    total = _gib(size)
    if not (math.isfinite(total) and total > 0):
        raise ValueError(f'a GPU must have more than 0 GiB, not "{size}"')
    return gpu_of(name, total), number


def _gib(text: str) -> float:
    """A number means GiB; a size may have its unit."""
    try:
        return float(text)
    except ValueError:
        return size_in_bytes(text) / GIB


def gpu_on_host(name: str, memory: int | None, capability: str | None = None) -> Gpu:
    """A GPU as declared for a host of a stack: `memory` is the number of nvidia-smi, in bytes, up to 1 GiB more than
    torch reports.

    Raises ValueError if neither gives the memory.
    """
    shown = memory / GIB if memory else None
    known = _named(name, shown) if name else None
    if known is not None and (shown is None or abs(shown - known.total_gib) < 0.05 * known.total_gib):
        return known
    if shown is None:
        return gpu_of(name)
    return Gpu(name or "GPU", 0.985 * shown, capability=float(capability or 8.0))
