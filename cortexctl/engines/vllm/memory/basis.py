"""Which starts the rules for memory beside weights and cache were measured on, and where they are assumed.

147 starts of 45 models with 0.26.0 on one H200 are the basis. The code behind the rules is the same from 0.24 to 0.27.
"""

from __future__ import annotations

from cortexctl.dataclass import dataclass
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.vllm.memory.settings import Settings
from cortexctl.engines.vllm.memory.speculation import WHOLE

_MEASURED_DRAFTS = {"", "ngram", WHOLE}


@dataclass(frozen=True, slots=True)
class Basis:
    """`capability`: of the GPU. `first` and `end`: the releases from the first until before the last."""

    capability: float
    first: tuple[int, int]
    end: tuple[int, int]

    def covers(self, s: Settings, gpu: Gpu) -> bool:
        """Whether such a start was measured. Beyond it, older rules give the value, and its range includes both."""
        return not self.missing(s, gpu)

    def missing(self, s: Settings, gpu: Gpu) -> str:
        """What was not measured about a start; empty if it is covered."""
        if not s.behaviour.known or not self.has_code(s):
            return "this release"
        if gpu.capability != self.capability:
            return "this kind of GPU"
        if s.tp * s.pp * s.dp > 1:
            return "several GPUs"
        if s.speculation.method not in _MEASURED_DRAFTS:
            return f"speculation by {s.speculation.method}"
        return ""

    def has_code(self, s: Settings) -> bool:
        """Whether the release has the code that was measured."""
        return s.engine_v1 and s.behaviour.since(*self.first) and not s.behaviour.since(*self.end)


MEASURED = Basis(9.0, (0, 24), (0, 28))
