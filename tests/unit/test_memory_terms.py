"""Memory beside the cache, term by term, as 0.26.0 measured it on one H200; and where the rules are a guess."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from cortexctl.engines.gpu_models import parse_gpu
from cortexctl.engines.vllm.memory.basis import MEASURED
from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.model_facts import Facts, read_facts
from cortexctl.engines.vllm.memory.overhead import encoder
from cortexctl.engines.vllm.memory.peak import peak
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from cortexctl.render.fit.terminal import budget_text
from cortexctl.render.style import Ink
from tests.memory import CASES, budget_of, facts_of

LINES = [json.loads(line) for line in (CASES / "terms.jsonl").read_text(encoding="utf-8").splitlines()]
CONFIGS = {line["model"]: line["config"] for line in LINES if "config" in line}
STARTS = [line for line in LINES if "shows" in line]
H200 = replace(parse_gpu("H200")[0], total_gib=150109880320 / 2**30)


@cache
def facts(model: str) -> Facts:
    return read_facts(CONFIGS[model])


def computed(start: dict[str, Any]) -> Budget:
    return budget(facts(start["model"]), BudgetInputs(start["args"], H200, "0.26.0", start["environ"]))


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start["shows"])
def test_every_term_is_the_measured_one(start: dict[str, Any]) -> None:
    at = computed(start).tightest
    assert at.transient.value == pytest.approx(start["peak_gib"], abs=0.013, rel=0.015)
    assert at.non_torch.value == pytest.approx(start["outside_torch_gib"], abs=0.01)
    assert at.graphs.value == pytest.approx(start["graph_estimate_gib"], abs=0.1)
    assert at.weights.value == pytest.approx(start["weights_gib"], rel=0.01, abs=0.1)
    for term in (at.transient, at.non_torch, at.graphs, at.weights):
        assert term.high - term.low < 1.5
    assert at.transient.low <= start["peak_gib"] <= at.transient.high
    assert at.weights.low <= start["weights_gib"] <= at.weights.high
    assert at.available.low <= start["available_kv_gib"] <= at.available.high


def test_a_later_start_needs_less_than_the_first_one() -> None:
    """From the compiler's cache, the same start was measured at 0.875 instead of 1.104 GiB."""
    first = budget_of("llama-3.1-8b", "H200", "0.26.0")
    assert first.tightest.transient.value == pytest.approx(1.104, abs=0.002)
    assert first.tightest.transient.low <= 0.875 <= budget_of("llama-3.1-8b", "H200", "0.26.0").tightest.transient.high
    assert "a first start compiles: it leaves 0.23 GiB less for the cache than later ones" in first.notes
    assert not budget_of("llama-3.1-8b", "H200", "0.26.0", enforce_eager=True).notes


def test_where_embeddings_are_not_compiled_the_first_start_needs_no_more() -> None:
    """An encoder's embeddings, and those of a model that reads images, are computed outside the compiled part."""
    for name in ("bge-m3", "qwen3-vl-8b"):
        first = budget_of(name, "H200", "0.26.0").tightest.transient.value
        assert first == budget_of(name, "H200", "0.26.0", enforce_eager=True).tightest.transient.value


def test_adapters_double_the_number_of_graphs() -> None:
    first_runner = {"environ": {"VLLM_USE_V2_MODEL_RUNNER": "0"}}
    without = budget_of("llama-3.1-8b", "H200", "0.26.0", **first_runner).tightest.graphs
    adapters = budget_of("llama-3.1-8b", "H200", "0.26.0", enable_lora=True, **first_runner).tightest.graphs
    assert adapters.value == pytest.approx(2 * without.value)


