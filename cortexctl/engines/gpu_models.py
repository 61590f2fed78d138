"""GPUs by name: the memory that torch reports, which is less than the advertised number, and their compute
capability.
"""

from __future__ import annotations

import math
import re

from cortexctl.dataclass import dataclass
from cortexctl.text.units import GIB, size_in_bytes


@dataclass(frozen=True, slots=True)
class Gpu:
    """`total_gib`: as torch reports it. `marketed`: the advertised whole number of GB. `shared`: it shares the
    machine's memory.
    """

    name: str
    total_gib: float
    marketed: int = 0
    capability: float = 8.0
    shared: bool = False

    @property
    def total(self) -> int:
        """Bytes."""
        return int(self.total_gib * GIB)

    @property
    def is_a100(self) -> bool:
        return "a100" in self.name.lower()


_KNOWN = (
    Gpu("B300", 267.7, 288, 10.3),
    Gpu("GB300", 276.6, 288, 10.3),
    Gpu("GB200", 184.0, 192, 10.0),
    Gpu("B200", 178.4, 192, 10.0),
    Gpu("H200", 139.75, 141, 9.0),
    Gpu("GH200", 94.5, 96, 9.0),
    Gpu("H100-NVL", 93.1, 94, 9.0),
    Gpu("H100", 79.18, 80, 9.0),
    Gpu("H800", 79.18, 80, 9.0),
    Gpu("H20", 95.1, 96, 9.0),
    Gpu("A100-40", 39.4, 40, 8.0),
    Gpu("A100", 79.2, 80, 8.0),
    Gpu("A800", 79.2, 80, 8.0),
    Gpu("A40", 44.4, 48, 8.6),
    Gpu("A30", 23.5, 24, 8.0),
    Gpu("A10G", 22.03, 24, 8.6),
    Gpu("A10", 22.03, 24, 8.6),
    Gpu("A16", 14.6, 16, 8.6),
    Gpu("A6000", 47.4, 48, 8.6),
    Gpu("A5000", 23.6, 24, 8.6),
    Gpu("A4000", 15.7, 16, 8.6),
    Gpu("L40S", 44.4, 48, 8.9),
    Gpu("L40", 44.4, 48, 8.9),
    Gpu("L20", 44.4, 48, 8.9),
    Gpu("L4", 22.03, 24, 8.9),
    Gpu("RTXPRO6000", 94.97, 96, 12.0),
    Gpu("RTXPRO5000", 47.3, 48, 12.0),
    Gpu("RTX6000ADA", 47.4, 48, 8.9),
    Gpu("RTX5090", 31.36, 32, 12.0),
    Gpu("RTX5080", 15.5, 16, 12.0),
    Gpu("RTX5070TI", 15.5, 16, 12.0),
    Gpu("RTX5060TI", 15.5, 16, 12.0),
    Gpu("RTX4090", 23.55, 24, 8.9),
    Gpu("RTX4080", 15.7, 16, 8.9),
    Gpu("RTX4060TI", 15.6, 16, 8.9),
    Gpu("RTX4060", 7.75, 8, 8.9),
    Gpu("RTX3090", 23.6, 24, 8.6),
    Gpu("RTX3060", 11.76, 12, 8.6),
    Gpu("RTX3050", 5.8, 6, 8.6),
    Gpu("RTX2080TI", 21.6, 22, 7.5),
    Gpu("RTX2060", 11.99, 12, 7.5),
    Gpu("T4", 14.56, 16, 7.5),
    Gpu("V100-16", 15.77, 16, 7.0),
    Gpu("V100", 31.74, 32, 7.0),
    Gpu("P100", 15.9, 16, 6.0),
    Gpu("GB10", 121.65, 128, 12.1, shared=True),
    Gpu("THOR", 122.8, 128, 11.0, shared=True),
    Gpu("STRIXHALO", 64.0, 128, 0.0, shared=True),  # Linux's default limit: half of the machine's memory
    Gpu("MI325X", 255.9, 256, 0.0),
    Gpu("MI300X", 191.7, 192, 0.0),
    Gpu("MI250X", 63.98, 64, 0.0),
)
_NOISE = re.compile(r"NVIDIA|GEFORCE|TESLA|AMD|INSTINCT|PCIE|SXM\d?|[\s_-]|\d+GB", re.IGNORECASE)


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
        return Gpu(name, size * 0.985 if is_whole else size)
    if total_gib is None or total_gib == known.marketed:
        return known
    return Gpu(known.name, total_gib, known.marketed, known.capability, known.shared)


def _named(name: str, total_gib: float | None) -> Gpu | None:
    key = _key(name)
    matches = [g for g in _KNOWN if key.startswith(_key(g.name))]
    sized = re.search(r"(\d+)\s*-?\s*GB", name, re.IGNORECASE) or re.search(r"-(\d+)$", name)
    size_gb = int(sized[1]) if sized else round(total_gib) if total_gib else 0
    best = max(matches, key=lambda g: len(_key(g.name)), default=None)
    if best is None or not size_gb or abs(size_gb - best.marketed) < 5 or name.upper().startswith(best.name):
        variants = [g for g in _KNOWN if best and g.name.split("-")[0] == best.name and abs(g.marketed - size_gb) < 3]
        return variants[0] if variants and size_gb else best
    size = float(size_gb) if total_gib is None else total_gib
    return Gpu(best.name, size * 0.985, size_gb, best.capability, best.shared)


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
