"""The peak of the profiling run as vLLM's own code allocates it: a forward pass, sampling, encoder, first compilation.

Every term is the size of tensors that are alive at the same time, so nothing is fitted. Measured with 0.26.0 on one
H200 to a few MiB; `basis` has the starts that this holds for.
"""

from __future__ import annotations

from functools import lru_cache

from cortexctl.dataclass import dataclass
from cortexctl.engines.estimate import Estimate
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.vllm.memory.layers import Dense, Experts, Latent, Tower
from cortexctl.engines.vllm.memory.model_facts import Facts
from cortexctl.engines.vllm.memory.quantisation import AS_STORED, Quantisation
from cortexctl.engines.vllm.memory.settings import Settings
from cortexctl.engines.vllm.memory.tensors import Split, layer_tensors
from cortexctl.engines.vllm.memory.weights import MIB, padded_vocabulary
from cortexctl.text.units import GIB

PROCESSORS = 132
"""Multiprocessors of a Hopper GPU, for a card that is not known."""
L2_MIB = 60
"""Of an H200, for a card that is not known."""
_FREES_GATE = {
    "llama",
    "llama4",
    "llama4_text",
    "mllama_text_model",
    "mistral",
    "mistral3",
    "ministral",
    "ministral3",
    "pixtral",
    "phi3",
    "internlm3",
    "jamba",
    "nemotron-nas",
    "ernie4_5",
    "glm",
    "glm4",
    "falcon_h1",
    "bailing_moe",
}
"""Families whose feed-forward block frees its gate before the projection down: the others name it, which keeps it."""
_MEASURED_ENCODERS = {"qwen2_5_vl", "qwen2_5_vl_text", "gemma3", "gemma3_text"}
_STATES = 14
"""Vectors of the hidden size in a layer with states [fit]; sampling needs more for all hybrids measured so far."""


@dataclass(frozen=True, slots=True)
class Peak:
    """GiB. `first`: of a start that compiles. `compiling`: the part that later starts do not need, because they find
    the kernels in the compiler's cache.
    """

    first: Estimate
    compiling: float


def peak(facts: Facts, s: Settings, gpu: Gpu, *, last: bool = True) -> Peak:
    """Only the last stage samples."""
    stays, encoding = encoder(facts, s)
    run = stays + forward(facts, s) + (0 if _all_quantised(facts, s) else cublas(gpu))
    sampling = stays + sampler(facts, s, gpu) if last and not s.pooling else 0.0
    beside = states_for_draft(facts, s) if last else 0.0
    later = max(run + beside, sampling, encoding)
    first = later if s.eager else max(later, *(beside + size for size in compiling(facts, s, gpu, run)))
    spread = 0.045 if has_measured_encoder(facts) else 0.2
    low = max(0.97 * max(run, sampling), (1 - spread) * encoding) - 0.03 * GIB
    high = max(1.03 * first, (1 + spread) * encoding) + 0.06 * GIB + _doubt(facts, s, run, first)
    return Peak(Estimate(first / GIB, max(low, 0.0) / GIB, high / GIB, "config"), (first - later) / GIB)


def forward(facts: Facts, s: Settings) -> float:
    """Bytes of activations of a full batch at the widest place of a layer.

    A feed-forward block holds gate, up and their product. Around it are the layer's input, the residual, and the
    output of attention; the output of the block, if the gate is not freed before it (then with the numbers of 8 bits
    that a quantised block multiplies); and one more if norms on both sides of a block do not write in place. vLLM:
    `LlamaMLP.forward`, `Qwen2MLP.forward`, `Gemma3DecoderLayer.forward`. Experts keep their workspace, see
    `workspace`; latent attention reserves the output of its projection up for the longest prefill.
    """
    tokens, size = s.batched_tokens, s.model_bytes
    dense, shared, projected = widths(facts)
    around = vectors(facts, s) * facts.hidden
    quantised = 0.5 if s.quant.scheme.name == "fp8" and not _frees_gate(facts) else 0.0
    widest = [(matrices + quantised) * width / s.tp + around for width, matrices in dense]
    if facts.hybrid:
        widest.append(_STATES * facts.hidden)
    whole = [tokens * max(widest, default=around) * size]
    retained = workspace(facts, s)
    if retained or projected:
        beside = max(5 * facts.hidden, 3 * shared / s.tp + around)
        latent = _prefill_rows(s) * projected / s.tp + 5 * tokens * facts.hidden
        whole.append(retained + size * max(tokens * beside, latent if projected else 0.0))
    return max(whole)


