"""The time until a server answers: the range of its stages, and past starts that show the disk."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cortexctl.engines.disk_rate import ASSUMED, disk_rate
from cortexctl.engines.estimate import summed
from cortexctl.engines.launch_forecast import StartForecast
from cortexctl.engines.vllm.engine import Vllm
from cortexctl.instance.spec import Mount
from cortexctl.observed.record import Applied, HostRecord, Start
from cortexctl.plan.model import TimeRange
from cortexctl.plan.pace import expected_range
from cortexctl.plan.planfile import plan_from_json, plan_to_json
from cortexctl.plan.planner import plan
from cortexctl.render.fit.terminal import budget_text
from cortexctl.render.plan.phrases import cost_text
from cortexctl.render.style import Ink
from tests.build_memory import FILES, desired, observed, running, spec
from tests.memory import budget_of


def start_of(name: str, gpu: str = "H200", version: str = "0.26.0", **args: object) -> StartForecast:
    return budget_of(name, gpu, version, **args).start


def test_an_eager_start_neither_compiles_nor_captures() -> None:
    eager = start_of("qwen3-8b", enforce_eager=True)
    assert (eager.compiling.high, eager.compiled.high, eager.graphs.high) == (0, 0, 0)
    assert eager.total().high < start_of("qwen3-8b").total().high


def test_a_full_cache_of_compiled_graphs_makes_a_start_shorter() -> None:
    start = start_of("qwen3-8b")
    assert start.total(is_first=False).high < start.total().high
    assert start.total(is_first=False).low < start.total().low


def test_what_was_not_measured_has_wider_ranges() -> None:
    known, other = start_of("qwen3-8b"), start_of("qwen3-8b", "L40S")
    assert other.compiling.high == 2 * known.compiling.high
    assert start_of("qwen3-8b", version="0.32.0").graphs.low == known.graphs.low / 2


@pytest.mark.parametrize(
    ("model", "gpu", "version", "seconds"),
    [
        ("granite-4.0-h-small", "L40S", "0.26.0", 250.65),
        ("qwen3.5-27b", "H100", "0.28.0", 203.23),
        ("qwen3-8b", "H100", "0.8.5", 47.93),
    ],
)
def test_published_starts_of_such_models_are_in_the_range(model: str, gpu: str, version: str, seconds: float) -> None:
    """Logs of other cards: two hybrids and a dense model (tests/cases/memory/startlogs.toml)."""
    start = start_of(model, gpu, version)
    engine = summed(start.engine, start.compiling, start.graphs)
    assert engine.low <= seconds <= engine.high


def test_the_time_for_weights_grows_with_them_and_is_assumed() -> None:
    small, large = start_of("qwen3-8b").weights, start_of("llama-3.1-70b", "H200x4", tensor_parallel_size=4).weights
    assert large.value / small.value == pytest.approx(141 / 16.4, rel=0.1)
    assert small.source == "assumed"


def test_the_log_of_a_start_shows_the_rate_of_the_disk() -> None:
    assert rate_in("Loading weights took 5.00 seconds", "Model loading took 15.0 GiB memory and 9.1 seconds") == 3.0


def test_each_gpu_has_a_part_of_the_weights() -> None:
    log = ("Loading weights took 5.00 seconds", "Model loading took 15.0 GiB memory and 9.1 seconds")
    assert rate_in(*log, tensor_parallel_size=2, pipeline_parallel_size=2) == 12.0


@pytest.mark.parametrize(
    "log",
    [
        ("Model loading took 15.0 GiB memory and 9.1 seconds",),  # as with random weights, or after a download
        ("Loading weights took 5.00 seconds",),  # its size is not known yet
        ("Loading weights took 0.01 seconds", "Model loading took 0.1 GiB memory and 1.1 seconds"),
        (),
    ],
    ids=["nothing read", "no size", "too short", "empty"],
)
def test_a_log_without_a_measured_read_shows_no_rate(log: tuple[str, ...]) -> None:
    assert rate_in(*log) is None


def test_a_measured_disk_replaces_the_assumed_rates() -> None:
    assert disk_rate([]) == ASSUMED
    measured = disk_rate([2.0, 3.0, 2.4])
    assert (measured.low, measured.value, measured.high) == pytest.approx((1.0, 2.4, 4.5))
    assert measured.source == "measured here"


def test_rates_of_the_page_cache_do_not_show_a_fast_disk() -> None:
    """Weights that were just downloaded, or served before, are read from memory; others of the same host are not."""
    measured = disk_rate([17.0, 14.0])
    assert measured.low == ASSUMED.value
    assert measured.high == 25.5


def test_a_past_start_narrows_the_time_for_other_weights() -> None:
    """What the stages beside them leave of it is the time for its weights: the rate of the disk."""
    past, other = start_of("qwen3-8b"), start_of("llama-3.1-70b", "H200x4", tensor_parallel_size=4)
    beside = past.total().value - past.weights.value
    slow = other.weights_like(past, beside + past.weights.high)
    assert slow.value == pytest.approx(other.weights.high)
    fast = other.weights_like(past, beside)
    assert fast.value == pytest.approx(other.weights.low)
    assert fast.source == "measured here"
    assert fast.high < other.weights.high


def test_a_plan_shows_the_range_and_that_the_disk_is_not_measured() -> None:
    (change,) = plan(desired(chat=spec(max_model_len=8192)), observed()).changes
    assert change.cost.forecast is not None
    assert change.cost.forecast.by == 0
    assert "forecast, disk not measured" in cost_text(change)


def test_a_past_start_of_the_same_weights_replaces_the_forecast() -> None:
    old = spec(max_model_len=4096)
    seen = replace(observed(running("chat", old)), records={"gpu-1": recorded(Start(90.0, old.server.model))})
    (change,) = plan(desired(chat=spec(max_model_len=8192)), seen).changes
    assert (change.cost.expected, change.cost.forecast) == (92, None)


def test_past_starts_of_other_weights_show_the_disk() -> None:
    old = spec(max_model_len=4096)
    new = desired(chat=spec("llama", gpus=(0, 1, 2, 3), tensor_parallel_size=4, max_model_len=8192))
    without = ranges(new, observed(running("chat", old)))
    record = recorded(Start(60.0, old.server.model), Start(62.0, old.server.model))
    narrowed = ranges(new, replace(observed(running("chat", old)), records={"gpu-1": record}))
    assert (without.by, narrowed.by) == (0, 2)
    assert narrowed.high < without.high


def test_the_rates_of_all_instances_of_a_host_show_its_disk() -> None:
    """The instance itself has never started here."""
    wanted = desired(chat=spec(max_model_len=8192))
    other = replace(recorded(), applied={"gpu-1/other": applied("other", rates=(0.9, 1.1))})
    without, narrowed = ranges(wanted, observed()), ranges(wanted, replace(observed(), records={"gpu-1": other}))
    assert (without.by, narrowed.by) == (0, 2)
    assert without.low < narrowed.low < narrowed.high < without.high


def test_a_replacement_that_stops_first_includes_the_stop() -> None:
    old = spec(max_model_len=4096)
    wanted = desired(chat=spec("llama", gpus=(0, 1, 2, 3), tensor_parallel_size=4, max_model_len=8192))
    never = HostRecord("gpu-1", {"gpu-1/chat": applied("chat", rates=(1.0,))})
    stopped = HostRecord("gpu-1", {"gpu-1/chat": applied("chat", rates=(1.0,), stops=(3.0, 9.0))})
    create = ranges(wanted, replace(observed(), records={"gpu-1": never}))
    seen = observed(running("chat", old))
    unknown, known = (ranges(wanted, replace(seen, records={"gpu-1": r})) for r in (never, stopped))
    assert (unknown.low - create.low, unknown.high - create.high) == (0, old.stop_timeout)
    assert (known.low - create.low, known.high - create.high) == (3, 9)


def test_weights_that_only_the_hub_has_are_named_as_a_download() -> None:
    """Nobody knows how fast it is: the range does not include it, and the host has no expected time."""
    downloaded = {("gpu-1", "/srv/models/qwen"): replace(FILES["gpu-1", "/srv/models/qwen"], from_hub=True)}
    created = plan(desired(chat=spec(max_model_len=8192)), observed(files=downloaded))
    (change,) = created.changes
    there = ranges(desired(chat=spec(max_model_len=8192)), observed())
    assert change.cost.forecast is not None
    assert there.download == 0
    assert (change.cost.forecast.low, change.cost.forecast.high) == (there.low, there.high)
    assert change.cost.forecast.download == pytest.approx(8.19e9 * 2, rel=0.01)  # 8.19 billion parameters
    assert " plus a download of up to 15.3 GiB (forecast, disk not measured)" in cost_text(change)
    assert expected_range(change) is None
    assert plan_from_json(plan_to_json(created)) == created


def test_a_cache_of_compiled_graphs_on_a_mount_may_be_full() -> None:
    plain = spec(max_model_len=8192)
    mounts = (*plain.container.mounts, Mount("/srv/compiled", "/root/.cache/vllm"))
    mounted = replace(plain, container=replace(plain.container, mounts=mounts))
    one, other = ranges(desired(chat=plain), observed()), ranges(desired(chat=mounted), observed())
    assert other.low < one.low
    assert other.high == one.high


def test_a_saved_plan_keeps_the_range() -> None:
    created = plan(desired(chat=spec(max_model_len=8192)), observed())
    assert plan_from_json(plan_to_json(created)) == created


def ranges(wanted: object, seen: object) -> TimeRange:
    (change,) = plan(wanted, seen).changes  # type: ignore[arg-type]
    assert change.cost.forecast is not None
    return change.cost.forecast


def recorded(*starts: Start) -> HostRecord:
    return HostRecord("gpu-1", {"gpu-1/chat": applied("chat", starts, stops=(2.0,))})


def applied(
    model: str, starts: tuple[Start, ...] = (), stops: tuple[float, ...] = (), rates: tuple[float, ...] = ()
) -> Applied:
    return Applied(model, 1, 1, "run1", spec(max_model_len=4096), starts, stops, rates)


def rate_in(*log: str, **args: Any) -> float | None:
    return Vllm().read_rate(log, spec(**args).server)


def fit_text(**args: object) -> str:
    return budget_text(
        "qwen3-8b", budget_of("qwen3-8b", "H200", "0.26.0", max_model_len=8192, **args), Ink(enabled=False)
    )


def test_fit_shows_the_stages_of_a_start() -> None:
    text = fit_text()
    assert (
        "It serves after 55s to 2m30s (forecast): process 10s to 45s, weights (disk not measured) 5s to 1m20s," in text
    )
    assert "With its compiled graphs from a cache: 35s to 2m." in text


def test_fit_leaves_out_the_stages_that_an_eager_start_does_not_have() -> None:
    text = fit_text(enforce_eager=True)
    assert "It serves after" in text
    assert not {"compiling", "compiled"} & set(text.replace(",", " ").split())


def test_fit_shows_no_time_for_a_start_that_is_refused() -> None:
    assert "serves after" not in fit_text(gpu_memory_utilization=0.01)
