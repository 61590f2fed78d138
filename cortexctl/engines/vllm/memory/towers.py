"""Vision and audio encoders, from their own part of the config. Sizes are accurate to a few percent: projectors
differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortexctl.engines.vllm.memory.config import Config
from cortexctl.engines.vllm.memory.layers import Tower


def towers_of(config: Config, text_hidden: int) -> tuple[Tower, ...]:
    """The encoders beside the text model."""
    towers = []
    for outer in ("vision_config", "audio_config"):
        table = config.outer.get(outer) or config.raw.get(outer) or _DEFAULTS.get(f"{config.outer_type} {outer}")
        if isinstance(table, Mapping) and table:
            tokens = _number(config.outer, "mm_tokens_per_image") or _number(config.raw, "mm_tokens_per_image")
            towers.append(
                _vision(table, text_hidden, tokens) if outer == "vision_config" else _audio(table, text_hidden)
            )
    return tuple(t for t in towers if t.parameters)


_DEFAULTS: dict[str, Mapping[str, Any]] = {
    "llama4 vision_config": {
        "model_type": "llama4_vision_model",
        "hidden_size": 1408,
        "intermediate_size": 5632,
        "num_hidden_layers": 34,
        "patch_size": 14,
        "image_size": 336,
    }
}
"""For families whose checkpoints all have the same tower, if a config does not describe it."""


def _vision(table: Mapping[str, Any], text_hidden: int, tokens_per_image: int = 0) -> Tower:
    kind = str(table.get("model_type") or "")
    hidden = _number(table, "embed_dim", "hidden_size", "width")  # Qwen2-VL's hidden_size is that of the text model
    layers = _number(table, "depth", "num_hidden_layers", "layers")
    width = _number(table, "intermediate_size") or int(hidden * float(table.get("mlp_ratio") or 4))
    gated = kind in {"qwen2_5_vl", "pixtral", "gemma4_vision", "qwen2_5_omni_vision_encoder"}
    blocks = layers * (4 * hidden * hidden + (3 if gated else 2) * hidden * width + 6 * hidden + width)
    blocks += _number(table, "num_global_layers") * (4 * hidden * hidden + 2 * hidden * width)
    patch = _number(table, "patch_size") or 14
    patches = 3 * hidden * patch * patch * (_number(table, "temporal_patch_size") or 1)
    positions = hidden * (_number(table, "num_position_embeddings", "position_embedding_size") or _grid(table, patch))
    out = _number(table, "out_hidden_size") or text_hidden
    parameters = blocks + patches + positions + _projector(table, kind, hidden, out)
    largest, tokens = _largest_image(table, kind, patch)
    numbers = 3 * patch * patch * (_number(table, "temporal_patch_size") or 1)
    frames = FRAMES if kind in {"qwen2_vl", "qwen2_5_vl", "qwen2_5_omni_vision_encoder"} else 1
    return Tower(
        parameters, "vision", hidden, width, largest, tokens_per_image or tokens, numbers, 3 if gated else 2, frames
    )


FRAMES = 7
"""Pairs of frames of the largest video that vLLM profiles for Qwen2-VL and its successor, each as large as an image.
Videos of later families have fewer pixels than an image. vLLM: `_MAX_FRAMES_PER_VIDEO`.
"""


def _largest_image(table: Mapping[str, Any], kind: str, patch: int) -> tuple[int, int]:
    """(patches, tokens) of the largest image that the processors of these families accept."""
    merge = _number(table, "spatial_merge_size") or 1
    if kind.startswith("mllama"):  # four tiles, which every sequence has
        return 4 * (_grid(table, patch) + 1), 1
    if kind.startswith(("llama4", "intern")):  # tiles and a thumbnail, four patches per token
        tiles = 17 if kind.startswith("llama4") else 13
        grid = _grid(table, patch) or 576
        return tiles * grid, tiles * grid // 4
    if kind.startswith("gemma"):
        return _grid(table, patch) or 2520, 256 if _grid(table, patch) else 280
    if kind == "pixtral":
        side = (_number(table, "image_size") or 1540) // patch
        return side * side, side * side // 4
    if kind.startswith(("qwen", "glm")) or merge == 2:
        return 16384 * merge * merge, 16384
    grid = _grid(table, patch) or 1024
    return grid, grid // (merge * merge)


def _projector(table: Mapping[str, Any], kind: str, hidden: int, out: int) -> int:
    merge = _number(table, "spatial_merge_size")
    if kind == "pixtral":
        return (4 * hidden) * hidden + hidden * out + out * out
    if not merge:
        return hidden * out
    joined = hidden * merge * merge
    mergers = 1 + len(table.get("deepstack_visual_indexes") or ())
    return mergers * (joined * joined + joined * out)


def _grid(table: Mapping[str, Any], patch: int) -> int:
    image = _number(table, "image_size")
    return (image // patch) ** 2 if image else 0


def _audio(table: Mapping[str, Any], text_hidden: int) -> Tower:
    hidden = _number(table, "d_model", "hidden_size")
    layers = _number(table, "encoder_layers", "num_hidden_layers")
    width = _number(table, "encoder_ffn_dim", "intermediate_size") or 4 * hidden
    blocks = layers * (4 * hidden * hidden + 2 * hidden * width)
    stem = 3 * hidden * (_number(table, "num_mel_bins") or 128) + 3 * hidden * hidden
    return Tower(
        blocks + stem + hidden * (_number(table, "output_dim") or text_hidden), "audio", hidden, width, 3000, 1500
    )


def _number(table: Mapping[str, Any], *names: str) -> int:
    value = next((table[n] for n in names if table.get(n) is not None), 0)
    return int(value) if isinstance(value, int | float) else 0