@pytest.mark.parametrize(
    ("version", "more", "tokens"),
    [
        ("0.8.5", {}, 40960),  # the first engine
        ("0.9.2", {}, 8192),
        ("0.26.0", {}, 8192),
        ("0.26.0", {"pooler_config": {"pooling_type": "MEAN"}}, 40960),
        ("0.12.0", {"pooler_config": {"pooling_type": "ALL"}}, 40960),
        ("0.13.0", {"pooler_config": {"pooling_type": "ALL"}}, 8192),
        ("0.26.0", {"enable_chunked_prefill": False}, 40960),
        ("0.8.5", {"max_model_len": 36000}, 36000),
    ],
)
def test_pooling_of_a_generating_model_prefills_in_parts(version: str, more: dict[str, Any], tokens: int) -> None:
    """A server's defaults for an H200; 0.26 was measured."""
    pooled = budget_of("qwen3-8b", "H200", version, **{"runner": "pooling", **more})
    assert pooled.settings.batched_tokens == tokens


def test_pooling_of_an_encoder_takes_a_prompt_as_a_whole() -> None:
    settings = budget_of("bge-m3", "L4", "0.26.0").settings
    assert (settings.chunked, settings.batched_tokens) == (False, settings.max_model_len)


def test_pooling_has_no_graph_estimate() -> None:
    pooled = budget_of("qwen3-235b-a22b", "H200", "0.26.0", runner="pooling").tightest.graphs
    assert pooled.value == 0 < pooled.high


def test_graphs_beside_the_budget_are_a_warning_where_little_is_free() -> None:
    """The second runner captures after the cache has taken the rest of the budget: 0.98 GiB were measured."""
    close = budget_of("llama-3.1-8b", "H200", "0.26.0", gpu_memory_utilization=0.99)
    assert close.verdict == "refuses"
    assert [note for note in close.notes if note.startswith("CUDA graphs need 0.6 to 1.5 GiB beside the budget")]
    assert "0.6 to 1.5 GiB are captured beside the budget" in budget_text("", close, Ink(enabled=False))
    for args in ({}, {"gpu_memory_utilization": 0.99, "enforce_eager": True}):
        notes = budget_of("llama-3.1-8b", "H200", "0.26.0", **args).notes
        assert not [note for note in notes if note.startswith("CUDA graphs")]
    first_runner = {"environ": {"VLLM_USE_V2_MODEL_RUNNER": "0"}, "gpu_memory_utilization": 0.99}
    charged = budget_of("llama-3.1-8b", "H200", "0.26.0", **first_runner)
    assert charged.tightest.graphs.value > 0.4
    assert not [note for note in charged.notes if note.startswith("CUDA graphs")]


@pytest.mark.parametrize(
    ("gpu", "version", "args", "missing"),
    [
        ("H200", "0.26.0", {}, ""),
        ("H100", "0.21.0", {}, ""),
        ("H100", "0.20.2", {}, "this release"),
        ("H100", "0.27.0", {}, "this release"),
        ("H100", None, {}, "this release"),
        ("L40S", "0.26.0", {}, "this kind of GPU"),
        ("B200", "0.26.0", {}, "this kind of GPU"),
        ("H100", "0.26.0", {"tensor_parallel_size": 2}, "several GPUs"),
        ("H100", "0.26.0", {"speculative_config": {"method": "ngram", "num_speculative_tokens": 2}}, ""),
        ("H100", "0.26.0", {"speculative_config": {"method": "mtp"}}, "speculation by mtp"),
    ],
)
def test_what_was_not_measured_is_a_guess_and_named(
    gpu: str, version: str | None, args: dict[str, Any], missing: str
) -> None:
    result = budget_of("qwen3-8b", gpu, version, **args)
    peak = result.tightest.transient
    assert result.gpu is not None
    assert MEASURED.missing(result.settings, result.gpu) == missing
    assert peak.source == ("fitted" if missing else "config")
    assert (f"a guess for {missing}" in budget_text("", result, Ink(enabled=False))) == bool(missing)


