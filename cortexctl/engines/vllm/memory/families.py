"""Properties of model families that their config.json does not contain: one row per family, by `model_type`.

A family without a row is read as plain decoder layers with full attention, and the result reports it.
"""

from __future__ import annotations

from cortexctl.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """Defaults of a family. `every_full`: one layer in this many has full attention if the config has a window."""

    matrices: int = 3
    qkv_bias: bool = False
    tied: bool = False
    windowed: bool = False
    """All layers have the window if the config has one."""
    every_full: int = 0
    gated: bool = False
    learned_positions: bool = False
    mlp_bias: bool = False
    sandwich: bool = False
    """Four norms per layer."""
    rotary_rows: int = 1
    """Rows of the rotary table per position: four if positions have parts for images and time."""
    rotary_factor: int = 1
    """The linear scaling of the published checkpoints, for a config that does not contain it."""


PLAIN = Family()
_QWEN2 = Family(qkv_bias=True)
_QWEN2_VL = Family(qkv_bias=True, rotary_rows=4)
_GEMMA = Family(tied=True)
_GPT2 = Family(matrices=2, qkv_bias=True, tied=True, learned_positions=True, mlp_bias=True)

FAMILIES: dict[str, Family] = {
    "llama": PLAIN,
    "llama4": Family(),
    "llama4_text": Family(),
    "mllama": PLAIN,
    "mllama_text_model": PLAIN,
    "mistral": Family(windowed=True),
    "mistral3": PLAIN,
    "ministral": Family(windowed=True),
    "ministral3": PLAIN,
    "mistral4": PLAIN,
    "pixtral": PLAIN,
    "mixtral": Family(windowed=True),
    "qwen": Family(qkv_bias=True),
    "qwen2": _QWEN2,
    "qwen2_moe": _QWEN2,
    "qwen2_vl": _QWEN2_VL,
    "qwen2_vl_text": _QWEN2_VL,
    "qwen2_5_vl": _QWEN2_VL,
    "qwen2_5_vl_text": _QWEN2_VL,
    "qwen2_5_omni": _QWEN2_VL,
    "qwen2_5_omni_thinker": _QWEN2_VL,
    "qwen2_5_omni_text": _QWEN2_VL,
    "qwen2_audio": _QWEN2,
    "qwen3": PLAIN,
    "qwen3_moe": PLAIN,
    "qwen3_vl": Family(rotary_rows=4),
    "qwen3_vl_text": Family(rotary_rows=4),
    "qwen3_vl_moe": Family(rotary_rows=4),
    "qwen3_vl_moe_text": Family(rotary_rows=4),
    "qwen3_omni_moe": Family(rotary_rows=4),
    "qwen3_omni_moe_text": Family(rotary_rows=4),
    "qwen3_asr": Family(rotary_rows=4),
    "qwen3_next": Family(gated=True),
    "qwen3_5": Family(gated=True, rotary_rows=4),
    "qwen3_5_text": Family(gated=True, rotary_rows=4),
    "qwen3_5_moe": Family(gated=True, rotary_rows=4),
    "qwen3_5_moe_text": Family(gated=True, rotary_rows=4),
    "gemma": _GEMMA,
    "gemma2": Family(tied=True, every_full=2, sandwich=True),
    "gemma3": Family(tied=True, every_full=6, sandwich=True, rotary_factor=8),
    "gemma3_text": Family(tied=True, every_full=6, sandwich=True, rotary_factor=8),
    "gemma3n": Family(tied=True, every_full=5, sandwich=True),
    "gemma3n_text": Family(tied=True, every_full=5, sandwich=True),
    "gemma4": Family(tied=True, every_full=6, sandwich=True),
    "gemma4_text": Family(tied=True, every_full=6, sandwich=True),
    "gpt_oss": Family(qkv_bias=True, every_full=2, mlp_bias=True),
    "phi": Family(matrices=2, qkv_bias=True, mlp_bias=True),
    "phi3": Family(windowed=True),
    "phi4mm": Family(windowed=True),
    "phimoe": Family(windowed=True, qkv_bias=True),
    "cohere": Family(tied=True),
    "cohere2": Family(tied=True, every_full=4),
    "olmo": PLAIN,
    "olmo2": PLAIN,
    "olmo3": Family(every_full=4),
    "olmoe": PLAIN,
    "starcoder2": Family(matrices=2, qkv_bias=True, tied=True, windowed=True, mlp_bias=True),
    "gpt_bigcode": _GPT2,
    "gpt2": _GPT2,
    "gpt_neox": Family(matrices=2, qkv_bias=True, mlp_bias=True),
    "opt": _GPT2,
    "bloom": Family(matrices=2, qkv_bias=True, tied=True, mlp_bias=True),
    "falcon": Family(matrices=2, tied=True),
    "mpt": Family(matrices=2, tied=True),
    "stablelm": PLAIN,
    "internlm2": PLAIN,
    "internlm3": PLAIN,
    "internvl_chat": PLAIN,
    "minicpm": Family(tied=True),
    "minicpmv": PLAIN,
    "baichuan": PLAIN,
    "chatglm": Family(qkv_bias=True),
    "glm": Family(qkv_bias=True),
    "glm4": Family(qkv_bias=True, sandwich=True),
    "glm4v": Family(qkv_bias=True, sandwich=True, rotary_rows=4),
    "glm4_moe": Family(qkv_bias=True),
    "glm4v_moe": Family(qkv_bias=True, rotary_rows=4),
    "glm4_moe_lite": PLAIN,
    "glm_moe_dsa": PLAIN,
    "glm5_next": PLAIN,
    "exaone": PLAIN,
    "exaone4": Family(every_full=4),
    "granite": PLAIN,
    "granitemoe": PLAIN,
    "granitemoehybrid": Family(tied=True),
    "bamba": PLAIN,
    "nemotron": Family(matrices=2),
    "nemotron_h": Family(matrices=2),
    "jamba": PLAIN,
    "mamba": Family(tied=True),
    "mamba2": Family(),
    "falcon_mamba": Family(tied=True),
    "falcon_h1": PLAIN,
    "lfm2": Family(tied=True),
    "lfm2_moe": Family(tied=True),
    "deepseek_v2": PLAIN,
    "deepseek_v3": PLAIN,
    "deepseek_v32": PLAIN,
    "kimi_k2": PLAIN,
    "kimi_k25": PLAIN,
    "kimi_vl": PLAIN,
    "kimi_linear": PLAIN,
    "longcat_flash": PLAIN,
    "minimax": PLAIN,
    "minimax_m2": PLAIN,
    "ernie4_5": Family(tied=True),
    "ernie4_5_moe": Family(tied=True),
    "hunyuan": Family(tied=True),
    "hunyuan_v1_dense": Family(tied=True),
    "hunyuan_v1_moe": Family(tied=True),
    "seed_oss": Family(qkv_bias=True),
    "dots1": PLAIN,
    "bailing_moe": PLAIN,
    "smollm3": Family(tied=True),
    "arcee": Family(matrices=2),
    "mimo": _QWEN2,
    "apertus": Family(matrices=2),
    "bert": Family(matrices=2, qkv_bias=True, learned_positions=True, mlp_bias=True),
    "roberta": Family(matrices=2, qkv_bias=True, learned_positions=True, mlp_bias=True),
    "xlm-roberta": Family(matrices=2, qkv_bias=True, learned_positions=True, mlp_bias=True),
    "modernbert": Family(),
    "nomic_bert": Family(),
}

ENCODERS = {"bert", "roberta", "xlm-roberta", "modernbert", "nomic_bert"}
"""Every token attends to every other: no KV cache."""
