"""Weights from the heads of safetensors files: the same sum, tensor by tensor."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from cortexctl.engines.gpu_models import parse_gpu
from cortexctl.engines.vllm.memory.budget import budget
from cortexctl.engines.vllm.memory.headers import Headers
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from cortexctl.stack.model_folder import UnreadableModel, read_config, read_headers
from tests.memory import budget_of, config_of, facts_of


def dense_tensors(config: dict[str, Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The tensor names and shapes in the checkpoint of a plain decoder."""
    h, i, n = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    q, kv, d = config["num_attention_heads"], config["num_key_value_heads"], config.get("head_dim", 128)
    tensors = {
        "model.embed_tokens.weight": ("BF16", (config["vocab_size"], h)),
        "lm_head.weight": ("BF16", (config["vocab_size"], h)),
        "model.norm.weight": ("BF16", (h,)),
    }
    shapes = {
        "self_attn.q_proj": (q * d, h),
        "self_attn.k_proj": (kv * d, h),
        "self_attn.v_proj": (kv * d, h),
        "self_attn.o_proj": (h, q * d),
        "mlp.gate_proj": (i, h),
        "mlp.up_proj": (i, h),
        "mlp.down_proj": (h, i),
        "input_layernorm": (h,),
        "post_attention_layernorm": (h,),
    }
    for layer in range(n):
        tensors |= {f"model.layers.{layer}.{name}.weight": ("BF16", shape) for name, shape in shapes.items()}
    return tensors


@pytest.mark.parametrize("tp", [1, 2, 4, 16])
@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3-8b"])
def test_headers_and_config_agree_on_a_plain_model(name: str, tp: int) -> None:
    headers = Headers(dense_tensors(config_of(name)))
    inputs = BudgetInputs({"tensor_parallel_size": tp}, parse_gpu("H100")[0], "0.32.0", headers=headers)
    read = budget(facts_of(name), inputs).tightest.weights
    assert read.source == "headers"
    assert read.value == pytest.approx(
        budget_of(name, "H100", tensor_parallel_size=tp).tightest.weights.value, rel=1e-3
    )


def test_an_index_scales_the_estimate_of_the_config() -> None:
    plain = budget_of("qwen3-8b", "H100").tightest.weights.value
    inputs = BudgetInputs({}, parse_gpu("H100")[0], "0.32.0", headers=Headers({}, int(16.38e9)))
    assert budget(facts_of("qwen3-8b"), inputs).tightest.weights.value == pytest.approx(plain, rel=0.01)


def test_a_tensor_that_is_not_loaded_is_not_counted() -> None:
    tensors = dense_tensors(config_of("qwen3-8b"))
    more = {
        **tensors,
        "mtp.layers.0.mlp.up_proj.weight": ("BF16", (12288, 4096)),
        "model.layers.0.mlp.up_proj.g_idx": ("I32", (9,)),
    }
    gpu = parse_gpu("H100")[0]
    first, second = (budget(facts_of("qwen3-8b"), BudgetInputs({}, gpu, headers=Headers(t))) for t in (tensors, more))
    assert first.tightest.weights.value == second.tightest.weights.value


def write_safetensors(path: Path, tensors: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    head = json.dumps({n: {"dtype": d, "shape": s, "data_offsets": [0, 0]} for n, (d, s) in tensors.items()}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head)


def test_a_folder_is_read_with_all_its_files(tmp_path: Path) -> None:
    tensors = dense_tensors(config_of("qwen3-8b"))
    names = sorted(tensors)
    write_safetensors(tmp_path / "model-1.safetensors", {n: tensors[n] for n in names[:100]})
    write_safetensors(tmp_path / "model-2.safetensors", {n: tensors[n] for n in names[100:]})
    (tmp_path / "config.json").write_text(json.dumps(config_of("qwen3-8b")))
    headers = read_headers(tmp_path)
    assert headers is not None
    assert headers.tensors == tensors
    assert read_config(tmp_path)["hidden_size"] == 4096


def test_a_recipe_beside_the_config_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config_of("qwen3-8b")))
    (tmp_path / "hf_quant_config.json").write_text(
        '{"quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}}'
    )
    assert read_config(tmp_path)["quantization_config"]["quant_algo"] == "NVFP4"


@pytest.mark.parametrize(
    "content",
    [b"", b"nothing", b"\xff" * 40, struct.pack("<Q", 4) + b"{{{{", struct.pack("<Q", 50_000) + b"[" * 50_000],
)
def test_an_invalid_safetensors_file_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(UnreadableModel, match="is not a safetensors file"):
        read_headers(path)


@pytest.mark.parametrize("content", ["", "[]", "{", "null"])
def test_an_invalid_config_is_refused_in_one_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(UnreadableModel):
        read_config(path)