def test_a_guess_has_the_first_compilation_as_the_code_has_it() -> None:
    """Qwen3-8B: a copy of the table of embeddings is 1.16 GiB, which the rules from start-up logs do not know. The range
    includes later starts.
    """
    budget = budget_of("qwen3-8b", "L40S", "0.26.0")
    on_another = budget.tightest.transient
    assert on_another.low < 0.3
    assert 1.16 < on_another.value < on_another.high
    assert any("a first start compiles" in note for note in budget.notes)
    older = budget_of("qwen3-8b", "L40S", "0.19.1").tightest.transient
    assert older.value < 0.5
    assert older.source == on_another.source == "fitted"


def test_the_code_gives_the_value_on_one_gpu_of_another_kind() -> None:
    """Of a release with the measured code. Several GPUs, and encoders that were not measured, keep the rules from logs."""
    code = peak(facts_of("qwen3-8b"), budget_of("qwen3-8b", "L40S", "0.20.2").settings, parse_gpu("L40S")[0]).first
    assert budget_of("qwen3-8b", "L40S", "0.20.2").tightest.transient.value == code.value
    logs = budget_of("qwen3-8b", "L40Sx2", "0.20.2", tensor_parallel_size=2).tightest.transient
    assert logs.value != pytest.approx(code.value, rel=0.01)
    vision = budget_of("qwen3-vl-8b", "L40S", "0.20.2").tightest.transient
    assert vision.value >= encoder(facts_of("qwen3-vl-8b"), budget_of("qwen3-vl-8b", "L40S", "0.20.2").settings)


def test_states_that_a_draft_reads_are_alive_beside_its_pass() -> None:
    """Llama-3.1-8B with 8192 tokens of 4096 numbers: five for EAGLE-3, two for EAGLE, on the second runner only."""
    without = peak(facts_of("llama-3.1-8b"), budget_of("llama-3.1-8b", "A100", "0.26.0").settings, parse_gpu("A100")[0])
    for method, states in (("eagle", 2), ("eagle3", 5)):
        table = {"method": method, "model": "/models/draft", "num_speculative_tokens": 3}
        drafted = budget_of("llama-3.1-8b", "A100", "0.26.0", speculative_config=table)
        more = states * drafted.settings.batched_tokens * 4096 * 2 / 2**30
        assert drafted.tightest.transient.value == pytest.approx(without.first.value + more, abs=0.001)


def test_0_9_1_is_the_first_release_that_counts_its_own_memory_only() -> None:
    older, newer = (budget_of("qwen3-8b", "A100", version).tightest.non_torch.value for version in ("0.9.0", "0.9.1"))
    assert older - newer == pytest.approx(0.42)


def test_kernels_for_hopper_repack_quantised_weights_from_the_release_on_that_has_them() -> None:
    """AWQ's zero points take 16 bits from 0.19 on; experts of gpt-oss are padded by 1 %, not 9 %."""
    awq = {v: weights("qwen2.5-32b-awq", "H200", v) for v in ("0.18.0", "0.19.0", "0.26.0")}
    assert awq["0.26.0"] == awq["0.19.0"] == pytest.approx(18.4858, abs=0.04)
    assert awq["0.18.0"] == weights("qwen2.5-32b-awq", "A100", "0.26.0") == pytest.approx(18.14, abs=0.02)
    experts = {gpu: weights("gpt-oss-20b", gpu, "0.26.0") for gpu in ("H200", "A100", "B200")}
    assert experts["H200"] < experts["A100"] < experts["B200"]


def test_weights_of_20_mib_keep_their_whole_segments_from_the_release_on_that_limits_splits() -> None:
    """Qwen2.5-7B: the output projection of each of 28 layers is 24.5 MiB in a segment of 26. 14.2897 were measured."""
    older, now = (weights("qwen2.5-vl-7b", "H200", version) for version in ("0.20.2", "0.26.0"))
    assert now - older == pytest.approx(42 / 1024, abs=0.001)
    assert budget_of("qwen2.5-7b", "H200", "0.26.0").tightest.weights.value == pytest.approx(14.2897, abs=0.001)


def weights(model: str, gpu: str, version: str) -> float:
    at = parse_gpu(gpu)[0]
    return budget(facts(model), BudgetInputs({}, at, version)).tightest.weights.value
