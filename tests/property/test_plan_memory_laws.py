"""Laws of memory in a plan: the same values give the same bytes, no false alarm, and no size but from its parts."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cortexctl.model_files.files import ModelFiles
from cortexctl.plan.capacity.memory_rules import check_forecasts
from cortexctl.plan.needs import needs
from cortexctl.plan.planfile import plan_from_json, plan_to_json
from cortexctl.plan.planner import plan
from tests.build_memory import desired, observed, running, spec
from tests.memory import NAMES, config_of, facts_of

modest = settings(max_examples=60, deadline=None, derandomize=True)
ARGS = st.fixed_dictionaries(
    {},
    optional={
        "max_model_len": st.integers(1, 20_000),
        "gpu_memory_utilization": st.floats(0.1, 0.98).map(lambda x: round(x, 2)),
        "kv_cache_dtype": st.sampled_from(["auto", "fp8"]),
        "tensor_parallel_size": st.sampled_from([1, 2, 3, 4]),
        "kv_cache_memory_bytes": st.integers(1, 40 * 2**30),
        "enforce_eager": st.booleans(),
    },
)
MODELS = st.sampled_from(NAMES)


def files(*names: str) -> dict[tuple[str, str], ModelFiles]:
    return {("gpu-1", f"/srv/models/{name}"): ModelFiles(config_of(name)) for name in names}


@modest
@given(MODELS, MODELS, ARGS, ARGS)
def test_equal_values_give_equal_bytes_and_they_read_back(
    was: str, name: str, old: dict[str, Any], new: dict[str, Any]
) -> None:
    def once() -> str:
        observation = observed(running("chat", spec(was, **old)), files=files(was, name))
        return plan_to_json(plan(desired(chat=spec(name, (0, 1, 2, 3), **new)), observation))

    text = once()
    assert once() == text
    assert plan_to_json(plan_from_json(text)) == text


@modest
@given(MODELS, ARGS)
def test_an_error_is_beyond_doubt(name: str, args: dict[str, Any]) -> None:
    """If one request fits into the upper bound of the available memory, no memory rule is an error."""
    wanted = desired(chat=spec(name, (0, 1, 2, 3), **args))
    (forecast,) = plan(wanted, observed(files=files(name))).forecasts
    assert forecast.after is not None
    errors = [d for d in check_forecasts([forecast], wanted) if d.is_error]
    refusal = forecast.after.refusal
    if not errors or refusal is None or refusal.rule not in {"one request", "no memory"}:
        return
    assert not facts_of(name).unknown
    short = [
        s for s in forecast.after.stages if s.available.high < forecast.after.needed.value or s.available.high <= 0
    ]
    assert short


@modest
@given(MODELS, ARGS)
def test_an_instance_without_changes_needs_no_files_and_has_no_forecast(name: str, args: dict[str, Any]) -> None:
    same = spec(name, (0, 1, 2, 3), **args)
    observation = observed(running("chat", same), files={})
    assert needs(desired(chat=same), observation).models == ()
    assert plan(desired(chat=same), observation).forecasts == ()


@modest
@given(MODELS, MODELS, ARGS, ARGS)
def test_the_ledger_is_the_sum_of_its_shares(one: str, two: str, first: dict[str, Any], second: dict[str, Any]) -> None:
    planned = plan(desired(a=spec(one, **first), b=spec(two, **second)), observed(files=files(one, two)))
    for line in planned.ledger:
        assert line.taken == sum(s.taken for s in line.shares)
        assert all(0 <= s.low <= s.taken for s in line.shares)
        assert not (line.over and line.close)
