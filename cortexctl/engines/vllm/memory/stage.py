"""The inputs of a budget, and the budget of one pipeline stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.disk_rate import ASSUMED
from cortexctl.engines.estimate import Estimate
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.vllm.memory.blocks import Pool
from cortexctl.engines.vllm.memory.drafts import Draft
from cortexctl.engines.vllm.memory.headers import Headers
from cortexctl.engines.vllm.memory.reuse import NOTHING_MEASURED, Measured
from cortexctl.engines.vllm.memory.weights import Stage


@dataclass(frozen=True, slots=True)
class StageBudget:
    """One pipeline stage, per GPU. Memory in GiB."""

    stage: Stage
    weights: Estimate
    non_torch: Estimate
    transient: Estimate
    graphs: Estimate
    requested: Estimate
    available: Estimate
    pool: Pool
    blocks: Estimate
    needed: Estimate

    @property
    def spent(self) -> float:
        return self.weights.value + self.non_torch.value + self.transient.value + self.graphs.value


@dataclass(frozen=True, slots=True)
class BudgetInputs:
    """The inputs of a budget: launch arguments by vLLM's names, the GPU, the release, and other known facts."""

    args: Mapping[str, Any]
    gpu: Gpu | None = None
    version: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    headers: Headers | None = None
    draft: Draft | None = None
    """The draft model that is loaded beside the model, if it has files of its own."""
    measured: Measured = NOTHING_MEASURED
    free_gib: float | None = None
    """Free memory of the fullest GPU at start."""
    disk_rate: Estimate = ASSUMED
    """GiB/s at which the weights' files are read."""
    available_gib: float | None = None
    """Memory for the cache, if it is known: everything computed from it is exact."""
