"""What an earlier start measured holds for another one only where all that it depends on is the same."""

from __future__ import annotations

from typing import Any

import pytest

from cortexctl.engines.gpu_models import gpu_of
from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.measured import Measurement, Started, moves_memory, started
from cortexctl.engines.vllm.memory.reuse import NOTHING_MEASURED, Measured, reused, same_start
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from cortexctl.engines.vllm.memory.startlog import StartLog
from tests.memory import facts_of

H100 = gpu_of("H100", 79.25)
LLAMA = facts_of("llama-3.1-8b")
TOLD = StartLog(
    weights_gib=15.0,
    non_torch_gib=0.26,
    transient_gib=1.44,
    graphs_gib=0.0,
    requested_gib=72.91,
    available_kv_gib=56.21,
    kv_cache_tokens=460496,
    max_concurrency=3.51,
)
"""An 8B on an H100, by a release after 0.32."""
INFO_ONLY = StartLog(weights_gib=15.0, graphs_gib=0.0, available_kv_gib=56.21)
"""The same, of a release that tells no more without debugging."""


def begun(version: str = "0.33.0", gpu: Any = H100, config: str = "digest", **args: Any) -> Started:
    return started("", config, version, gpu, {"max_model_len": 131072, **args}, {})


def told(said: StartLog = TOLD, at: str = "2026-10-06T17:00:41Z", **others: Any) -> Measurement:
    return Measurement(begun(**others), said, at)


def reuse(wanted: Started, *known: Measurement) -> Measured:
    return reused(known, wanted, LLAMA, H100)


def computed(measured: Measured = NOTHING_MEASURED, version: str = "0.33.0", **args: Any) -> Budget:
    return budget(LLAMA, BudgetInputs({"max_model_len": 131072, **args}, H100, version, measured=measured))


def test_the_same_start_again_has_what_it_had() -> None:
    found = computed(reuse(begun(), told()))
    assert (int(found.tokens.value), round(found.concurrency.value, 2)) == (460496, 3.51)
    assert {found.tokens.source, found.tightest.weights.source, found.tightest.available.source} == {"measured here"}
    assert found.tightest.available.value == 56.21
    assert found.notes == ("measured here on 2026-10-06: a start with exactly these arguments",)


def test_blocks_that_were_said_count_more_than_a_rounded_size() -> None:
    found = computed(reuse(begun(), told(StartLog(available_kv_gib=56.21, num_gpu_blocks=28_770))))
    assert found.blocks.value == 28_770


def test_tokens_alone_tell_the_cache_where_a_release_says_no_more() -> None:
    said = StartLog(weights_gib=14.99, kv_cache_tokens=460_480)
    known = Measurement(begun("0.8.5"), said, "2026-10-06")
    found = computed(reused([known], begun("0.8.5"), LLAMA, H100), "0.8.5")
    assert (found.blocks.value, int(found.tokens.value)) == (28_780, 460_480)
    assert found.tightest.available.value == pytest.approx(56.21, abs=0.01)


@pytest.mark.parametrize("args", [{"gpu_memory_utilization": 0.8}, {"max_model_len": 8192}, {"block_size": 32}])
def test_what_only_divides_the_rest_keeps_every_part(args: dict[str, Any]) -> None:
    found = reuse(begun(**args), told())
    assert (found.weights_gib, found.non_torch_gib, found.transient_gib, found.graphs_gib) == (15.0, 0.26, 1.44, 0.0)
    assert (found.available_gib, found.blocks, found.tokens) == (None, None, None)
    (note,) = found.notes
    assert note.endswith(f"from a start with {next(iter(args))} {131072 if 'max_model_len' in args else 'unset'}")


def test_less_of_the_gpu_leaves_so_much_less() -> None:
    less = computed(reuse(begun(gpu_memory_utilization=0.8), told()), gpu_memory_utilization=0.8)
    assert less.tightest.available.value == pytest.approx(0.8 * 79.25 - 15.0 - 0.26 - 1.44, abs=0.001)
    assert less.tightest.available.low == less.tightest.available.high


@pytest.mark.parametrize("args", [{"max_num_seqs": 64}, {"max_num_batched_tokens": 2048}, {"kv_cache_dtype": "fp8"}])
def test_other_batches_and_caches_keep_weights_and_what_is_outside_torch(args: dict[str, Any]) -> None:
    found = reuse(begun(**args), told())
    assert (found.weights_gib, found.non_torch_gib, found.transient_gib) == (15.0, 0.26, None)


