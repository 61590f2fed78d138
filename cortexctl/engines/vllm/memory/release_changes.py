"""What changed between releases of vLLM and moves the numbers, by the release from which on it holds.

Read from the releases' sources and checked against start-up logs. A version that is not known counts as the newest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from cortexctl.engines.vllm.version import NEWEST_KNOWN

Version = tuple[int, int, int]
_LOOSE = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?", re.ASCII)


def loose(text: str | None) -> Version | None:
    """'0.23.1rc1.dev531', '0.12-fork', '0.27' -> (0, 23, 1), (0, 12, 0), (0, 27, 0); None where there is no version."""
    match = _LOOSE.match(text or "")
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a release plans memory."""

    version: Version
    known: bool

    @property
    def is_newer(self) -> bool:
        """It came after all that are known: what it changed is not."""
        return self.version > (loose(NEWEST_KNOWN) or self.version)

    def since(self, *version: int) -> bool:
        return self.version >= (*version, *(0,) * (3 - len(version)))

    @property
    def groups_layers(self) -> bool:
        """Layers of different kinds get groups of their own; before, all counted as full attention."""
        return self.since(0, 9, 1)

    @property
    def group_slack(self) -> float:
        """The commoner kind sets the group's size when it has fewer layers than this times the rarer one."""
        return 1.5 if self.since(0, 18) else 1.25 if self.since(0, 12) else 0.0

    @property
    def concurrency_by_blocks(self) -> bool:
        """Concurrency is blocks over the blocks of a request; before, tokens over the longest request."""
        return self.since(0, 9, 1)

    @property
    def tokens_by_concurrency(self) -> bool:
        """The printed size is concurrency times the longest request; before, blocks over groups times a block."""
        return self.since(0, 20, 2)

    @property
    def needs(self) -> Literal["layers", "first group", "groups"]:
        """Of what the least memory for a request is the sum: of layers, or of groups with their padding. In between
        only the first group was counted, so that models with several were let in with too little.
        """
        return "groups" if self.since(0, 19) else "first group" if self.since(0, 14) else "layers"

    @property
    def reserves_null_block(self) -> bool:
        """One block is held back when it is checked whether a request fits."""
        return self.since(0, 29)

    @property
    def counts_in_flight(self) -> bool:
        """Windowed layers keep room for every batch in flight, in place of one batch."""
        return self.since(0, 26)

    @property
    def aligns_latent_state(self) -> int:
        """Tokens that blocks of latent attention beside states are a multiple of."""
        return 128 if self.since(0, 13) else 64

    @property
    def prints_estimate(self) -> bool:
        return self.since(0, 8, 5)

    @property
    def absorbed(self) -> str:
        """What latent attention adds to its weights after loading."""
        if self.since(0, 7, 4) or self.since(0, 8):
            return "copies"
        return "wide" if self.since(0, 7) else ""

    @property
    def latent_padding(self) -> int:
        """0.7 rounded the width of a latent vector up."""
        return 128 if (0, 7, 0) <= self.version < (0, 7, 4) else 1

    @property
    def measures_own(self) -> bool:
        """Memory is measured against a first snapshot: what others hold on the GPU no longer counts."""
        return self.since(0, 9, 2)

    @property
    def counts_nccl(self) -> bool:
        return not self.since(0, 11, 2)

    @property
    def charges_graphs(self) -> bool:
        """The profiler's estimate for CUDA graphs is taken off. VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS."""
        return self.since(0, 20)


@cache
def behaviour(version: str | None) -> Behaviour:
    """Of a release, written in any way."""
    parsed = loose(version)
    return Behaviour(parsed, known=True) if parsed else Behaviour(loose(NEWEST_KNOWN) or (0, 0, 0), known=False)
