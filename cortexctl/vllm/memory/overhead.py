"""Memory that is neither weights nor cache: the peak of the profiling run, CUDA graphs, what torch does not count.

The shapes of the formulas come from what the run allocates; the few constants are fitted on start-up logs, and each
says so. These parts are the whole error of a prediction, so each has a range.
"""

from __future__ import annotations

from cortexctl.vllm.memory.facts import Facts
from cortexctl.vllm.memory.gpus import Gpu
from cortexctl.vllm.memory.layers import DeltaNet, Kda, Mamba
from cortexctl.vllm.memory.parts import Part
from cortexctl.vllm.memory.settings import Settings
from cortexctl.vllm.memory.weights import widest_mlp

GIB = 2**30

SORTING = 9.66 * 4
"""Bytes per sequence and word of the vocabulary while logits are sorted for top-k and top-p: copies in 32 and 64 bits.
23 of 24 logs give 9.6 to 10.3 times 4."""


def forward(facts: Facts, s: Settings) -> float:
    """GiB of activations at the widest moment of a forward pass over a full batch."""
    tokens, size, hidden = s.batched_tokens, s.model_bytes, facts.hidden
    widths = [3 * widest_mlp(facts) / s.tp + 3 * hidden]
    if experts := facts.experts:
        width = experts.width if s.expert_parallel else experts.width / s.tp
        widths.append(experts.top_k * (max(2 * width, hidden) + width) + 3 * hidden)
    if any(isinstance(m, DeltaNet | Kda | Mamba) for layer in facts.layers for m in layer.mixers):
        widths.append(14 * hidden)  # a guess of the kernels' workspaces [fit]
    return tokens * max(widths) * size / GIB


def sampler(facts: Facts, s: Settings) -> tuple[float, float, float]:
    """(GiB, low, high) of sampling for every sequence at once; none where a model only pools."""
    if facts.pooling:
        return 0.0, 0.0, 0.0
    words = min(s.max_num_seqs, s.batched_tokens) * facts.vocab / GIB
    if not s.engine_v1:
        return SORTING * words, (0.0 if s.chunked else 0.9 * SORTING * words), 1.05 * SORTING * words
    if s.behaviour.since(0, 17):
        factor = 7.2 if s.behaviour.since(0, 26) else 3.0
        return factor * 4 * words, 1.5 * 4 * words, 7.5 * 4 * words
    return SORTING * words, 3.0 * 4 * words, 1.05 * SORTING * words


def encoder(facts: Facts, s: Settings) -> float:
    """GiB of an encoder's pass over a full batch of its tokens, and of the cache of what it made."""
    if not facts.towers or s.text_only:
        return 0.0
    tower = max(facts.towers, key=lambda t: t.hidden)
    tokens = max(s.batched_tokens, 8192 if s.engine_v1 else s.max_model_len)
    return 4 * tokens * (3 * tower.width + 4 * tower.hidden) * s.model_bytes / GIB / 2


def transient(facts: Facts, s: Settings) -> Part:
    """The profiling run frees each of them before the next: the largest counts."""
    run = forward(facts, s)
    made, low, high = sampler(facts, s)
    images = encoder(facts, s)
    value = max(run, made, images)
    return Part(value, 0.85 * max(run, low, 0.3 * images), max(1.15 * run, high, 3 * images) + 0.1, "fitted")


def graphs(s: Settings, gpu: Gpu) -> Part:
    """The profiler's estimate, which is charged to the budget from 0.21 on. Little is known of it but its size."""
    if s.eager or not s.engine_v1 or not s.behaviour.charges_graphs:
        return Part.sure(0.0)
    value = 0.2 if s.tp == 1 else 0.3
    return Part(value, -0.1, 1.6 if s.tp == 1 else 3.0, "fitted")


def non_torch(s: Settings, gpu: Gpu) -> Part:
    """The context's growth, workspaces of libraries, NCCL. Until 0.9.1 V1 counted all that was on the GPU."""
    if not s.engine_v1:
        return Part(0.1, 0.01, 0.4, "fitted") if s.tp == 1 else Part(0.6, 0.2, 2.1, "fitted")
    if not s.behaviour.measures_own:
        base = 0.6 if gpu.capability >= 9 else 0.45
        return Part(base if s.tp == 1 else base + 1.0, base - 0.2, base + (0.4 if s.tp == 1 else 2.0), "fitted")
    if s.tp * s.pp == 1:
        return Part(0.1, 0.02, 0.26, "fitted")
    return Part(1.4, 0.5, 2.2, "fitted") if s.behaviour.counts_nccl else Part(0.2, 0.05, 1.0, "fitted")
