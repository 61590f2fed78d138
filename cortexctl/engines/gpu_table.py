"""The GPUs that people serve models with.

Multiprocessors, L2 cache and compute capability are the vendors' published figures (data sheets and architecture white
papers); a 0 says that the figure is not published for that card. The memory is what torch reports, where starts of vLLM
have shown it. Elsewhere it is the total of nvidia-smi less 0.45 GiB, which is the difference on the measured cards of
24 to 48 GiB (RTX 4090 0.44, RTX 5090 0.48, A10 0.45, L40S 0.59), or 98.5 % of the advertised number.
"""

from __future__ import annotations

from cortexctl.dataclass import dataclass
from cortexctl.text.units import GIB


@dataclass(frozen=True, slots=True)
class MeasuredConstants:
    """What a start of a small model showed; None: not measured. `free_gib`: of an idle card when a server starts.
    `outside_torch_gib`: of a server on one GPU. `workspace_gib`: of matrix products. `graph_mib`: one CUDA graph of one
    layer.
    """

    free_gib: float | None = None
    outside_torch_gib: float | None = None
    workspace_gib: float | None = None
    graph_mib: float | None = None


@dataclass(frozen=True, slots=True)
class Gpu:
    """`total_gib`: as torch reports it. `marketed`: the advertised whole number of GB. `shared`: it shares the
    machine's memory. `multiprocessors` and `l2_mib`: 0 where they are not known. `measured`: constants of this very
    card and release, if a start showed them.
    """

    name: str
    total_gib: float
    marketed: int = 0
    capability: float = 8.0
    shared: bool = False
    multiprocessors: int = 0
    l2_mib: float = 0
    measured: MeasuredConstants | None = None

    @property
    def total(self) -> int:
        """Bytes."""
        return int(self.total_gib * GIB)

    @property
    def is_a100(self) -> bool:
        return "a100" in self.name.lower()


