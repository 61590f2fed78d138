"""Facts from a config.json: parameters of public models, towers, lengths, and unknown values."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortexctl.engines.vllm.memory.config import UnknownModel
from cortexctl.engines.vllm.memory.layers import Attention, Experts
from cortexctl.engines.vllm.memory.model_facts import read_facts
from cortexctl.engines.vllm.memory.quantisation import NOT_QUANTISED
from cortexctl.engines.vllm.memory.tensors import Split
from cortexctl.engines.vllm.memory.weights import Stage, WeightOptions, rotary_bytes, stages, weight_bytes
from tests.memory import CASES, config_of, facts_of

PARAMETERS = json.loads((CASES / "parameters.json").read_text())


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_the_tensors_add_up_to_the_published_number_of_parameters(name: str) -> None:
    facts = facts_of(name)
    whole = Stage(range(len(facts.layers)))
    options = WeightOptions(Split(absorbed=""), towers=False, head=not facts.pooling)
    billions = (weight_bytes(facts, whole, NOT_QUANTISED, options) - rotary_bytes(facts, options)) / 2e9
    assert billions == pytest.approx(PARAMETERS[name], rel=0.005)
    assert not facts.unknown


def test_guesses_are_reported() -> None:
    config = {**config_of("llama-3.1-8b"), "quantization_config": {"quant_method": "newbits"}}
    assert read_facts(config).unknown == (
        'the quantisation "newbits" is not known: the bits of its weights are a guess',
    )
    del config["model_type"], config["quantization_config"]
    assert "Llama" in read_facts(config).unknown[0]


def test_a_text_model_inside_another_config_is_found() -> None:
    facts = facts_of("gemma-4-26b-a4b-nvfp4")
    kinds = [m.kind for layer in facts.layers for m in layer.mixers if isinstance(m, Attention)]
    assert (kinds.count("full"), kinds.count("sliding")) == (5, 25)
    assert all(any(isinstance(m, Experts) for m in layer.mlps) for layer in facts.layers)
    assert [t.modality for t in facts.towers] == ["vision"]


def test_a_recipe_quantises_no_tensor_that_it_ignores() -> None:
    quant = facts_of("gemma-4-26b-a4b-nvfp4").quant
    assert quant.of("self_attn.q_proj", 3).name == ""
    assert quant.of("mlp.gate_proj", 3).name == ""
    assert quant.of("moe.experts.gate_proj", 3).name == "nvfp4"


@pytest.mark.parametrize(
    ("pattern", "ignored"),
    [
        ("re:.*self_attn.*", True),
        ("model.layers.0.self_attn.q_proj", True),
        ("model.layers.1.self_attn.q_proj", False),
        ("self_attn", True),
        ("q_proj", True),
        ("lm_head", False),
        ("re:(", False),
        ("model.layers.*.self_attn.*", True),
    ],
)
def test_patterns_of_recipes(pattern: str, *, ignored: bool) -> None:
    table = {
        "quant_method": "compressed-tensors",
        "ignore": [pattern],
        "config_groups": {"a": {"weights": {"num_bits": 8}}},
    }
    quant = read_facts({**config_of("llama-3.1-8b"), "quantization_config": table}).quant
    assert (quant.of("self_attn.q_proj", 0).size == 0) is ignored


@pytest.mark.parametrize(
    ("table", "size"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 0.5 + 2 / 128 + 0.5 / 128),
        ({"quant_method": "gptq", "bits": 4, "group_size": 64, "sym": True}, 0.5 + 2 / 64),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, 1 + 2 / 128),
        ({"quant_method": "fp8"}, 1.0),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 1 + 4 / 16384),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, 0.5 + 1 / 16),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 0.5 + 1 / 16),
        ({"quant_method": "a new one with 8 bits"}, 1.0),
    ],
)
def test_bytes_of_a_parameter(table: dict[str, Any], size: float) -> None:
    quant = read_facts({**config_of("llama-3.1-8b"), "quantization_config": table}).quant
    assert quant.of("mlp.down_proj", 0).size == pytest.approx(size)


def test_an_unknown_family_is_read_as_plain_layers_and_reported() -> None:
    facts = read_facts({**config_of("llama-3.1-8b"), "model_type": "brandnew"})
    assert len(facts.layers) == 32
    assert "brandnew" in facts.unknown[0]


@pytest.mark.parametrize("missing", ["hidden_size", "num_hidden_layers", "vocab_size"])
def test_a_config_of_something_else_is_refused_in_a_sentence(missing: str) -> None:
    config = config_of("llama-3.1-8b")
    del config[missing]
    with pytest.raises(UnknownModel, match=missing):
        read_facts(config)


@pytest.mark.parametrize(
    ("layers", "pipeline", "sizes"),
    [
        (8, 4, [2, 2, 2, 2]),
        (9, 4, [2, 2, 3, 2]),
        (10, 4, [2, 3, 3, 2]),
        (11, 4, [3, 3, 3, 2]),
        (3, 2, [2, 1]),
        (7, 1, [7]),
    ],
)
def test_layers_that_an_even_split_leaves_over_go_to_the_stages_before_the_last(
    layers: int, pipeline: int, sizes: list[int]
) -> None:
    """vLLM's `get_pp_indices`: the last stage has the output head to hold."""
    split = stages(layers, pipeline)
    assert [len(stage.layers) for stage in split] == sizes
    assert [n for stage in split for n in stage.layers] == list(range(layers))
    assert [stage.first for stage in split] == [True, *[False] * (pipeline - 1)]
    assert [stage.last for stage in split] == [*[False] * (pipeline - 1), True]


def test_a_given_partition_is_used_if_it_fits() -> None:
    assert [len(stage.layers) for stage in stages(10, 3, (5, 3, 2))] == [5, 3, 2]
    assert [len(stage.layers) for stage in stages(10, 3, (5, 5))] == [3, 4, 3]
