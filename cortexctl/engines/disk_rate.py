"""The rate at which a start reads weights from the disk of its host, in GiB/s."""

from __future__ import annotations

from collections.abc import Sequence

from cortexctl.engines.estimate import Estimate

ASSUMED = Estimate(1.0, 0.2, 15.0, "assumed")
"""From a network's disk to a fast local one, or the page cache. Published logs: 0.2 (0.9 GiB in 4.1 s), 6 (1.1 GiB in
0.2 s) and 17 (15 GiB in 0.9 s).
"""


def disk_rate(past: Sequence[float]) -> Estimate:
    """Their median, and half the slowest to half as much again as the fastest. A start that read weights a second time
    shows the page cache, not the disk: so the slowest is at most the ordinary ASSUMED rate. ASSUMED without a past
    start.
    """
    if not past:
        return ASSUMED
    from statistics import median  # with fractions and decimals, which a plan without past starts does not need

    return Estimate(median(past), min(0.5 * min(past), ASSUMED.value), 1.5 * max(past), "measured here")