def test_batches_that_come_to_the_same_are_the_same() -> None:
    assert reuse(begun(max_num_seqs=1024), told()).transient_gib == 1.44


@pytest.mark.parametrize("args", [{"quantization": "fp8"}, {"enable_lora": True}, {"cpu_offload_gb": 4.0}])
def test_other_weights_keep_what_is_outside_torch(args: dict[str, Any]) -> None:
    found = reuse(begun(**args), told())
    assert (found.weights_gib, found.non_torch_gib, found.transient_gib) == (None, 0.26, None)


def test_another_model_on_the_gpu_tells_what_is_outside_torch() -> None:
    found = reuse(begun(), told(config="another"))
    assert found == Measured(
        non_torch_gib=0.26,
        notes=("measured here on 2026-10-06: memory outside torch, from a start with another model (by its config)",),
    )


@pytest.mark.parametrize(
    "known",
    [
        told(gpu=gpu_of("L40S")),
        told(version="0.24.0"),
        told(tensor_parallel_size=2),
    ],
    ids=["another GPU", "another release", "another split"],
)
def test_nothing_holds_of_another(known: Measurement) -> None:
    assert reuse(begun(), known) == NOTHING_MEASURED


def test_a_patch_of_the_release_keeps_weights_alone() -> None:
    found = reuse(begun("0.20.2"), told(version="0.20.0"))
    assert (found.weights_gib, found.non_torch_gib, found.transient_gib) == (15.0, None, None)


def test_an_unknown_release_takes_nothing_over() -> None:
    assert reuse(begun(""), told(version="")) == NOTHING_MEASURED


def test_the_latest_start_counts() -> None:
    old = told(StartLog(weights_gib=14.0, available_kv_gib=50.0), at="2026-10-05T00:00:00Z")
    assert reuse(begun(), old, told()).available_gib == 56.21
    assert same_start([told(), old], begun()) == told()


def test_a_sum_that_nothing_splits_is_kept_as_a_sum() -> None:
    measured = reuse(begun("0.17.1", gpu_memory_utilization=0.8), told(INFO_ONLY, version="0.17.1"))
    assert measured.together_gib == pytest.approx(0.9 * 79.25 - 15.0 - 56.21)
    found = computed(measured, "0.17.1", gpu_memory_utilization=0.8)
    at = found.tightest
    assert at.available.value == pytest.approx(56.21 - 0.1 * 79.25)
    assert (at.non_torch.source, at.transient.source) == ("measured here", "measured here")


def test_parts_of_a_pipeline_are_nobodys_but_blocks_are_everybodys() -> None:
    said = StartLog(weights_gib=8.0, available_kv_gib=60.0, num_gpu_blocks=60_000, transient_gib=1.0)
    assert reuse(begun(pipeline_parallel_size=2), told(said, pipeline_parallel_size=2)).blocks == 60_000
    assert reuse(begun(pipeline_parallel_size=2, max_num_seqs=8), told(said, pipeline_parallel_size=2)) == (
        NOTHING_MEASURED
    )


def test_a_name_tells_the_model_where_a_config_is_not_at_hand() -> None:
    known = Measurement(started("org/m@abc", "", "0.33.0", H100, {}, {}), TOLD, "2026-10-06")
    assert same_start([known], started("org/m@abc", "digest", "0.33.0", H100, {}, {})) == known
    assert same_start([known], started("org/m@def", "digest", "0.33.0", H100, {}, {})) is None
    other = Measurement(started("org/m@abc", "older", "0.33.0", H100, {}, {}), TOLD, "2026-10-06")
    assert same_start([other], started("org/m@abc", "digest", "0.33.0", H100, {}, {})) is None


def test_spelling_defaults_and_what_moves_no_memory_make_no_difference() -> None:
    plain = started("m", "", "0.33.0", H100, {}, {})
    words = {"tensor_parallel_size": 1, "port": 8001, "served_model_name": ["x"], "seed": 7, "api_key": "planted-value"}
    assert (
        started("m", "", "0.33.0", H100, words, {"VLLM_API_KEY": "planted-value", "HF_TOKEN": "planted-value"}) == plain
    )
    assert moves_memory("an_option_of_tomorrow")


def test_variables_count_and_are_not_told() -> None:
    one = started("m", "", "0.33.0", H100, {}, {"VLLM_USE_V2_MODEL_RUNNER": "0"})
    assert one != started("m", "", "0.33.0", H100, {}, {})
    assert "RUNNER" not in repr(one)
