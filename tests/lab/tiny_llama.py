#!/usr/bin/env python3
"""Write a tiny Llama model that vLLM can serve: random weights from a fixed seed, 0.3 MB, no download.

usage: tiny_llama.py DIR

It speaks nonsense, but all that surrounds it is real: configuration, safetensors weights, tokenizer, chat template.
Every run writes the same bytes; a folder that is there already is left alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import struct
import sys
from pathlib import Path

HIDDEN, LAYERS, HEADS, KV_HEADS, INTERMEDIATE, CONTEXT = 64, 2, 4, 2, 256, 4096
HEAD_DIM = 32  # the smallest that vLLM's attention for CPUs can do; hidden/heads would be 16
SPECIAL = ["<|begin|>", "<|end|>", "<|pad|>", "<|unknown|>"]
VOCAB = 256 + len(SPECIAL)
BOS, EOS, PAD = range(256, 259)

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def byte_letters() -> list[str]:
    """Return the letter that byte-level BPE writes for each byte: itself if printable, else one from 256 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def config() -> dict[str, object]:
    """Return the model's config.json."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "pad_token_id": PAD,
        "dtype": "bfloat16",
    }


def tokenizer() -> dict[str, object]:
    """Return the tokenizer.json: byte-level BPE without merges, so one token for each byte."""
    vocab = {letter: byte for byte, letter in enumerate(byte_letters())}
    flags = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": 256 + i, "content": text, **flags} for i, text in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocab,
            "merges": [],
        },
    }


def tokenizer_config() -> dict[str, object]:
    """Return the tokenizer_config.json."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT,
        "bos_token": SPECIAL[0],
        "eos_token": SPECIAL[1],
        "pad_token": SPECIAL[2],
        "unk_token": SPECIAL[3],
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }


def shapes() -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of all weights."""
    result: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCAB, HIDDEN)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        result |= {
            f"{prefix}input_layernorm.weight": (HIDDEN,),
            f"{prefix}self_attn.q_proj.weight": (HEADS * HEAD_DIM, HIDDEN),
            f"{prefix}self_attn.k_proj.weight": (KV_HEADS * HEAD_DIM, HIDDEN),
            f"{prefix}self_attn.v_proj.weight": (KV_HEADS * HEAD_DIM, HIDDEN),
            f"{prefix}self_attn.o_proj.weight": (HIDDEN, HEADS * HEAD_DIM),
            f"{prefix}post_attention_layernorm.weight": (HIDDEN,),
            f"{prefix}mlp.gate_proj.weight": (INTERMEDIATE, HIDDEN),
            f"{prefix}mlp.up_proj.weight": (INTERMEDIATE, HIDDEN),
            f"{prefix}mlp.down_proj.weight": (HIDDEN, INTERMEDIATE),
        }
    return result | {"model.norm.weight": (HIDDEN,), "lm_head.weight": (VOCAB, HIDDEN)}


def bfloat16(values: list[float]) -> bytes:
    """Return numbers as bfloat16: the upper halves of their float32."""
    raw = struct.pack(f"<{len(values)}f", *values)
    return b"".join(raw[i + 2 : i + 4] for i in range(0, len(raw), 4))


def tensor(name: str, shape: tuple[int, ...], rng: random.Random) -> bytes:
    """Return one weight: ones for a norm, else evenly spread numbers of a size that keeps activations near 1."""
    if len(shape) == 1:
        return bfloat16([1.0] * shape[0])
    rows, columns = shape
    scale = (3.0 / columns) ** 0.5
    values = [(2.0 * rng.random() - 1.0) * scale for _ in range(rows * columns)]
    if name == "lm_head.weight":
        # Likely tokens are the letters, so that a greedy answer is text and does not end early: what is not ASCII
        # text gets the score 0, which the best of a hundred letters always beats.
        for row in (row for row in range(rows) if not 0x20 <= row <= 0x7E):
            values[row * columns : (row + 1) * columns] = [0.0] * columns
    return bfloat16(values)


def safetensors() -> bytes:
    """Return the weights file: length of the header, header (JSON, padded to 8 bytes), tensors."""
    rng = random.Random(20240229)  # the point is that everybody gets the same numbers
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = bytearray()
    for name, shape in shapes().items():
        start = len(body)
        body += tensor(name, shape, rng)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, len(body)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(body)


def write(folder: Path) -> None:
    """Write all files, then move them into place at once, so that nobody ever sees half a model."""
    key = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    mark = folder / ".key"
    if mark.exists() and mark.read_text() == key:
        return
    new = folder.with_name(f".{folder.name}.{os.getpid()}")
    new.mkdir(parents=True)
    documents = {
        "config.json": config(),
        "generation_config.json": {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD},
        "tokenizer.json": tokenizer(),
        "tokenizer_config.json": tokenizer_config(),
    }
    for name, document in documents.items():
        (new / name).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (new / "model.safetensors").write_bytes(safetensors())
    (new / mark.name).write_text(key)
    if folder.exists():
        shutil.rmtree(folder)
    new.rename(folder)
    print(f"wrote {folder}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: tiny_llama.py DIR")
    write(Path(sys.argv[1]))
