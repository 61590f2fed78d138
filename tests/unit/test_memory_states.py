"""States of hybrids and of models without attention: cache modes by release, and what a request holds of them."""

from __future__ import annotations

from typing import Any

import pytest

from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.model_facts import read_facts
from cortexctl.engines.vllm.memory.settings import Settings
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from cortexctl.engines.vllm.memory.states import States
from tests.memory import budget_of, config_of, facts_of

GIB = 2**30
MAMBA = {
    "architectures": ["MambaForCausalLM"],
    "model_type": "mamba",
    "hidden_size": 2560,
    "intermediate_size": 5120,
    "state_size": 16,
    "num_hidden_layers": 64,
    "vocab_size": 50280,
    "conv_kernel": 4,
    "time_step_rank": 160,
    "torch_dtype": "bfloat16",
}


def settings_of(name: str, version: str, **args: Any) -> Settings:
    return budget_of(name, None, version, available=8.0, **args).settings


def mamba(version: str, available: int, **args: Any) -> Budget:
    facts = read_facts(MAMBA, args)
    return budget(facts, BudgetInputs(args, version=version, available_gib=available / GIB))


@pytest.mark.parametrize(
    ("version", "args", "states"),
    [
        ("0.11.0", {"enable_prefix_caching": True}, States("none", 1)),
        ("0.11.1", {"enable_prefix_caching": True}, States("all", 0, grows=True, chunk=256)),
        ("0.14.1", {"enable_prefix_caching": True}, States("all", 0, grows=True, chunk=256)),
        ("0.26.0", {}, States("none", 1)),
        ("0.26.0", {"enable_prefix_caching": True}, States("all", 0, grows=True, chunk=256)),
        ("0.26.0", {"enable_prefix_caching": True, "mamba_block_size": 512}, States("all", 0, grows=True, chunk=512)),
        ("0.26.0", {"enable_prefix_caching": True, "mamba_cache_mode": "align"}, States("align", 2)),
        ("0.26.0", {"mamba_cache_mode": "all"}, States("none", 1)),
        ("0.27.1", {"enable_prefix_caching": True}, States("all", 0, grows=True, chunk=256)),
        ("0.28.0", {}, States("align", 2)),
        ("0.31.0", {"mamba_cache_mode": "all"}, States("all", 0, grows=True, chunk=256)),
        ("0.32.0", {}, States("align", 3)),
        ("0.33.0", {"enable_prefix_caching": False}, States("none", 1)),
    ],
)
def test_the_mode_of_a_family_whose_kernels_start_from_any_block(
    version: str, args: dict[str, Any], states: States
) -> None:
    assert settings_of("granite-4.0-h-small", version, **args).states == states


@pytest.mark.parametrize(
    ("version", "states"),
    [("0.14.1", States("none", 1)), ("0.15.0", States("align", 2)), ("0.26.0", States("align", 2))],
)
def test_the_mode_of_other_families_with_prefix_caching(version: str, states: States) -> None:
    settings = settings_of("qwen3-next-80b-a3b", version, enable_prefix_caching=True)
    assert settings.states == states
    assert settings.prefix_caching == (states.mode != "none")


@pytest.mark.parametrize(
    ("version", "prefixes", "states"),
    [
        ("0.14.0", False, States("none", 1)),
        ("0.15.0", False, States("none", 4)),
        ("0.19.0", True, States("all", 0, grows=True, chunk=2048)),
        ("0.20.0", True, States("align", 5)),
        ("0.22.0", True, States("all", 3, grows=True, chunk=2048)),
    ],
)
def test_draft_tokens_need_states_of_their_own(version: str, prefixes: bool, states: States) -> None:
    drafts = {"method": "ngram", "num_speculative_tokens": 3}
    settings = settings_of("jamba-mini", version, enable_prefix_caching=prefixes, speculative_config=drafts)
    assert settings.states == states


