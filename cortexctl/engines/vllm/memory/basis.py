"""Which starts the rules for memory beside weights and cache were measured on, and where they are assumed.

147 starts of 45 models with 0.26.0 on one H200 are the basis. The code behind the rules (the profiling run of both
runners, their samplers, the workspaces of experts and of latent attention, the sum of the budget) is the same from 0.22
to 0.26, by comparison of the releases; a published start of 0.21 on an H100 agrees. 0.20 samples with the same native
code, but not with that of FlashInfer before; a published start on an RTX PRO 6000 agrees. 0.27 allocates the same, but
also counts what torch's allocator keeps unused.
"""

from __future__ import annotations

from cortexctl.dataclass import dataclass
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.vllm.memory.settings import Settings
from cortexctl.engines.vllm.memory.speculation import WHOLE

_MEASURED_DRAFTS = {"", "ngram", WHOLE}


@dataclass(frozen=True, slots=True)
class Basis:
    """`capability`: of the GPU. `first` and `last`: the releases with the code that was measured. `counts_more`: a
    release with the same allocations whose budget is another sum. `allocates_same`: the first release with them.
    """

    capability: float
    first: tuple[int, int]
    last: tuple[int, int]
    counts_more: tuple[int, int]
    allocates_same: tuple[int, int]

    def covers(self, s: Settings, gpu: Gpu) -> bool:
        """Whether such a start was measured. Beyond it, ranges include the rules fitted on start-up logs, too."""
        return not self.missing(s, gpu)

    def missing(self, s: Settings, gpu: Gpu) -> str:
        """What was not measured about a start; empty if it is covered."""
        release = s.behaviour.version[:2]
        if not s.engine_v1 or not s.behaviour.known or not self.first <= release <= self.last:
            return "this release"
        if gpu.capability != self.capability:
            return "this kind of GPU"
        if s.tp * s.pp * s.dp > 1:
            return "several GPUs"
        if s.speculation.method not in _MEASURED_DRAFTS:
            return f"speculation by {s.speculation.method}"
        return ""

    def has_code(self, s: Settings, gpu: Gpu) -> bool:
        """Whether the release allocates what was measured: the range then includes it, on any GPU of Nvidia."""
        return gpu.capability > 0 and s.engine_v1 and self.allocates_same <= s.behaviour.version[:2] <= self.counts_more


MEASURED = Basis(9.0, (0, 21), (0, 26), (0, 27), (0, 20))