def vectors(facts: Facts, s: Settings) -> int:
    """Vectors of the hidden size that are alive in a feed-forward block. A model with an encoder reads embeddings from
    a buffer that is part of the runner, which norms that write in place use as the residual. Blocks without a gate
    differ: 4 (OPT) to 6 (GPT-2).
    """
    if any(m.matrices == 2 for layer in facts.layers for m in layer.mlps):
        return 5
    number = 3 if _frees_gate(facts) else 4
    if facts.norms > 2:
        return number + 1
    return number - 1 if facts.towers and not s.text_only else number


def states_for_draft(facts: Facts, s: Settings) -> float:
    """Bytes of the target's states that are alive while the second runner's draft runs on a full batch: the last one
    and its copy, for EAGLE-3 also those of three layers. The draft's layer is taken to be as wide as the target's. Read
    in the code of 0.26, not measured. vLLM: `GPUModelRunner._dummy_run`, `AutoRegressiveSpeculator.propose`.
    """
    if not s.second_runner or not s.speculation.is_estimated:
        return 0.0
    states = 5 if s.speculation.method == "eagle3" else 2
    return states * s.batched_tokens * facts.hidden * s.model_bytes


def workspace(facts: Facts, s: Settings) -> float:
    """Bytes that experts keep from their first use on: two buffers for the inputs and outputs of the grouped products.
    None for MXFP4 in Triton. vLLM: `TritonExperts.workspace_shapes`.
    """
    experts = facts.experts
    if experts is None or s.quant.scheme.name == "mxfp4":
        return 0.0
    width = experts.width if s.expert_parallel else experts.width / s.tp
    rows = s.batched_tokens * experts.top_k
    return rows * (max(width, facts.hidden) + max(2 * width, facts.hidden)) * s.model_bytes


def sampler(facts: Facts, s: Settings, gpu: Gpu) -> float:
    """Bytes while one token is sampled for every sequence, beside the states of the whole batch.

    The second runner holds the logits in 16 bits; soft-capping copies them. The first holds them in 16 and in 32 bits,
    their probabilities and noise, and one row for each multiprocessor that masks them; with speculation also those of
    the draft's tokens. vLLM: `GPUModelRunner._dummy_sampler_run` of both runners, `TopKTopPSampler.forward_native`,
    `apply_top_k_top_p_triton`.
    """
    rows, table = min(s.max_num_seqs, s.batched_tokens), padded_vocabulary(facts)
    states = facts.hidden * s.model_bytes
    always = workspace(facts, s) + cublas(gpu)
    if s.second_runner:
        logits = rows * table * s.model_bytes * (2 if facts.soft_capped else 1)
        drafts = rows * table * s.model_bytes if s.speculation.method else 0
        return logits + drafts + (s.batched_tokens + rows) * states + always
    copies = (7.55 if s.speculation.method else 3.5) * rows + min(gpu.multiprocessors or PROCESSORS, rows)
    return 4 * table * copies + (s.batched_tokens + 2 * rows) * states + always