def test_a_state_for_every_block_makes_blocks_of_whole_chunks() -> None:
    at = {"available": 20.0, "max_model_len": 131072}
    every = budget_of("granite-4.0-h-small", None, "0.26.0", enable_prefix_caching=True, **at)
    once = budget_of("granite-4.0-h-small", None, "0.26.0", **at)
    pool, other = every.tightest.pool, once.tightest.pool
    assert pool.block_size % 256 == 0
    assert other.block_size % 256 != 0
    assert pool.per_request(131072) == pool.tables * -(-131072 // pool.block_size)
    assert other.per_request(131072) == other.tables - 1 + -(-131072 // other.block_size)


def test_attention_blocks_grow_by_the_set_block_since_0_20_and_by_16_before() -> None:
    before = budget_of("qwen3-next-80b-a3b", None, "0.19.0", available=8.0, block_size=64).tightest.pool
    since = budget_of("qwen3-next-80b-a3b", None, "0.20.0", available=8.0, block_size=64).tightest.pool
    assert before.block_size % 64 != 0
    assert since.block_size % 64 == 0
    assert before.block_size < since.block_size


def test_mamba_has_one_state_a_request_and_nothing_that_grows() -> None:
    result = mamba("0.26.0", 131404722791)  # measured: 10553 blocks of 64 states, 21,612,544 tokens
    assert result.settings.max_model_len == 2048
    assert result.tightest.pool.block_bytes == 64 * 194560
    assert (result.blocks.value, result.tokens.value, result.concurrency.value) == (10553, 21612544, 10553.0)
    assert not result.settings.prefix_caching
    assert not result.settings.second_runner
    assert result.verdict == "starts"


def test_mamba_with_prefix_caching_has_a_state_for_every_block() -> None:
    once, every = mamba("0.26.0", 64 * GIB), mamba("0.26.0", 64 * GIB, enable_prefix_caching=True)
    assert every.settings.states == States("all", 0, grows=True, chunk=2048)
    assert every.concurrency.value == pytest.approx(once.concurrency.value / (2048 / 16), rel=0.01)


def test_mamba_2_reads_its_own_keys() -> None:
    config = {
        "architectures": ["Mamba2ForCausalLM"],
        "model_type": "mamba2",
        "hidden_size": 4096,
        "num_heads": 128,
        "head_dim": 64,
        "n_groups": 8,
        "state_size": 128,
        "conv_kernel": 4,
        "expand": 2,
        "num_hidden_layers": 64,
        "vocab_size": 32768,
        "tie_word_embeddings": False,
    }
    facts = read_facts(config)
    assert not facts.unknown
    assert facts.heads == 0
    pool = budget(facts, BudgetInputs({}, version="0.26.0", available_gib=64.0)).tightest.pool
    rows = 8192 + 2 * 8 * 128
    assert pool.block_bytes == 64 * 2 * (3 * rows + 128 * 64 * 128)


def test_the_head_of_a_language_model_is_no_pooling_model() -> None:
    base = config_of("llama-3.1-8b")
    assert not read_facts({**base, "architectures": ["GPT2LMHeadModel"]}).pooling
    assert not read_facts({**base, "architectures": ["QWenLMHeadModel"]}).pooling
    assert read_facts({**base, "architectures": ["LlamaModel"]}).pooling


def test_gpt_2_runs_on_the_second_runner() -> None:
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_embd": 1280,
        "n_layer": 36,
        "n_head": 20,
        "n_positions": 1024,
        "vocab_size": 50257,
    }
    gpu = BudgetInputs({}, version="0.26.0", available_gib=8.0)
    assert budget(read_facts(config), gpu).settings.second_runner


def test_facts_of_a_hybrid_have_the_chunk_of_its_kernels() -> None:
    assert facts_of("granite-4.0-h-small").state_chunk == 256
    assert facts_of("jamba-mini").state_chunk == 2048


@pytest.mark.parametrize(
    ("version", "args", "noted"),
    [("0.32.0", {}, False), ("0.33.0", {}, True), ("0.33.0", {"enable_prefix_caching": False}, False)],
)
def test_a_note_names_the_state_that_flashinfer_may_add(version: str, args: dict[str, Any], noted: bool) -> None:
    notes = budget_of("qwen3-next-80b-a3b", None, version, available=60.0, **args).notes
    assert any("FlashInfer" in note for note in notes) == noted
