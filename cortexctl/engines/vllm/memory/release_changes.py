"""Changes between vLLM releases that affect the numbers, by the release from which on each holds.

Read from the releases' sources and checked against start-up logs. An unknown version counts as the newest.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.version import NEWEST_KNOWN

Version = tuple[int, int, int]
_LOOSE = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?", re.ASCII)


def loose(text: str | None) -> Version | None:
    """'0.23.1rc1.dev531', '0.12-fork', '0.27' -> (0, 23, 1), (0, 12, 0), (0, 27, 0); None if there is no version."""
    match = _LOOSE.match(text or "")
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a release plans memory."""

    version: Version
    known: bool

    @property
    def is_newer(self) -> bool:
        """It is newer than all known releases: its changes are unknown."""
        return self.version > (loose(NEWEST_KNOWN) or self.version)

    def since(self, *version: int) -> bool:
        return self.version >= (*version, *(0,) * (3 - len(version)))

    @property
    def groups_layers(self) -> bool:
        """Layers of different kinds get their own groups; before, all counted as full attention."""
        return self.since(0, 9, 1)

    @property
    def group_slack(self) -> float:
        """The more common kind sets the group's size if it has fewer layers than this times the rarer one."""
        return 1.5 if self.since(0, 18) else 1.25 if self.since(0, 12) else 0.0

    @property
    def concurrency_by_blocks(self) -> bool:
        """Concurrency is blocks divided by the blocks of a request; before, tokens divided by the longest request."""
        return self.since(0, 9, 1)

    @property
    def tokens_by_concurrency(self) -> bool:
        """The printed size is concurrency times the longest request; before, blocks divided by groups times a block."""
        return self.since(0, 20, 2)

    @property
    def needs(self) -> Literal["layers", "first group", "groups"]:
        """How the minimum memory for a request is added up: over layers, or over groups with their padding. In between
        only the first group counted, so that models with several groups started with too little memory.
        """
        return "groups" if self.since(0, 19) else "first group" if self.since(0, 14) else "layers"

    @property
    def reserves_null_block(self) -> bool:
        """One block is reserved in the check whether a request fits."""
        return self.since(0, 29)

    @property
    def counts_in_flight(self) -> bool:
        """Windowed layers reserve room for every batch in flight, instead of for one batch."""
        return self.since(0, 26)

    @property
    def absorbed(self) -> str:
        """The memory that latent attention adds to its weights after loading."""
        if self.since(0, 7, 4) or self.since(0, 8):
            return "copies"
        return "wide" if self.since(0, 7) else ""

    @property
    def latent_padding(self) -> int:
        """0.7 rounded the width of a latent vector up."""
        return 128 if (0, 7, 0) <= self.version < (0, 7, 4) else 1

    @property
    def measures_own(self) -> bool:
        """Memory is measured relative to a first snapshot: memory of other processes on the GPU no longer counts."""
        return self.since(0, 9, 1)

    @property
    def counts_nccl(self) -> bool:
        return not self.since(0, 11, 2)

    @property
    def limits_splits(self) -> bool:
        """Weights are loaded with `max_split_size_mb` 20. vLLM: `Worker.load_model`."""
        return self.since(0, 21)

    @property
    def charges_graphs(self) -> bool:
        """The profiler's estimate for CUDA graphs is subtracted. VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS."""
        return self.since(0, 20)


@cache
def behaviour(version: str | None) -> Behaviour:
    """The behaviour of a release, in any notation."""
    parsed = loose(version)
    return Behaviour(parsed, known=True) if parsed else Behaviour(loose(NEWEST_KNOWN) or (0, 0, 0), known=False)
