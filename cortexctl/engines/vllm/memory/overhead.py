"""Memory that is neither weights nor cache: the peak of the profiling run, CUDA graphs, memory outside torch.

The shapes of the formulas follow from the allocations; the few constants are fitted on start-up logs, each marked as
such. These parts are the only error of a forecast, so each has a range.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from cortexctl.engines.estimate import Estimate
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.vllm.memory.basis import MEASURED
from cortexctl.engines.vllm.memory.idle import free_when_idle
from cortexctl.engines.vllm.memory.model_facts import Facts
from cortexctl.engines.vllm.memory.peak import has_measured_encoder, peak
from cortexctl.engines.vllm.memory.settings import Settings
from cortexctl.engines.vllm.memory.weights import widest_mlp
from cortexctl.text.units import GIB


def forward(facts: Facts, s: Settings) -> float:
    """GiB of activations at the peak of a forward pass over a full batch."""
    tokens, size, hidden = s.batched_tokens, s.model_bytes, facts.hidden
    widths = [3 * widest_mlp(facts) / s.tp + 3 * hidden]
    if experts := facts.experts:
        width = experts.width if s.expert_parallel else experts.width / s.tp
        widths.append(experts.top_k * (max(2 * width, hidden) + width) + 3 * hidden)
    if facts.hybrid:
        widths.append(14 * hidden)  # a guess for the kernels' workspaces [fit]
    return tokens * max(widths) * size / GIB


def sampler(facts: Facts, s: Settings) -> tuple[float, float, float]:
    """(GiB, low, high) for sampling all sequences at once; none for a model that only pools."""
    if s.pooling:
        return 0.0, 0.0, 0.0
    logits = 4 * min(s.max_num_seqs, s.batched_tokens) * facts.vocab / GIB
    if not s.engine_v1:
        return SORTING * logits, SORTING * logits * (0.1 if s.chunked else 0.9), 1.05 * SORTING * logits
    if not s.behaviour.known:  # the middle of the following range
        return 5.0 * logits, 1.5 * logits, SORTING * logits
    if s.second_runner:  # logits alone, in 16 and 32 bits
        return 1.5 * logits, 1.3 * logits, 7.5 * logits
    if s.behaviour.since(0, 21) and s.speculation.method:  # 0.26 on an H200, 256 and 1024 requests: within 0.2 %
        states = (s.batched_tokens + 2 * min(s.max_num_seqs, s.batched_tokens)) * facts.hidden * s.model_bytes / GIB
        value = 7.55 * logits + PROCESSORS * 4 * facts.vocab / GIB + states + CUBLAS
        return value, min(2.5 * logits, value), max(9.0 * logits, 1.05 * value)
    if s.behaviour.since(0, 21):  # runs its own kernels after those of FlashInfer, to warm up both [fit]
        return 7.2 * logits, 2.5 * logits, 9.0 * logits
    if s.behaviour.since(0, 17) or flashinfer(s):
        return 3.0 * logits, 1.5 * logits, 7.5 * logits
    return SORTING * logits, 3.0 * logits, 1.05 * SORTING * logits


PROCESSORS = 132
"""Multiprocessors of a Hopper GPU, each with a row of logits; other GPUs have about as many."""
CUBLAS = 1 / 32
"""GiB of the workspace of matrix products."""
SORTING = 9.66
"""Copies of the logits, of 4 bytes each, while they are sorted for top-k and top-p, including indices of 8 bytes. 23 of
24 logs give 9.6 to 10.3.
"""


def flashinfer(s: Settings) -> bool:
    """These releases sampled with FlashInfer if it is installed. Their images include it; a pip installation, as used
    for the offline library, does not.
    """
    return s.behaviour.since(0, 9) and not s.behaviour.since(0, 11, 1) and not s.offline


def encoder(facts: Facts, s: Settings) -> float:
    """GiB of an encoder's pass over as many of the largest items as fit a batch, or one.

    For each patch some eight vectors of the hidden size and two of the feed-forward block are alive [fit]; half of the
    former and all of the latter are split over the ranks.
    """
    if not facts.towers or s.text_only:
        return 0.0
    tower = max(facts.towers, key=lambda t: t.patches * t.hidden)
    if s.engine_v1:
        if s.second_runner and not s.behaviour.since(0, 27):
            return 0.0
        items = max(1, s.batched_tokens // max(tower.tokens, 1))
    else:
        items = max(1, min(s.max_num_seqs, s.batched_tokens // max(tower.tokens, 1)))
    alive = 4 * tower.hidden + (4 * tower.hidden + 2 * tower.width) / s.tp
    return items * tower.patches * alive * s.model_bytes / GIB


def transient(facts: Facts, s: Settings, gpu: Gpu, *, last: bool = True) -> Estimate:
    """The peak of the profiling run: as measured; else as the code of the measured releases allocates it, if it is this
    release's and one GPU of Nvidia runs it; else by rules fitted on start-up logs. What was not measured has a range
    that includes both.

    Of eight published starts with 0.20 to 0.27 on other cards than the measured one, six are closer to the code (4.60
    GiB for 4.65 on an RTX PRO 6000). Encoders of other families than the measured ones take the larger of the two.
    """
    if MEASURED.covers(s, gpu):
        return peak(facts, s, gpu, last=last).first
    logs = _fitted(facts, s, last=last)
    if not MEASURED.has_code(s, gpu):
        return logs
    code = peak(facts, s, gpu, last=last).first
    value = code.value if s.ranks == 1 else logs.value
    if facts.towers and not has_measured_encoder(facts):
        value = max(value, logs.value)
    return Estimate(value, min(logs.low, code.low), max(logs.high, code.high), "fitted")


def _fitted(facts: Facts, s: Settings, *, last: bool) -> Estimate:
    """The profiling run frees each of them before the next: the largest counts. Only the last stage samples."""
    run = forward(facts, s)
    sampling, low, high = sampler(facts, s) if last else (0.0, 0.0, 0.0)
    images = encoder(facts, s)
    value = max(run, sampling, images)
    return Estimate(value, 0.85 * max(run, low, 0.3 * images), max(1.15 * run, high, 2 * images) + 0.1, "fitted")


def graphs(facts: Facts, s: Settings, gpu: Gpu) -> Estimate:
    """The profiler's estimate, which is charged to the budget from 0.20 on. Only its size is known. The second runner
    made no estimate before 0.29.
    """
    if s.eager or not s.engine_v1 or not s.behaviour.charges_graphs:
        return Estimate.sure(0.0)
    if s.second_runner and not s.behaviour.since(0, 29):
        return Estimate.sure(0.0)
    if MEASURED.covers(s, gpu):
        estimate = captured(facts, s, ESTIMATED)
        return Estimate(0.0, 0.0, estimate.high, "fitted") if s.pooling else estimate  # pooling had none
    value = (0.2 if s.tp == 1 else 0.3) + (0.3 if facts.hybrid else 0.0)
    return Estimate(value, -0.1, 1.6 if s.tp == 1 else 3.0, "fitted")


ESTIMATED = (0.145, 0.10, 0.25)
"""(MiB for one layer of one graph, least, most) that the first runner's profiler estimates: 8 starts [fit]."""
CAPTURED = (0.29, 0.20, 0.46)
"""The same, for the memory that graphs take when they are captured: 24 starts of both runners [fit]."""


