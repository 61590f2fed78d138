"""The memory of an idle GPU that is free when a server starts: its total less the context of the server's process.

The difference is 0.51 GiB on an H200 (140 starts of 0.26.0). Logs of idle cards that people published, of 0.10 to 0.27,
have 0.23 (16 GB), 0.27, 0.34 and 0.49 (48 GB), 0.45 (RTX 4090), 0.49 (A100), 0.50 (RTX 5090), 0.51 (RTX 3090) and 0.53
(H100). With several GPUs, NCCL takes its buffers before the check from 0.11.2 on: 2.16 on an H200 and 2.35 on a GB300,
each one of eight; fewer ranks are assumed to take less in proportion. Cards with a display have less: 1.1 to 1.6 under
Windows, which no rule foresees.
"""

from __future__ import annotations

from cortexctl.engines.estimate import Estimate
from cortexctl.engines.gpu_table import Gpu

_CONTEXT = (0.51, 0.2, 0.6)
"""(GiB, least, most) of one process."""
_ON_H200 = (0.51, 0.48, 0.54)
"""The same on the card that was measured, with room for another driver."""
_NCCL = (0.22, 0.0, 0.25)
"""The same, for each rank of several."""


def free_when_idle(gpu: Gpu, ranks: int = 1) -> Estimate | None:
    """GiB on each GPU of a server; `ranks`: those that set up NCCL before. A calibrated card has what was measured.
    None where it is not known: for GPUs of other vendors, and for those that share the machine's memory.
    """
    measured = gpu.measured.free_gib if gpu.measured else None
    if measured is not None and ranks == 1:
        return Estimate(measured, measured - 0.05, min(measured + 0.05, gpu.total_gib), "measured here")
    if gpu.shared or gpu.capability <= 0 or not gpu.total_gib:
        return None
    peers = ranks if ranks > 1 else 0
    one = _ON_H200 if gpu.name.upper().startswith("H200") else _CONTEXT
    used, least, most = (context + peers * nccl for context, nccl in zip(one, _NCCL, strict=True))
    return Estimate(gpu.total_gib - used, gpu.total_gib - most, gpu.total_gib - least, "fitted")
