"""GiB of weights on one GPU of a stage: tensors by their schemes, embeddings, towers, the rotary table, adapters."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.memory.layers import Experts
from cortexctl.engines.vllm.memory.model_facts import Facts
from cortexctl.engines.vllm.memory.quantisation import AS_STORED, Quantisation, Scheme
from cortexctl.engines.vllm.memory.tensors import Split, Tensor, layer_tensors

Kernels = Literal["", "hopper", "blackwell"]

VOCAB_STEP = 64
"""Rows of the vocabulary are padded to a multiple of this, then split."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The layers that one pipeline rank holds."""

    layers: range
    first: bool = True
    last: bool = True


def stages(count: int, pipeline: int, partition: tuple[int, ...] = ()) -> tuple[Stage, ...]:
    """Layers in order; the remainder of an even split goes to the stages before the last one (the second to last
    first), unless VLLM_PP_LAYER_PARTITION sets it. vLLM: `get_pp_indices`.
    """
    sizes = list(partition)
    if len(sizes) != pipeline or sum(sizes) != count:
        sizes = [count // pipeline] * pipeline
        for i in range(2, count % pipeline + 2):
            sizes[-i] += 1
    pipeline_stages, at = [], 0
    for i, size in enumerate(sizes):
        pipeline_stages.append(Stage(range(at, at + size), first=i == 0, last=i == pipeline - 1))
        at += size
    return tuple(pipeline_stages)


@dataclass(frozen=True, slots=True)
class WeightOptions:
    """The inputs for the size of weights, apart from the model."""

    split: Split
    size: int = 2
    """Bytes of a number that is not quantised."""
    towers: bool = True
    draft: str = ""
    """The method of a draft that is loaded as well: its layer counts, and so does everything that it does not share."""
    kernels: Kernels = ""
    """The GPUs whose kernels repack quantised weights in their own way."""
    whole_segments: bool = False
    """Loading limits the split of the allocator's segments."""
    measured: bool = False
    """Weights of such starts were measured: ranges are narrow."""
    lora_rank: int = 0
    loras: int = 0
    head: bool = True
    """False: nothing is generated, and the head is not loaded."""


@lru_cache(maxsize=512)
def weight_bytes(facts: Facts, stage: Stage, quant: Quantisation, options: WeightOptions) -> float:
    """Bytes on one GPU of the stage after the model is loaded ("Model loading took")."""
    total = 0.0
    for index in stage.layers:
        for tensor in layer_tensors(facts.layers[index], facts.hidden, options.split, facts.norms):
            total += _bytes(tensor, index, facts, quant, options)
        if facts.per_layer_input:  # a gate and a projection of the token's own embedding
            total += 2 * facts.hidden * facts.per_layer_input * options.size
    total += _outside(facts, stage, quant, options)
    if stage.last and facts.layers:
        total += draft_bytes(facts, options)
    if options.loras:
        total += _lora(facts, stage, options)
    return total


def _bytes(tensor: Tensor, index: int, facts: Facts, quant: Quantisation, options: WeightOptions) -> float:
    scheme = quant.of(tensor.module, index) if tensor.linear else AS_STORED
    if scheme is AS_STORED:
        return allocated(tensor.parameters * options.size, options)
    parameters = tensor.parameters
    if scheme.name == "mxfp4" and "experts" in tensor.module:
        parameters *= mxfp4_padding(facts, options)
    zeros = 0.0 if "experts" in tensor.module else _zeros(scheme, options)
    return allocated(parameters * scheme.packed, options) + parameters * (scheme.size - scheme.packed + zeros)


def _zeros(scheme: Scheme, options: WeightOptions) -> float:
    """Bytes per parameter of zero points beyond those of the scheme. Kernels for Hopper keep them in 16 bits; of GPTQ's
    symmetric checkpoints, they keep the packed ones that they do not need. vLLM: `MacheteLinearKernel`.
    """
    if options.kernels != "hopper" or scheme.name not in {"awq", "gptq", "compressed-tensors"}:
        return 0.0
    if scheme.symmetric:
        return scheme.packed / scheme.group if scheme.name == "gptq" else 0.0
    return (2 - scheme.packed) / scheme.group


MIB = 2**20


def allocated(size: float, options: WeightOptions) -> float:
    """Bytes that torch's allocator counts for a tensor. Segments of 10 MiB and more come in steps of 2 MiB; the rest of
    one is given to other tensors only if it is more than 1 MiB. A release that limits the split of segments keeps whole
    ones for tensors of 20 MiB and more. vLLM: `Worker._scoped_allocator_max_split`.
    """
    if size < 10 * MIB:
        return size
    left = -size % (2 * MIB)
    is_whole = left <= MIB or (options.whole_segments and size >= 20 * MIB)
    return size + left if is_whole else size


def mxfp4_padding(facts: Facts, options: WeightOptions) -> float:
    """Kernels need whole tiles: widths of experts are rounded up to 128 (256 on Blackwell), the hidden size to 256. On
    Hopper only the scales are padded, to 256 outputs and four groups of inputs. vLLM: `_swizzle_mxfp4`.
    """
    experts = facts.experts
    if experts is None:
        return 1.0
    width = experts.width if options.split.whole_experts else experts.width / options.split.tp
    if options.kernels == "hopper":
        outputs = (_up(2 * width, 256) + _up(facts.hidden, 256)) / (2 * width + facts.hidden)
        scales = outputs * _up(facts.hidden, 128) / facts.hidden
        return 1 + (scales - 1) / 17  # 16 bytes of numbers have one of scales
    return _up(width, 256 if options.kernels == "blackwell" else 128) / width * _up(facts.hidden, 256) / facts.hidden


def _up(number: float, step: int) -> int:
    return int(-(-number // step) * step)


def _outside(facts: Facts, stage: Stage, quant: Quantisation, options: WeightOptions) -> float:
    """All weights outside the layers."""
    table = padded_rows(facts, options) * facts.hidden
    embedding = allocated(table * options.size, options)
    total = 0.0
    if stage.first:
        total += embedding
        total += facts.learned_positions * facts.hidden * options.size
        if facts.per_layer_input:
            total += facts.per_layer_vocab / options.split.tp * len(facts.layers) * facts.per_layer_input * options.size
        if options.towers:
            total += sum(t.parameters for t in facts.towers) / options.split.tp * options.size
    if stage.last and options.head and not (facts.tied and stage.first):
        head = quant.leaves.get("lm_head", AS_STORED)
        total += table * head.size if head is not AS_STORED else embedding
    return total + rotary_bytes(facts, options) + facts.hidden * options.size


def padded_rows(facts: Facts, options: WeightOptions) -> float:
    """Rows of the vocabulary on one rank."""
    return padded_vocabulary(facts) / options.split.tp


def padded_vocabulary(facts: Facts) -> int:
    """Rows of the vocabulary on all ranks together."""
    return _up(facts.vocab, VOCAB_STEP)


def rotary_bytes(facts: Facts, options: WeightOptions) -> float:
    """The table of cosines and sines for every position, the same on every rank."""
    return facts.positions * facts.rotary * options.size


EAGLE3_VOCAB = 32000
"""The vocabulary size of the published EAGLE-3 drafts."""


def draft_bytes(facts: Facts, options: WeightOptions) -> float:
    """One more layer like the last, and a projection of its input, the hidden states; usually not quantised.

    Multi-token prediction shares embedding and head with its target; EAGLE loads its own embedding and head.
    """
    eagle = options.draft in {"eagle", "eagle3"}
    if not eagle and not options.draft.endswith("mtp"):
        return 0.0
    tensors = layer_tensors(facts.layers[-1], facts.hidden, options.split, facts.norms)
    states = 3 if options.draft == "eagle3" else 2
    total = sum(t.parameters for t in tensors) + states * facts.hidden * facts.hidden / options.split.tp
    if eagle:
        rows = EAGLE3_VOCAB / options.split.tp if options.draft == "eagle3" else padded_rows(facts, options)
        total += (padded_rows(facts, options) + rows) * facts.hidden
    return options.size * total


def _lora(facts: Facts, stage: Stage, options: WeightOptions) -> float:
    """A pair of low-rank matrices for every adapter that fits in a batch, on each linear module except experts.

    The first is complete on every rank, and there is one for each projection of a fused module; the second is split
    with its module. Embedding and head have a pair, too. vLLM: `create_lora_weights` of the layers with LoRA.
    """
    total = 0.0
    for index in stage.layers:
        for tensor in layer_tensors(facts.layers[index], facts.hidden, options.split, facts.norms):
            if tensor.linear and "experts" not in tensor.module:
                fused = _FUSED.get(tensor.module.rpartition(".")[2], 1)
                total += fused * facts.hidden + tensor.parameters / facts.hidden
    rows = padded_rows(facts, options)
    total += (int(stage.first) + int(stage.last)) * (facts.hidden + rows)
    return options.loras * options.lora_rank * total * options.size


_FUSED = {"q_proj": 3, "gate_proj": 2}
"""Projections that are one module in vLLM, by the name of the first."""


@lru_cache(maxsize=64)
def widest_mlp(facts: Facts) -> int:
    """The widest dense feed-forward block; 0 if there is none."""
    return max((m.width for layer in facts.layers for m in layer.mlps if not isinstance(m, Experts)), default=0)