_CARDS: tuple[tuple[str, float, int, float, int, float], ...] = (
    # name, GiB, advertised GB, compute capability, multiprocessors, MiB of L2
    ("B300", 267.7, 288, 10.3, 148, 126),
    ("GB300", 276.6, 288, 10.3, 152, 126),
    ("GB200", 184.0, 192, 10.0, 152, 126),
    ("B200", 178.4, 192, 10.0, 148, 126),
    ("H200", 139.75, 141, 9.0, 132, 60),
    ("GH200-144", 139.75, 144, 9.0, 132, 60),
    ("GH200", 94.5, 96, 9.0, 132, 60),
    ("H100-NVL", 93.1, 94, 9.0, 132, 60),
    ("H100", 79.18, 80, 9.0, 132, 50),  # SXM; the PCIe card has 114 multiprocessors
    ("H800", 79.18, 80, 9.0, 132, 50),
    ("H20", 95.1, 96, 9.0, 78, 60),
    ("A100-40", 39.4, 40, 8.0, 108, 40),
    ("A100", 79.2, 80, 8.0, 108, 40),
    ("A800", 79.2, 80, 8.0, 108, 40),
    ("A40", 44.4, 48, 8.6, 84, 6),
    ("A30", 23.5, 24, 8.0, 56, 24),
    ("A10G", 22.03, 24, 8.6, 80, 6),
    ("A10", 22.03, 24, 8.6, 72, 6),
    ("A16", 14.6, 16, 8.6, 10, 2),
    ("A2", 14.6, 16, 8.6, 10, 2),
    ("A6000", 47.4, 48, 8.6, 84, 6),
    ("A5500", 23.6, 24, 8.6, 80, 6),
    ("A5000", 23.6, 24, 8.6, 64, 6),
    ("A4500", 19.5, 20, 8.6, 56, 0),
    ("A4000", 15.7, 16, 8.6, 48, 4),
    ("A2000", 11.8, 12, 8.6, 26, 3),
    ("L40S", 44.4, 48, 8.9, 142, 96),
    ("L40", 44.4, 48, 8.9, 142, 96),
    ("L20", 44.4, 48, 8.9, 92, 96),
    ("L4", 22.03, 24, 8.9, 58, 48),
    ("RTXPRO6000", 94.97, 96, 12.0, 188, 128),
    ("RTXPRO5000-72", 70.92, 72, 12.0, 110, 96),
    ("RTXPRO5000", 47.3, 48, 12.0, 110, 96),
    ("RTXPRO4500", 31.4, 32, 12.0, 82, 64),
    ("RTXPRO4000", 23.4, 24, 12.0, 70, 48),
    ("RTXPRO2000", 15.5, 16, 12.0, 34, 32),
    ("RTX6000ADA", 47.4, 48, 8.9, 142, 96),
    ("RTX5880ADA", 47.4, 48, 8.9, 110, 0),
    ("RTX5000ADA", 31.5, 32, 8.9, 100, 72),
    ("RTX4500ADA", 23.5, 24, 8.9, 60, 48),
    ("RTX4000ADA", 19.5, 20, 8.9, 48, 48),
    ("RTX4000SFFADA", 19.5, 20, 8.9, 48, 48),
    ("RTX2000ADA", 15.5, 16, 8.9, 22, 0),
    ("RTX5090", 31.36, 32, 12.0, 170, 96),
    ("RTX5080", 15.5, 16, 12.0, 84, 64),
    ("RTX5070TI", 15.5, 16, 12.0, 70, 48),
    ("RTX5070", 11.5, 12, 12.0, 48, 48),
    ("RTX5060TI", 15.5, 16, 12.0, 36, 32),
    ("RTX5060", 7.5, 8, 12.0, 30, 0),
    ("RTX4090", 23.55, 24, 8.9, 128, 72),
    ("RTX4080SUPER", 15.6, 16, 8.9, 80, 64),
    ("RTX4080", 15.7, 16, 8.9, 76, 64),
    ("RTX4070TISUPER", 15.6, 16, 8.9, 66, 48),
    ("RTX4070TI", 11.6, 12, 8.9, 60, 48),
    ("RTX4070", 11.6, 12, 8.9, 46, 36),
    ("RTX4060TI", 15.6, 16, 8.9, 34, 32),
    ("RTX4060", 7.75, 8, 8.9, 24, 24),
    ("RTX3090TI", 23.6, 24, 8.6, 84, 6),
    ("RTX3090", 23.6, 24, 8.6, 82, 6),
    ("RTX3080TI", 11.6, 12, 8.6, 80, 6),
    ("RTX3080", 9.6, 10, 8.6, 68, 5),
    ("RTX3070", 7.6, 8, 8.6, 46, 4),
    ("RTX3060TI", 7.6, 8, 8.6, 38, 4),
    ("RTX3060", 11.76, 12, 8.6, 28, 0),
    ("RTX3050", 5.8, 6, 8.6, 0, 0),
    ("RTX2080TI", 21.6, 22, 7.5, 68, 5.5),
    ("RTX2060", 11.99, 12, 7.5, 34, 3),
    ("TITANRTX", 23.6, 24, 7.5, 72, 6),
    ("QUADRORTX8000", 47.5, 48, 7.5, 72, 6),
    ("QUADRORTX6000", 23.6, 24, 7.5, 72, 6),
    ("QUADRORTX5000", 15.6, 16, 7.5, 48, 4),
    ("T4", 14.56, 16, 7.5, 40, 4),
    ("V100-16", 15.77, 16, 7.0, 80, 6),
    ("V100", 31.74, 32, 7.0, 80, 6),
    ("P100", 15.9, 16, 6.0, 56, 4),
    ("MI355X", 283.7, 288, 0.0, 256, 4),
    ("MI350X", 283.7, 288, 0.0, 256, 4),
    ("MI325X", 255.9, 256, 0.0, 304, 4),
    ("MI300X", 191.7, 192, 0.0, 304, 4),
    ("MI250X", 63.98, 64, 0.0, 110, 8),
    ("MI250", 63.98, 64, 0.0, 104, 8),
    ("MI210", 63.98, 64, 0.0, 104, 8),
)

_SHARING = (
    Gpu("GB10", 121.65, 128, 12.1, shared=True, multiprocessors=48, l2_mib=24),
    Gpu("THOR", 122.8, 128, 11.0, shared=True, multiprocessors=20),
    Gpu("STRIXHALO", 64.0, 128, 0.0, shared=True),  # Linux's default limit: half of the machine's memory
)

KNOWN = (
    *(
        Gpu(name, total, marketed, capability, multiprocessors=processors, l2_mib=l2)
        for name, total, marketed, capability, processors, l2 in _CARDS
    ),
    *_SHARING,
)
