"""Draft models in the forecast: starts with them that were measured, and the doubt about one that is not known."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from cortexctl.engines.gpu_models import parse_gpu
from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.drafts import Draft, read_draft
from cortexctl.engines.vllm.memory.speculation import read_speculation
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from cortexctl.model_files.files import ModelFiles
from tests.memory import CASES, budget_of, config_of, facts_of

MEASURED = [json.loads(line) for line in (CASES / "drafts.jsonl").read_text().splitlines()]
HIDDEN, VOCAB = 4096, 128256
GIB = 2**30
EAGLE = {**config_of("llama-3.1-8b"), "num_hidden_layers": 1}


def launch(draft: ModelFiles | None, speculative: dict[str, Any], gpu: str = "H100:79.25", **args: Any) -> Budget:
    """Llama 3.1 8B with a draft of these files; None: they are not known."""
    table = {"model": "/models/draft", "num_speculative_tokens": 3, **speculative}
    args = {"max_model_len": 8192, **args, "speculative_config": table}
    files = {} if draft is None else {"/models/draft": draft}
    read = read_draft(read_speculation(args), files)
    at = parse_gpu(gpu)[0]
    version, available = args.pop("version", "0.32.0"), args.pop("available", None)
    return budget(facts_of("llama-3.1-8b"), BudgetInputs(args, at, version, draft=read, available_gib=available))


def added(draft: ModelFiles, **speculative: Any) -> tuple[float, float, float]:
    """GiB that a draft adds to the weights of Llama 3.1 8B: value, low, high."""
    alone = budget_of("llama-3.1-8b", "H100:79.25").tightest.weights
    both = launch(draft, speculative).tightest.weights
    return both.value - alone.value, both.low - alone.low, both.high - alone.high


@pytest.mark.parametrize("case", MEASURED, ids=[c["case"] for c in MEASURED])
def test_forecasts_are_those_of_measured_starts_with_speculation(case: dict[str, Any]) -> None:
    speculation = read_speculation(case["args"])
    files = {"llama-3.2-1b": ModelFiles(config_of("llama-3.2-1b"))} if speculation.model else {}
    gpu, draft = parse_gpu(case["gpu"])[0], read_draft(speculation, files)
    facts = facts_of(case["config"])

    computed = budget(facts, BudgetInputs(case["args"], gpu, case["vllm"], draft=draft))
    assert computed.verdict == "starts"
    assert computed.notes == ()
    assert computed.settings.second_runner is case["second_runner"]
    assert computed.tightest.weights.value == pytest.approx(case["weights_gib"], rel=0.002)
    assert computed.tightest.transient.value == pytest.approx(case["transient_gib"], rel=0.005)
    assert computed.tightest.available.value == pytest.approx(case["available_gib"], abs=0.15)
    assert computed.tokens.value == pytest.approx(case["tokens"], rel=0.002)
    assert computed.tokens.low <= case["tokens"] <= computed.tokens.high

    exact = budget(
        facts, BudgetInputs(case["args"], gpu, case["vllm"], draft=draft, available_gib=case["available_gib"])
    )
    assert (exact.blocks.value, exact.tokens.value) == (case["blocks"], case["tokens"])
    assert exact.concurrency.value == case["concurrency"]


def test_a_draft_model_adds_what_it_takes_alone() -> None:
    value, *_ = added(ModelFiles(config_of("llama-3.2-1b")), method="draft_model")
    assert value == pytest.approx(budget_of("llama-3.2-1b", "H100:79.25").tightest.weights.value)


def test_the_total_of_an_index_decides_over_the_config() -> None:
    value, *_ = added(ModelFiles(config_of("llama-3.2-1b"), total=3_000_000_000), method="draft_model")
    assert value == pytest.approx(3_000_000_000 / GIB, rel=0.05)


def test_a_draft_is_split_like_its_target_and_is_on_the_last_stage() -> None:
    draft = ModelFiles(config_of("llama-3.2-1b"))
    two = launch(draft, {"method": "draft_model"}, tensor_parallel_size=2)
    alone = budget_of("llama-3.1-8b", "H100:79.25", tensor_parallel_size=2, max_model_len=8192)
    assert two.tightest.weights.value - alone.tightest.weights.value == pytest.approx(2.3 / 2, rel=0.15)
    first, last = launch(draft, {"method": "draft_model"}, pipeline_parallel_size=2).stages
    assert last.weights.value - first.weights.value == pytest.approx(2.3, rel=0.1)
    assert last.pool.block_bytes - first.pool.block_bytes == 16 * 32768


EAGLE3_TENSORS = {
    "fc.weight": ("BF16", (HIDDEN, 3 * HIDDEN)),
    "midlayer.self_attn.q_proj.weight": ("BF16", (HIDDEN, 2 * HIDDEN)),
    "midlayer.mlp.down_proj.weight": ("BF16", (HIDDEN, 14336)),
    "norm.weight": ("BF16", (HIDDEN,)),
    "lm_head.weight": ("BF16", (32000, HIDDEN)),
}


def test_an_eagle3_draft_shares_the_embedding_of_its_target_and_has_a_head_of_its_own() -> None:
    own = sum(2 * a * (b[0] if b else 1) for _, (a, *b) in EAGLE3_TENSORS.values()) / GIB
    value, low, high = added(ModelFiles(EAGLE, EAGLE3_TENSORS), method="eagle3")
    assert value == pytest.approx(own)
    table = {"embed_tokens.weight": ("BF16", (VOCAB, HIDDEN))}
    with_table = added(ModelFiles(EAGLE, EAGLE3_TENSORS | table), method="eagle3")
    assert with_table[:2] == pytest.approx((value, low))
    assert with_table[2] - high == pytest.approx(1.03 * 2 * VOCAB * HIDDEN / GIB)


def test_heads_of_another_model_are_counted_by_their_config() -> None:
    eagle, *_ = added(ModelFiles(EAGLE), method="eagle")
    layer = 2 * (2 * HIDDEN * HIDDEN + 2 * HIDDEN * 1024 + 3 * HIDDEN * 14336) / GIB
    assert eagle == pytest.approx(layer + 2 * 2 * HIDDEN * HIDDEN / GIB, rel=0.1)
    eagle3, *_ = added(ModelFiles({**EAGLE, "draft_vocab_size": 32000}), method="eagle3")
    assert eagle3 == pytest.approx(eagle + 2 * (32000 + HIDDEN + 6144) * HIDDEN / GIB)
    medusa = {"model_type": "medusa", "num_heads": 5, "num_hidden_layers": 1, "hidden_size": HIDDEN}
    value, *_ = added(ModelFiles({**medusa, "vocab_size": VOCAB}), method="medusa")
    assert value == pytest.approx(2 * 5 * HIDDEN * (HIDDEN + VOCAB) / GIB)


def test_the_layers_of_a_head_get_a_cache_and_those_of_medusa_have_none() -> None:
    two_layers = {**EAGLE, "num_hidden_layers": 2, "num_key_value_heads": 4}
    blocks = {
        method: launch(ModelFiles(config), {"method": method}).tightest.pool.block_bytes
        for method, config in (("eagle", two_layers), ("medusa", {"num_heads": 1, "hidden_size": 8, "vocab_size": 8}))
    }
    target = 32 * 16 * 4096
    assert blocks == {"eagle": target + 2 * 16 * 2048, "medusa": target}


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("yuhuili/EAGLE-LLaMA3-Instruct-8B", "eagle"),
        ("yuhuili/EAGLE3-LLaMA3.1-Instruct-8B", "eagle3"),
        ("z-lab/Qwen3-8B-DFlash", "dflash"),
        ("meta-llama/Llama-3.2-1B", "draft_model"),
        ("[ngram]", "ngram"),
    ],
)
def test_the_method_is_detected_by_the_name_of_the_draft(name: str, method: str) -> None:
    speculation = read_speculation({"speculative_config": {"model": name}})
    assert speculation.method == method
    assert speculation.model == ("" if method == "ngram" else name)


@pytest.mark.parametrize(
    "table",
    [
        *(None, "x", [1], {}, {"model": None}, {"method": 3, "model": {"a": 1}}),
        {"model": "/models/draft", "num_speculative_tokens": math.inf, "draft_tensor_parallel_size": math.nan},
        {"model": "/models/draft", "num_speculative_tokens": -1, "draft_tensor_parallel_size": -(10**400)},
        {"model": "/models/draft", "num_speculative_tokens": True, "draft_tensor_parallel_size": "2"},
    ],
)
def test_a_table_with_any_content_is_read(table: object) -> None:
    speculation = read_speculation({"speculative_config": table})
    assert (speculation.tp, speculation.tokens) in {(0, 0), (0, 1)}


def test_multi_token_prediction_from_the_models_own_files_has_no_draft() -> None:
    args = {"speculative_config": {"method": "mtp", "model": "/models/own", "num_speculative_tokens": 1}}
    assert read_speculation(args, "/models/own").model == ""
    assert read_speculation(args, "/models/other").model == "/models/own"


def test_a_draft_with_another_vocabulary_is_refused_as_vllm_does() -> None:
    other = ModelFiles({**config_of("llama-3.2-1b"), "vocab_size": 32000})
    refused = launch(other, {"method": "draft_model"})
    assert refused.verdict == "refuses"
    assert refused.refusal
    assert refused.refusal.rule == "draft vocabulary"
    assert "Target model vocab_size=128256. Draft model vocab_size=32000." in refused.refusal.text
    assert launch(other, {"method": "draft_model", "use_heterogeneous_vocab": True}).verdict == "starts"
    assert launch(other, {"method": "eagle"}).verdict == "starts"


def test_an_unknown_draft_makes_a_close_start_uncertain_and_a_roomy_one_not() -> None:
    known, unknown = ModelFiles(config_of("llama-3.2-1b")), ModelFiles(problem="its folder is away")
    for draft, tight in ((known, "starts"), (unknown, "uncertain"), (None, "uncertain")):
        assert launch(draft, {"method": "draft_model"}, "L40S:28").verdict == tight
        assert launch(draft, {"method": "draft_model"}).verdict == "starts"
    (note,) = launch(unknown, {"method": "draft_model"}).notes
    assert note == "the weights of the draft model are not included (/models/draft: its folder is away)"
    assert launch(known, {"method": "draft_model"}).notes == ()


def test_the_range_of_an_unknown_draft_holds_that_of_a_known_one() -> None:
    known = launch(ModelFiles(config_of("llama-3.2-1b")), {"method": "draft_model"})
    unknown = launch(None, {"method": "draft_model"})
    assert unknown.tokens.low < known.tokens.low
    assert unknown.tightest.weights.high > known.tightest.weights.high
    exact = launch(None, {"method": "draft_model"}, available=10.0)
    assert exact.tokens.low == pytest.approx(exact.tokens.value / 2, rel=0.01)
    assert exact.tokens.high == exact.tokens.value


@pytest.mark.parametrize("method", ["eagle", "eagle3", "mtp"])
def test_an_unknown_head_is_estimated_from_the_layers_of_its_target(method: str) -> None:
    computed = launch(ModelFiles(problem="gone"), {"method": method})
    assert computed.notes == (
        "the weights of the draft model are an estimate from the model's own layers (/models/draft: gone)",
    )
    assert computed.tightest.weights.value > budget_of("llama-3.1-8b", "H100:79.25").tightest.weights.value


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (ModelFiles({"a": 1}), "its config.json is not that of a model with attention"),
        (ModelFiles({"num_hidden_layers": 10**9}), "its config.json is not that of a model with attention"),
        (ModelFiles(problem="away"), "away"),
    ],
)
def test_a_draft_whose_config_cannot_be_read_has_a_reason(files: ModelFiles, problem: str) -> None:
    speculation = read_speculation({"speculative_config": {"method": "draft_model", "model": "/m"}})
    draft = read_draft(speculation, {"/m": files})
    assert draft
    assert (draft.name, draft.problem) == ("/m", problem)
    medusa = read_speculation({"speculative_config": {"method": "medusa", "model": "/m"}})
    assert (read_draft(medusa, {"/m": ModelFiles({"a": 1})}) or Draft("")).problem == "its files do not show its size"


@pytest.mark.parametrize(
    ("version", "table", "second"),
    [
        ("0.26.0", {"method": "ngram", "num_speculative_tokens": 3}, False),
        ("0.31.0", {"method": "ngram", "num_speculative_tokens": 3}, False),
        ("0.32.0", {"method": "ngram", "num_speculative_tokens": 3}, True),
        ("0.30.0", {"method": "draft_model", "model": "/models/small"}, False),
        ("0.31.0", {"method": "draft_model", "model": "/models/small"}, True),
        ("0.31.0", {"method": "draft_model", "model": "/models/small", "use_heterogeneous_vocab": True}, True),
        ("0.32.0", {"method": "draft_model", "model": "/models/small", "use_heterogeneous_vocab": True}, False),
        ("0.26.0", {"method": "eagle3", "model": "/models/eagle"}, True),
        ("0.26.0", {"method": "eagle3", "model": "/models/eagle", "parallel_drafting": True}, False),
        ("0.32.0", {"method": "medusa", "model": "/models/medusa"}, False),
        ("0.33.0", {"method": "medusa", "model": "/models/medusa"}, True),
        ("0.33.0", {"method": "suffix", "num_speculative_tokens": 3}, False),
    ],
)
def test_the_runner_of_a_speculation_is_that_of_the_release(
    version: str, table: dict[str, Any], *, second: bool
) -> None:
    settings = budget_of("llama-3.1-8b", "H200", version, speculative_config=table).settings
    assert settings.second_runner is second


def test_eagle3_on_two_stages_needs_the_first_runner_up_to_0_29() -> None:
    table = {"method": "eagle3", "model": "/models/eagle", "num_speculative_tokens": 3}
    runners = [
        budget_of("llama-3.1-8b", "H200", version, speculative_config=table, pipeline_parallel_size=2)
        for version in ("0.29.0", "0.30.0")
    ]
    assert [b.settings.second_runner for b in runners] == [False, True]
