"""Weights by the names, types and shapes in safetensors headers: exact but for the padding of kernels."""

from __future__ import annotations

import re
from collections import defaultdict
from math import prod

from cortexctl.dataclass import dataclass
from cortexctl.engines.estimate import Estimate
from cortexctl.engines.vllm.memory.layers import Attention, Latent
from cortexctl.engines.vllm.memory.model_facts import Facts
from cortexctl.engines.vllm.memory.quantisation import Quantisation
from cortexctl.engines.vllm.memory.tensors import Split
from cortexctl.engines.vllm.memory.weights import (
    Stage,
    WeightOptions,
    allocated,
    draft_bytes,
    mxfp4_padding,
    padded_rows,
    rotary_bytes,
    weight_bytes,
)
from cortexctl.model_files.files import ModelFiles, Tensors
from cortexctl.text.units import GIB

_BITS = {"F64": 64, "I64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16, "F4": 4}
_FLOATS = {"F64", "F32", "F16", "BF16"}
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
_TOWER = re.compile(
    r"(?:^|\.)(visual|vision\w*|audio\w*|multi_modal_projector|mm_projector|embed_vision|patch_merger)\."
)
_EMBEDDING = re.compile(r"(embed_tokens|wte|word_embeddings|tok_embeddings|embed_in)\.weight$")
_HEAD = re.compile(r"(lm_head|embed_out|output)\.(weight\w*|bias|qweight|qzeros|scales)$")
_WHOLE = re.compile(
    r"(norm\w*|layernorm\w*|ln_\w+|\.gate|router|shared_expert_gate|q_a_proj|kv_a_proj_with_mqa|indexer\.\w+"
    r"|(o_proj|down_proj|dense_4h_to_h|out_proj)(?=\.bias)|f_a_proj|g_a_proj)\."
)
_EXPERT = re.compile(r"\.experts\.\d+\.")
_QKV = re.compile(r"\.[qkv]_proj\.")
_INPUT = re.compile(r"\.(gate_proj|up_proj|w1|w3)\.")
_DROPPED = (".g_idx", "rotary_emb.inv_freq")
_KV = re.compile(r"\.(k_proj|v_proj|k_scale|v_scale)\.")


@dataclass(frozen=True, slots=True, eq=False)
class Headers:
    """`tensors`: name -> (dtype, shape) as in safetensors; or, if only an index is known, `total` bytes."""

    tensors: Tensors
    total: int = 0


def stage_bytes(headers: Headers, facts: Facts, stage: Stage, options: WeightOptions) -> float:
    """Bytes on one GPU of a stage. With only an index, the estimate from config.json is scaled to its total."""
    if not headers.tensors:
        all_layers = Stage(range(len(facts.layers)))
        stored = WeightOptions(
            type(options.split)(absorbed=""), options.size, towers=True, draft="mtp" if facts.mtp_layers else ""
        )
        share = headers.total / weight_bytes(facts, all_layers, facts.quant, stored)
        return share * weight_bytes(facts, stage, facts.quant, options)
    sizes: defaultdict[str, float] = defaultdict(float)
    for name, (dtype, shape) in headers.tensors.items():
        sizes[_fused(name)] += _on_gpu(name, dtype, shape, facts, stage, options)
    beside = draft_bytes(facts, options) if options.draft.startswith("eagle") and stage.last else 0.0
    return (
        sum(allocated(size, options) for size in sizes.values())
        + rotary_bytes(facts, options)
        + _absorbed(facts, stage, options)
        + beside
    )


_COMPLETE = {"fp8", "mxfp4", "awq", "gptq"}
"""Schemes whose configs name every module that they leave as stored."""


def loaded_weights(
    facts: Facts, stage: Stage, quant: Quantisation, options: WeightOptions, headers: Headers | None
) -> Estimate:
    """GiB on one GPU of a stage: by the headers if they are known and describe the model as it is loaded."""
    if headers is not None and quant is facts.quant:  # otherwise the loaded model has another precision
        weights = stage_bytes(headers, facts, stage, options) / GIB
        return Estimate(weights, 0.995 * weights, 1.02 * weights, "headers")
    value = weight_bytes(facts, stage, quant, options) / GIB
    if options.measured and not facts.unknown and (quant is not facts.quant or not quant.method):
        return Estimate(value, 0.997 * value - 0.01, 1.004 * value + 0.05, "config")
    if options.measured and quant.scheme.name in _COMPLETE and not quant.leaves:
        return Estimate(value, 0.99 * value - 0.01, 1.012 * value + 0.1, "config")
    if quant.method or facts.unknown:  # recipes differ in the modules that they leave unquantised
        return Estimate(value, 0.97 * value, 1.05 * value, "config")
    return Estimate(value, 0.995 * value, (1.02 if facts.towers else 1.006) * value, "config")


def headers_of(files: ModelFiles, facts: Facts) -> Headers | None:
    """Sizes of the weights, if more than config.json is known. An index whose total differs much from it is ignored:
    some are left over from the model before its quantisation.
    """
    headers = Headers(files.tensors, files.total)
    if files.tensors or not files.total:
        return headers if files.tensors else None
    all_layers, options = Stage(range(len(facts.layers))), WeightOptions(Split(absorbed=""), 2)
    share = stage_bytes(headers, facts, all_layers, options) / weight_bytes(facts, all_layers, facts.quant, options)
    return headers if 2 / 3 < share < 3 / 2 else None


def _fused(name: str) -> str:
    """The name of the allocation that a checkpoint's tensor becomes part of: vLLM fuses tensors with the same input,
    and all experts of a layer.
    """
    name = _EXPERT.sub(".experts.", name)
    return _INPUT.sub(".in_proj.", _QKV.sub(".qkv_proj.", name))


def names_embedding(name: str) -> bool:
    """Whether a tensor is the table of the vocabulary."""
    return bool(_EMBEDDING.search(name))


def names_head(name: str) -> bool:
    """Whether a tensor is part of the head that scores the vocabulary."""
    return bool(_HEAD.search(name))


def _on_gpu(name: str, dtype: str, shape: tuple[int, ...], facts: Facts, stage: Stage, options: WeightOptions) -> float:
    if name.endswith(_DROPPED) or _not_loaded(name, facts, options):
        return 0.0
    scheme = facts.quant.scheme
    repacked = options.kernels == "hopper" and ".experts." not in name
    if name.endswith("qzeros") and scheme.symmetric and not repacked:
        return 0.0
    number = prod(shape)
    size = number * loaded_width(name, dtype, options)
    if name.endswith("qzeros") and not scheme.symmetric and repacked:
        size *= 2 / scheme.packed  # in 16 bits
    if _TOWER.search(name):
        return size / options.split.tp if options.towers and stage.first else 0.0
    if layer := _LAYER.search(name):
        return _in_layer(name, size, int(layer[1]), facts, stage, options)
    if names_embedding(name):
        return size * padded_rows(facts, options) / max(shape[0], 1) if stage.first else 0.0
    if names_head(name):
        return size / options.split.tp if stage.last and options.head and not (facts.tied and stage.first) else 0.0
    return size if stage.last else 0.0


def _not_loaded(name: str, facts: Facts, options: WeightOptions) -> bool:
    layer = _LAYER.search(name)
    further = name.startswith(("mtp.", "model.mtp.")) or bool(layer and int(layer[1]) >= len(facts.layers))
    return further and not options.draft.endswith("mtp") and not _TOWER.search(name)


def loaded_width(name: str, dtype: str, options: WeightOptions) -> float:
    """Bytes of a number after loading: plain floats get the model's type, scales and packed numbers keep theirs."""
    if dtype in _FLOATS and "scale" not in name and "A_log" not in name:
        return options.size
    return _BITS.get(dtype, 8) / 8


def _in_layer(name: str, size: float, index: int, facts: Facts, stage: Stage, options: WeightOptions) -> float:
    if index < len(facts.layers) and index not in stage.layers:
        return 0.0
    if index >= len(facts.layers) and not stage.last:
        return 0.0
    if ".experts." in name:
        padded = mxfp4_padding(facts, options) if facts.quant.scheme.name == "mxfp4" else 1.0
        return size / options.split.experts * padded
    if _WHOLE.search(name):
        return size
    if _KV.search(name):
        return size / min(options.split.tp, _kv_heads(index, facts, options))
    return size / options.split.tp


def _kv_heads(index: int, facts: Facts, options: WeightOptions) -> int:
    mixers = facts.layers[min(index, len(facts.layers) - 1)].mixers
    return next((m.kv_heads for m in mixers if isinstance(m, Attention)), options.split.tp)


def _absorbed(facts: Facts, stage: Stage, options: WeightOptions) -> float:
    """Copies of kv_b_proj that latent attention makes after loading."""
    if options.split.absorbed != "copies":
        return 0.0
    latent_mixers = (m for i in stage.layers for m in facts.layers[i].mixers if isinstance(m, Latent))
    return sum(m.kv_lora * m.heads / options.split.tp * (m.nope + m.v_dim) for m in latent_mixers) * options.size