def captured(facts: Facts, s: Settings, cost: tuple[float, float, float]) -> Estimate:
    """GiB of the graphs of all batch sizes."""
    value, low, high = (each * len(facts.layers) * graph_count(s) / 1024 for each in cost)
    return Estimate(value, low, high, "fitted")


def graph_count(s: Settings) -> int:
    """Graphs of all batch sizes: pieces of a pass for each of them, and a whole one for each batch of decoding
    requests; with adapters, each of them with and without. vLLM: `VllmConfig._set_cudagraph_sizes`,
    `get_lora_capture_cases`.
    """
    decoded = s.max_num_seqs * (1 + s.speculation.tokens)
    largest = min(2 * decoded, 512, s.batched_tokens)
    return (_sizes(largest) + _sizes(min(decoded, largest))) * (2 if s.loras else 1)


def _sizes(largest: int) -> int:
    """Batch sizes with a graph of their own, up to the largest: 1, 2, 4, steps of 8 below 256, then steps of 16."""
    return sum(size <= largest for size in (1, 2, 4, *range(8, 256, 8), *range(256, 513, 16)))


def beside_budget(facts: Facts, s: Settings, gpu: Gpu) -> Estimate:
    """GiB of graphs that a start captures after it filled its budget: nothing charges those of the second runner."""
    if s.eager or not s.second_runner or s.behaviour.since(0, 29):
        return Estimate.sure(0.0)
    measured = gpu.measured.graph_mib if gpu.measured else None
    return captured(facts, s, CAPTURED if measured is None else (measured, 0.8 * measured, 1.6 * measured))


