"""Memory in a plan: before and after, the refusals and the doubts, and the holders of a GPU."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cortexctl.desired.stack import Host, Instance
from cortexctl.diagnostics import Severity
from cortexctl.engines.launch_forecast import Unknown
from cortexctl.instance.spec import Spec
from cortexctl.model_files.files import ModelFiles
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.operations.fit import FitInputs, fit_models
from cortexctl.plan.capacity.capacity import room_in_stack
from cortexctl.plan.capacity.plan_memory import Forecaster
from cortexctl.plan.model import Plan
from cortexctl.plan.needs import needs
from cortexctl.plan.planfile import NotAPlan, digest_of, plan_from_json, plan_to_dict, plan_to_json
from cortexctl.plan.planner import plan
from cortexctl.plan.request import Request
from tests.build_memory import FILES, HOST, LLAMA, desired, observed, running, spec
from tests.memory import config_of
from tests.specs import change_spec


def memory_rules(planned: Plan) -> list[tuple[str, str]]:
    return [(d.rule, d.severity.value) for d in planned.diagnostics if d.rule in {"CX316", "CX317", "CX318"}]


def test_a_replacement_has_both_sides() -> None:
    before, after = spec(max_model_len=8192), spec(max_model_len=8192, kv_cache_dtype="fp8")
    planned = plan(desired(chat=after), observed(running("chat", before)))
    (forecast,) = planned.forecasts
    assert (forecast.address, forecast.gpus, forecast.why_unknown, forecast.why_unknown_before) == (
        "gpu-1/chat",
        (0,),
        "",
        "",
    )
    assert forecast.before is not None
    assert forecast.after is not None
    assert forecast.after.concurrency.value == pytest.approx(2 * forecast.before.concurrency.value, rel=0.01)
    assert memory_rules(planned) == []
    assert [(line.gpu, [s.holder for s in line.shares]) for line in planned.ledger] == [(0, ["gpu-1/chat"])]


def test_a_plan_without_changes_needs_no_files_and_computes_nothing() -> None:
    same = spec(max_model_len=8192)
    observation = observed(running("chat", same), files={})
    assert needs(desired(chat=same), observation).models == ()
    planned = plan(desired(chat=same), observation)
    assert (planned.forecasts, planned.ledger) == ((), ())


def test_files_are_needed_of_new_and_old_instances_and_of_sharers_with_a_fixed_cache() -> None:
    pinned = spec("beside", kv_cache_memory_bytes=1)
    observation = observed(running("chat", spec("llama")), running("beside", pinned), files={})
    wanted = desired(chat=spec("qwen"), beside=pinned, far=change_spec(spec("far", ()), gpus=()))
    assert [s.name for s in needs(wanted, observation).models] == [
        f"/srv/models/{n}" for n in ("beside", "llama", "qwen")
    ]
    nameless = replace(wanted, hosts=(replace(HOST, gpu_name="", gpu_memory=None),))
    assert needs(nameless, observation).models == ()


@pytest.mark.parametrize(
    ("wanted", "rule"),
    [
        (spec(gpus=(0, 1, 2), tensor_parallel_size=3), "heads"),
        (spec(max_model_len=99999), "length"),
        (spec(max_model_len=4096, max_num_seqs=512, max_num_batched_tokens=256), "batch"),
        (spec("llama", max_model_len=4096), "weights"),
        (spec(max_model_len=40960, gpu_memory_utilization=0.45), "one request"),
    ],
)
def test_a_foreseen_refusal_of_vllm_is_an_error_with_its_text(wanted: Spec, rule: str) -> None:
    planned = plan(desired(chat=wanted), observed())
    assert memory_rules(planned) == [("CX316", "error")]
    (forecast,) = planned.forecasts
    assert forecast.after is not None
    assert forecast.after.refusal is not None
    assert forecast.after.refusal.rule == rule
    (diagnostic,) = [d for d in planned.diagnostics if d.rule == "CX316"]
    assert forecast.after.refusal.text in diagnostic.detail
    assert forecast.after.refusal.advice in diagnostic.help


@pytest.mark.parametrize(
    "wanted",
    [
        spec(max_model_len=32768, gpu_memory_utilization=0.48),
        change_spec(spec("llama", max_model_len=4096), version=None),
        change_spec(spec("llama", max_model_len=4096), extra_args=("--a-plugin-has-it",)),
        spec(max_model_len=99999, hf_overrides={"rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
        change_spec(spec(max_model_len=99999), env={"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}),
    ],
)
def test_a_doubtful_refusal_is_a_warning(wanted: Spec) -> None:
    assert memory_rules(plan(desired(chat=wanted), observed())) == [("CX317", "warning")]


def test_an_unknown_family_is_doubted_where_memory_decides_and_not_where_heads_do() -> None:
    files = {("gpu-1", "/srv/models/llama"): ModelFiles({**config_of("llama-3.1-70b"), "model_type": "never_seen"})}
    assert memory_rules(plan(desired(chat=spec("llama")), observed(files=files))) == [("CX317", "warning")]
    heads = desired(chat=spec("llama", (0, 1, 2), tensor_parallel_size=3))
    assert memory_rules(plan(heads, observed(files=files))) == [("CX316", "error")]


def test_the_same_error_on_many_hosts_is_reported_once() -> None:
    hosts = tuple(replace(HOST, name=f"gpu-{n}", docker=f"unix:///{n}") for n in range(1, 6))
    wanted = replace(
        desired(),
        hosts=hosts,
        instances=tuple(Instance(h.name, "chat", spec("llama", max_model_len=4096)) for h in hosts),
    )
    files = {(h.name, "/srv/models/llama"): LLAMA for h in hosts}
    observation = Observed(tuple(ObservedHost(h.name, (), "Docker", "1.41") for h in hosts), model_files=files)
    (diagnostic,) = [d for d in plan(wanted, observation).diagnostics if d.rule == "CX316"]
    assert diagnostic.summary.startswith("gpu-1/chat, gpu-2/chat, gpu-3/chat and 2 more: ")


def test_launch_anyway_makes_a_warning_of_one_error_and_no_other() -> None:
    wanted = desired(a=spec("llama", max_model_len=4096), b=spec("llama", (1,), max_model_len=4096))
    planned = plan(wanted, observed(), Request(launch_anyway=("gpu-1/a",)))
    severities = {d.summary[:7]: d.severity for d in planned.diagnostics if d.rule == "CX316"}
    assert severities == {"gpu-1/a": Severity.WARNING, "gpu-1/b": Severity.ERROR}
    nothing = plan(wanted, observed(), Request(launch_anyway=("c",)))
    assert "CX408" in {d.rule for d in nothing.diagnostics}


@pytest.mark.parametrize(
    ("wanted", "files", "host", "why"),
    [
        (spec(), {}, HOST, "its config.json was not read"),
        (spec(), {("gpu-1", "/srv/models/qwen"): ModelFiles(problem="it is away")}, HOST, "it is away"),
        (spec(), {("gpu-1", "/srv/models/qwen"): ModelFiles({"a": 1})}, HOST, "config.json has no hidden_size"),
        (spec(), FILES, Host("gpu-1", "x"), "the stack does not declare the GPUs of gpu-1 (hosts.gpu-1.gpus)"),
        (spec(), FILES, Host("gpu-1", "x", gpu_name="Unheard Of"), "the memory of"),
        (change_spec(spec(), model="/models/a.gguf"), FILES, HOST, "GGUF files are not supported by the forecast"),
    ],
)
def test_an_unknown_forecast_has_a_reason(
    wanted: Spec, files: Mapping[tuple[str, str], ModelFiles], host: Host, why: str
) -> None:
    with pytest.raises(Unknown, match=re.escape(why)):
        Forecaster(files).of(wanted, host)
    planned = plan(replace(desired(chat=wanted), hosts=(host,)), observed(files=files))
    assert planned.forecasts[0].after is None
    assert why in planned.forecasts[0].why_unknown
    assert memory_rules(planned) == []


@pytest.mark.parametrize(("total", "source"), [(16381470720, "headers"), (123, "config"), (10**12, "config")])
def test_an_index_counts_unless_it_is_another_models(total: int, source: str) -> None:
    files = {("gpu-1", "/srv/models/qwen"): ModelFiles(config_of("qwen3-8b"), total=total)}
    budget = Forecaster(files).of(spec(), HOST)
    assert budget.decides.weights.source == source
    assert budget.decides.weights.value == pytest.approx(15.27, abs=0.05)


@pytest.mark.parametrize("value", ["x", [], {}, None, -1, 0, 10**40, 1.5, True, "auto"])
@pytest.mark.parametrize(
    "key", ["num_hidden_layers", "num_attention_heads", "head_dim", "quantization_config", "vocab_size"]
)
def test_no_config_makes_a_plan_fail(key: str, value: object) -> None:
    files = {("gpu-1", "/srv/models/qwen"): ModelFiles({**config_of("qwen3-8b"), key: value})}
    (forecast,) = plan(desired(chat=spec()), observed(files=files)).forecasts
    assert forecast.after is not None or forecast.why_unknown


def test_a_config_that_sums_up_more_layers_than_it_has_makes_no_plan_wait() -> None:
    config = {k: v for k, v in config_of("qwen3-8b").items() if k != "layer_types"}
    files = {("gpu-1", "/srv/models/qwen"): ModelFiles({**config, "layer_types_summary": {"full_attention": 10**15}})}
    (forecast,) = plan(desired(chat=spec()), observed(files=files)).forecasts
    assert forecast.after is not None


GIB = 2**30


def test_a_gpu_that_is_promised_twice_is_an_error_and_a_close_one_a_warning() -> None:
    def two(cache: float) -> list[tuple[str, str]]:
        each: dict[str, Any] = {
            "gpu_memory_utilization": 0.5,
            "max_model_len": 4096,
            "kv_cache_memory_bytes": int(cache * GIB),
        }
        return memory_rules(plan(desired(a=spec(**each), b=spec(**each)), observed()))

    assert two(3) == []
    assert two(6.5) == [("CX317", "warning")]
    assert two(9) == [("CX318", "error")]


def test_shares_that_sum_to_more_than_one_are_reported_once() -> None:
    planned = plan(desired(a=spec(max_model_len=4096), b=spec(max_model_len=4096)), observed())
    assert "CX208" in {d.rule for d in planned.diagnostics}
    assert memory_rules(planned) == []


def test_a_gpu_is_reported_despite_similar_names_on_another() -> None:
    whole: dict[str, Any] = {"max_model_len": 4096}
    pinned = {**whole, "gpu_memory_utilization": 0.5, "kv_cache_memory_bytes": 9 * GIB}
    wanted = desired(ab=spec(**whole), xy=spec(**whole), a=spec("qwen", (1,), **pinned), x=spec("qwen", (1,), **pinned))
    planned = plan(wanted, observed())
    assert ("CX318", "error") in memory_rules(planned)


def test_all_of_a_gpu_may_be_shared_out() -> None:
    half: dict[str, Any] = {"gpu_memory_utilization": 0.5, "max_model_len": 4096}
    assert memory_rules(plan(desired(a=spec(**half), b=spec(**half)), observed())) == []


def test_the_ledger_has_new_excluded_and_other_stacks_instances_but_no_removed_ones() -> None:
    share: dict[str, Any] = {"gpu_memory_utilization": 0.3, "max_model_len": 4096}
    observation = observed(
        running("old", spec(**share)),
        running("left", spec(**share)),
        running("theirs", spec(**share), stack="other"),
    )
    wanted = desired(new=spec(**share), left=spec(**share, seed=1))
    planned = plan(wanted, observation, Request(exclude=("left",)))
    (line,) = planned.ledger
    assert [s.holder for s in line.shares] == ["gpu-1/left", "gpu-1/new", "vllm-model-theirs of other"]
    assert line.taken == pytest.approx(0.9 * line.total, rel=0.01)
    assert not line.over


SHARED = {
    "one sharer": {"a": spec(gpu_memory_utilization=0.5)},
    "too much": {"a": spec(gpu_memory_utilization=0.5), "b": spec(gpu_memory_utilization=0.6)},
    "fixed cache": {
        "a": spec(kv_cache_memory_bytes=4 * GIB, max_model_len=4096),
        "b": spec(gpu_memory_utilization=0.4),
    },
    "no cache": {"a": spec("encoder", gpu_memory_utilization=0.5, max_model_len=512)},
    "stages": {"a": spec("llama", (2, 3), pipeline_parallel_size=2, kv_cache_memory_bytes=GIB)},
}


@pytest.mark.parametrize("models", SHARED.values(), ids=SHARED)
def test_fit_and_plan_have_the_same_ledger(models: dict[str, Spec]) -> None:
    wanted, files = desired(**models), {**FILES, ("gpu-1", "/srv/models/encoder"): ModelFiles(config_of("bge-m3"))}
    planned = room_in_stack(wanted, files).ledger
    job = fit_models(wanted, files, FitInputs())
    assert job.unknown == {}
    assert job.ledger(job.budgets()) == planned
    assert planned


def test_shares_of_a_gpu_are_added_up() -> None:
    (line,) = room_in_stack(desired(**SHARED["too much"]), FILES).ledger
    assert [s.holder for s in line.shares] == ["gpu-1/a", "gpu-1/b"]
    assert line.taken == pytest.approx(1.1 * line.total, rel=0.001)
    assert line.over


def test_stages_take_the_gpus_in_order() -> None:
    planned = plan(desired(big=spec("llama", (2, 3), pipeline_parallel_size=2, kv_cache_memory_bytes=GIB)), observed())
    (forecast,) = planned.forecasts
    assert forecast.after is not None
    assert len(forecast.after.stages) == 2
    assert [line.gpu for line in planned.ledger] == [2, 3]
    first, last = (line.shares[0].taken for line in planned.ledger)
    assert first - last == pytest.approx(
        sum(getattr(forecast.after.stages[0], p).value - getattr(forecast.after.stages[1], p).value
            for p in ("weights", "non_torch", "transient", "graphs")), abs=0.01,
    )  # fmt: skip


def test_a_whole_stack_is_foreseen_without_any_host() -> None:
    room = room_in_stack(desired(a=spec(max_model_len=4096), b=spec("gone", (1,))), FILES)
    assert [(f.address, bool(f.after)) for f in room.forecasts] == [("gpu-1/a", True), ("gpu-1/b", False)]
    assert [line.gpu for line in room.ledger] == [0, 1]
    assert room.diagnostics == ()


@pytest.mark.parametrize("lost", ["forecasts", "ledger"])
def test_a_plan_without_its_memory_fields_is_damaged(lost: str) -> None:
    document = plan_to_dict(plan(desired(chat=spec()), observed()))
    del document[lost]
    document["digest"] = digest_of(document)
    with pytest.raises(NotAPlan, match=f"it is damaged: {lost}: it is missing"):
        plan_from_json(json.dumps(document))


def test_a_saved_plan_keeps_every_number(tmp_path: Path) -> None:
    planned = plan(desired(chat=spec(), big=spec("llama", (2, 3), pipeline_parallel_size=2)), observed())
    read = plan_from_json(plan_to_json(planned))
    assert (read.forecasts, read.ledger) == (planned.forecasts, planned.ledger)


def test_no_memory_is_computed_for_a_destroyed_instance() -> None:
    planned = plan(desired(chat=spec()), observed(running("chat", spec())), Request(destroy=True))
    assert (planned.forecasts, planned.ledger) == ((), ())
