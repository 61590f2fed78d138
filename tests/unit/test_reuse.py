"""A measurement of an earlier start is reused only for a start with the same values of everything that it depends on."""

from __future__ import annotations

from typing import Any

import pytest

from cortexctl.engines.gpu_models import gpu_of
from cortexctl.engines.measurement import Measurement, Started, StartLog, same_start
from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.measured import moves_memory, started
from cortexctl.engines.vllm.memory.reuse import NOTHING_MEASURED, Measured, reused
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from tests.memory import facts_of

H100 = gpu_of("H100", 79.25)
LLAMA = facts_of("llama-3.1-8b")
START_LOG = StartLog(
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
"""The same, from a release that logs no more without debugging."""


def this_start(version: str = "0.33.0", gpu: Any = H100, config: str = "digest", **args: Any) -> Started:
    return started("", config, version, gpu, {"max_model_len": 131072, **args}, {})


def measurement(log: StartLog = START_LOG, at: str = "2026-10-06T17:00:41Z", **others: Any) -> Measurement:
    return Measurement(this_start(**others), log, at)


def reuse(wanted: Started, *known: Measurement) -> Measured:
    return reused(known, wanted, LLAMA, H100)


def computed(measured: Measured = NOTHING_MEASURED, version: str = "0.33.0", **args: Any) -> Budget:
    return budget(LLAMA, BudgetInputs({"max_model_len": 131072, **args}, H100, version, measured=measured))


def test_the_same_start_again_has_the_measured_values() -> None:
    result = computed(reuse(this_start(), measurement()))
    assert (int(result.tokens.value), round(result.concurrency.value, 2)) == (460496, 3.51)
    assert {result.tokens.source, result.tightest.weights.source, result.tightest.available.source} == {"measured here"}
    assert result.tightest.available.value == 56.21
    assert result.notes == ("measured here on 2026-10-06: a start with exactly these arguments",)


def test_logged_blocks_count_more_than_a_rounded_size() -> None:
    result = computed(reuse(this_start(), measurement(StartLog(available_kv_gib=56.21, num_gpu_blocks=28_770))))
    assert result.blocks.value == 28_770


def test_tokens_alone_give_the_cache_if_a_release_logs_no_more() -> None:
    log = StartLog(weights_gib=14.99, kv_cache_tokens=460_480)
    known = Measurement(this_start("0.8.5"), log, "2026-10-06")
    result = computed(reused([known], this_start("0.8.5"), LLAMA, H100), "0.8.5")
    assert (result.blocks.value, int(result.tokens.value)) == (28_780, 460_480)
    assert result.tightest.available.value == pytest.approx(56.21, abs=0.01)


@pytest.mark.parametrize("args", [{"gpu_memory_utilization": 0.8}, {"max_model_len": 8192}, {"block_size": 32}])
def test_options_that_only_divide_the_rest_keep_every_part(args: dict[str, Any]) -> None:
    result = reuse(this_start(**args), measurement())
    assert (result.weights_gib, result.non_torch_gib, result.transient_gib, result.graphs_gib) == (
        15.0,
        0.26,
        1.44,
        0.0,
    )
    assert (result.available_gib, result.blocks, result.tokens) == (None, None, None)
    (note,) = result.notes
    assert note.endswith(f"from a start with {next(iter(args))} {131072 if 'max_model_len' in args else 'unset'}")


def test_less_of_the_gpu_leaves_so_much_less() -> None:
    less = computed(reuse(this_start(gpu_memory_utilization=0.8), measurement()), gpu_memory_utilization=0.8)
    assert less.tightest.available.value == pytest.approx(0.8 * 79.25 - 15.0 - 0.26 - 1.44, abs=0.001)
    assert less.tightest.available.low == less.tightest.available.high


@pytest.mark.parametrize("args", [{"max_num_seqs": 64}, {"max_num_batched_tokens": 2048}, {"kv_cache_dtype": "fp8"}])
def test_other_batches_and_caches_keep_weights_and_memory_outside_torch(args: dict[str, Any]) -> None:
    result = reuse(this_start(**args), measurement())
    assert (result.weights_gib, result.non_torch_gib, result.transient_gib) == (15.0, 0.26, None)


def test_batches_that_come_to_the_same_are_the_same() -> None:
    assert reuse(this_start(max_num_seqs=1024), measurement()).transient_gib == 1.44


@pytest.mark.parametrize("args", [{"quantization": "fp8"}, {"enable_lora": True}, {"cpu_offload_gb": 4.0}])
def test_other_weights_keep_the_memory_outside_torch(args: dict[str, Any]) -> None:
    result = reuse(this_start(**args), measurement())
    assert (result.weights_gib, result.non_torch_gib, result.transient_gib) == (None, 0.26, None)


def test_another_model_on_the_gpu_gives_the_memory_outside_torch() -> None:
    result = reuse(this_start(), measurement(config="another"))
    assert result == Measured(
        non_torch_gib=0.26,
        notes=("measured here on 2026-10-06: memory outside torch, from a start with another model (by its config)",),
    )


@pytest.mark.parametrize(
    "known",
    [
        measurement(gpu=gpu_of("L40S")),
        measurement(version="0.24.0"),
        measurement(tensor_parallel_size=2),
    ],
    ids=["another GPU", "another release", "another split"],
)
def test_nothing_is_reused_from_a_different_start(known: Measurement) -> None:
    assert reuse(this_start(), known) == NOTHING_MEASURED


def test_a_patch_of_the_release_keeps_weights_alone() -> None:
    result = reuse(this_start("0.20.2"), measurement(version="0.20.0"))
    assert (result.weights_gib, result.non_torch_gib, result.transient_gib) == (15.0, None, None)


def test_nothing_is_reused_for_an_unknown_release() -> None:
    assert reuse(this_start(""), measurement(version="")) == NOTHING_MEASURED


def test_the_latest_start_counts() -> None:
    old = measurement(StartLog(weights_gib=14.0, available_kv_gib=50.0), at="2026-10-05T00:00:00Z")
    assert reuse(this_start(), old, measurement()).available_gib == 56.21
    assert same_start([measurement(), old], this_start()) == measurement()


def test_a_sum_without_its_parts_stays_a_sum() -> None:
    measured = reuse(this_start("0.17.1", gpu_memory_utilization=0.8), measurement(INFO_ONLY, version="0.17.1"))
    assert measured.together_gib == pytest.approx(0.9 * 79.25 - 15.0 - 56.21)
    result = computed(measured, "0.17.1", gpu_memory_utilization=0.8)
    at = result.tightest
    assert at.available.value == pytest.approx(56.21 - 0.1 * 79.25)
    assert (at.non_torch.source, at.transient.source) == ("measured here", "measured here")


def test_the_parts_of_a_pipeline_are_not_reused_but_its_blocks_are() -> None:
    log = StartLog(weights_gib=8.0, available_kv_gib=60.0, num_gpu_blocks=60_000, transient_gib=1.0)
    assert reuse(this_start(pipeline_parallel_size=2), measurement(log, pipeline_parallel_size=2)).blocks == 60_000
    assert reuse(this_start(pipeline_parallel_size=2, max_num_seqs=8), measurement(log, pipeline_parallel_size=2)) == (
        NOTHING_MEASURED
    )


def test_a_name_identifies_the_model_if_there_is_no_config() -> None:
    known = Measurement(started("org/m@abc", "", "0.33.0", H100, {}, {}), START_LOG, "2026-10-06")
    assert same_start([known], started("org/m@abc", "digest", "0.33.0", H100, {}, {})) == known
    assert same_start([known], started("org/m@def", "digest", "0.33.0", H100, {}, {})) is None
    other = Measurement(started("org/m@abc", "older", "0.33.0", H100, {}, {}), START_LOG, "2026-10-06")
    assert same_start([other], started("org/m@abc", "digest", "0.33.0", H100, {}, {})) is None


def test_spelling_defaults_and_options_that_move_no_memory_make_no_difference() -> None:
    plain = started("m", "", "0.33.0", H100, {}, {})
    args = {"tensor_parallel_size": 1, "port": 8001, "served_model_name": ["x"], "seed": 7, "api_key": "planted-value"}
    assert (
        started("m", "", "0.33.0", H100, args, {"VLLM_API_KEY": "planted-value", "HF_TOKEN": "planted-value"}) == plain
    )
    assert moves_memory("an_option_of_tomorrow")


def test_variables_count_and_are_not_shown() -> None:
    one = started("m", "", "0.33.0", H100, {}, {"VLLM_USE_V2_MODEL_RUNNER": "0"})
    assert one != started("m", "", "0.33.0", H100, {}, {})
    assert "RUNNER" not in repr(one)