def overhead_notes(facts: Facts, s: Settings, gpu: Gpu, free_gib: float | None) -> Iterator[str]:
    """What the budget of a start leaves out or has only once, where it was measured."""
    if s.kv_bytes or not MEASURED.has_code(s, gpu) or s.ranks > 1:
        return
    compiling = peak(facts, s, gpu).compiling
    if compiling >= WORTH_A_NOTE:
        yield f"a first start compiles: it leaves {compiling:.2f} GiB less for the cache than later ones"
    if not MEASURED.covers(s, gpu):
        return
    beside, left = beside_budget(facts, s, gpu), left_beside(s, gpu, free_gib)
    if beside.high > max(left, 0.0):
        yield (
            f"CUDA graphs need {beside.low:.1f} to {beside.high:.1f} GiB beside the budget, where {max(left, 0.0):.1f} "
            "GiB are free: capturing them, or a full batch later, may run out of memory"
        )


WORTH_A_NOTE = 0.1
"""GiB."""
WARMED = (0.5, 0.1, 0.9)
"""(GiB, least, most) beside graphs that the second runner still takes after its cache: its first passes and the
rounding of the allocator: 0.18 to 0.85 in 10 starts on an H200, with and without graphs [fit].
"""


def left_beside(s: Settings, gpu: Gpu, free_gib: float | None) -> float:
    """GiB that are free beside the budget. `free_gib`: before the start; None: those of an idle GPU."""
    idle = free_when_idle(gpu) if free_gib is None else None
    return (idle.value if idle else free_gib or 0.0) - gpu.total_gib * s.utilization


def after_cache(facts: Facts, s: Settings, gpu: Gpu) -> Estimate | None:
    """GiB that a start takes after it allocated its cache, graphs included; None where that was not measured. On an
    H200, 0.23 and 0.26 ran out of memory there at a utilisation of 0.99 with graphs, and of 0.995 without.
    """
    if s.kv_bytes or s.pooling or not s.second_runner or not MEASURED.covers(s, gpu):
        return None
    graphs_gib, (value, low, high) = beside_budget(facts, s, gpu), WARMED
    below = math.hypot(value - low, graphs_gib.value - graphs_gib.low)
    above = math.hypot(high - value, graphs_gib.high - graphs_gib.value)
    whole = value + graphs_gib.value
    return Estimate(whole, whole - below, whole + above, "fitted")


def non_torch(s: Settings, gpu: Gpu, free_gib: float | None = None) -> Estimate:
    """The context's growth, workspaces of libraries, NCCL. Up to 0.9.0 V1 counted all memory in use on the GPU, and up
    to 0.6.4 V0 did: the context is some 0.4 GiB, more on Hopper.
    """
    ranks = s.tp * s.pp
    if not s.engine_v1:
        alone = 0.43 if not s.behaviour.since(0, 6, 5) else 0.15 if gpu.capability >= 9 else 0.06
        nccl = 0.25 * ranks if ranks > 1 else 0.0
        return Estimate(alone + nccl, 0.02, 2 * (alone + nccl) + 0.2, "fitted")
    context = 0.0 if s.behaviour.measures_own else 0.6 if gpu.capability >= 9 else 0.42
    if context and free_gib is not None:
        context = max(context, gpu.total_gib - free_gib)  # memory of other processes counted against the server
    if ranks == 1 and gpu.measured and gpu.measured.outside_torch_gib is not None:
        here = context + gpu.measured.outside_torch_gib
        return Estimate(here, here - 0.03, here + 0.05, "measured here")
    if MEASURED.covers(s, gpu):
        profiled = not s.eager and not s.second_runner
        grown = 0.156 if s.pooling and s.eager else 0.235 if profiled else 0.225
        return Estimate(grown, grown - 0.07, grown + 0.07, "fitted")  # of 140 starts, all are within
    if ranks == 1:
        grown = 0.1 if gpu.capability >= 9 else 0.05
        return Estimate(context + grown, context + 0.02, context + 0.3, "fitted")
    nccl = 0.15 * ranks if s.behaviour.counts_nccl else 0.0
    return Estimate(context + nccl + 0.2, context + 0.1, context + nccl + 1.2, "fitted")


def numbers_of_8_bits(s: Settings, gpu: Gpu) -> float:
    """GiB that are allocated once while weights are loaded, if weights or cache have numbers of 8 bits: 32 MiB in all
    ten starts that were measured, whatever the model's size; its place in the code is not known.
    """
    has_any = s.quant.scheme.name == "fp8" or s.kv_dtype.startswith("fp8")
    return 1 / 32 if has_any and MEASURED.covers(s, gpu) else 0.0