def encoder(facts: Facts, s: Settings) -> tuple[float, float]:
    """(bytes that stay through the run: inputs and embeddings of the items, bytes while they are encoded).

    As many of the largest items as fit a batch, or one. The second runner profiles none before 0.27.
    """
    if not facts.towers or s.text_only or (s.second_runner and not s.behaviour.since(0, 27)):
        return 0.0, 0.0
    tower = max(facts.towers, key=lambda t: t.patches * _frames(t, s) * t.hidden)
    frames = _frames(tower, s)
    items = max(1, s.batched_tokens // max(tower.tokens * frames, 1))
    patches = items * frames * tower.patches
    inputs = patches * tower.numbers * s.model_bytes
    working = patches * (tower.matrices * tower.width / s.tp + 3 * tower.hidden) * s.model_bytes
    embeddings = items * frames * tower.tokens * facts.hidden * s.model_bytes
    return inputs + embeddings, inputs + working


def has_measured_encoder(facts: Facts) -> bool:
    """Whether starts of its family showed what its encoder needs."""
    return facts.model_type in _MEASURED_ENCODERS


def _frames(tower: Tower, s: Settings) -> int:
    """How many times the largest image the largest video is that fits the context."""
    if not s.videos or tower.frames == 1:
        return 1
    return max(1, min(tower.frames, s.max_model_len // max(tower.tokens, 1)))


def compiling(facts: Facts, s: Settings, gpu: Gpu, run: float) -> tuple[float, ...]:
    """Bytes while kernels are compiled and timed: beside a pass over a batch, a buffer as large as the GPU's L2 cache
    clears it between runs; the kernel that reads embeddings is timed with a copy of the whole table.
    """
    if facts.encoder_only or (facts.towers and not s.text_only):  # embeddings are computed outside the compiled part
        return (run,)
    row = facts.hidden * s.model_bytes
    copied = padded_vocabulary(facts) / s.tp * row + 2 * s.batched_tokens * row
    return run + (gpu.l2_mib or L2_MIB) * MIB, copied + (cublas(gpu) if _all_quantised(facts, s) else 0)


def cublas(gpu: Gpu) -> float:
    """Bytes of the workspace of matrix products. torch: `parseChosenWorkspaceSize`."""
    if gpu.measured and gpu.measured.workspace_gib is not None:
        return gpu.measured.workspace_gib * GIB
    return 32 * MIB if gpu.capability >= 9 else 8.125 * MIB


def _doubt(facts: Facts, s: Settings, run: float, first: float) -> float:
    """Bytes by which the peak may be higher: of families and kernels that were not measured."""
    vector = s.batched_tokens * facts.hidden * s.model_bytes
    doubt = 0.5 * workspace(facts, s) if s.quant.method else 0.0  # other kernels of experts have other workspaces
    if facts.unknown or facts.towers or any(m.matrices == 2 for layer in facts.layers for m in layer.mlps):
        doubt += 2 * vector
    if not s.eager:
        doubt += max(0.0, run + L2_MIB * MIB - first)
    return doubt + (vector if run >= 0.9 * first else 0.0)


def _all_quantised(facts: Facts, s: Settings) -> bool:
    """Whether no layer uses cuBLAS: experts are chosen by a router that is never quantised."""
    return bool(s.quant.method) and facts.experts is None and _quantises_all(facts, s.quant)


def _frees_gate(facts: Facts) -> bool:
    return facts.model_type in _FREES_GATE


def _prefill_rows(s: Settings) -> int:
    """Rows of latent attention's context in one part of a prefill. vLLM: `determine_chunked_prefill_workspace_size`."""
    rows = min(max(8 * s.max_model_len, 4 * s.max_num_seqs * s.block), 64 * 1024)
    return max(rows, s.max_num_seqs * s.block)


@lru_cache(maxsize=64)
def _quantises_all(facts: Facts, quant: Quantisation) -> bool:
    layers = enumerate(facts.layers)
    tensors = ((t, i) for i, layer in layers for t in layer_tensors(layer, facts.hidden, Split(), facts.norms))
    return all(quant.of(tensor.module, index) is not AS_STORED for tensor, index in tensors if tensor.linear)


@lru_cache(maxsize=64)
def widths(facts: Facts) -> tuple[tuple[tuple[int, int], ...], int, int]:
    """((width, matrices) of the kinds of dense blocks, width of the shared expert, width that latent attention
    projects up to).
    """
    blocks = [m for layer in facts.layers for m in layer.mlps]
    mixers = [m for layer in facts.layers for m in layer.mixers]
    dense = {(m.width, m.matrices) for m in blocks if isinstance(m, Dense)}
    shared = max((m.shared for m in blocks if isinstance(m, Experts)), default=0)
    projected = max((m.heads * (m.nope + m.v_dim) for m in mixers if isinstance(m, Latent)), default=0)
    return tuple(sorted(dense)), shared, projected
