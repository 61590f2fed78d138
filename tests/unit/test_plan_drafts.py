"""A model that a server loads beside its own: read with it, counted with it, and named where it is not counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cortexctl.desired.stack import Instance
from cortexctl.engines.companions import companion_files, companion_sources, sources_of
from cortexctl.engines.launch_forecast import Forecast
from cortexctl.engines.registry import ENGINES
from cortexctl.instance.spec import Spec
from cortexctl.model_files.files import ModelFiles, ModelSource
from cortexctl.observed.observation import Fact
from cortexctl.operations.fit import FitInputs, fit_models
from cortexctl.plan.capacity.plan_memory import Forecaster
from cortexctl.plan.model import Plan
from cortexctl.plan.needs import every_model, needs, needs_of_snapshot
from cortexctl.plan.planfile import plan_from_json, plan_to_json
from cortexctl.plan.planner import plan
from cortexctl.render.plan.html import plan_html
from cortexctl.render.plan.markdown import plan_markdown
from cortexctl.render.plan.terminal import plan_text
from cortexctl.render.style import Ink
from tests.build_memory import HOST, desired, observed, running, spec
from tests.fakes.other_engine import OtherEngine
from tests.memory import config_of
from tests.specs import change_spec

SMALL = ModelFiles(config_of("llama-3.2-1b"))
FILES = {("gpu-1", "/srv/models/llama"): ModelFiles(config_of("llama-3.1-8b")), ("gpu-1", "/srv/models/small"): SMALL}


def drafted(draft: str = "/models/small", **more: Any) -> Spec:
    table = {"method": "draft_model", "model": draft, "num_speculative_tokens": 5, **more}
    return spec("llama", max_model_len=32768, speculative_config=table)


def after(planned: Plan) -> Forecast:
    (forecast,) = planned.forecasts
    assert forecast.after is not None
    return forecast.after


def test_the_files_of_a_draft_are_needed_with_those_of_its_target() -> None:
    wanted = desired(chat=drafted())
    names = ["/srv/models/llama", "/srv/models/small"]
    assert [s.name for s in needs(wanted, observed(files={})).models] == names
    before = running("chat", drafted("/models/other"))
    assert [s.name for s in needs(wanted, observed(before, files={})).models] == [
        names[0],
        "/srv/models/other",
        names[1],
    ]
    assert [s.name for s in every_model(wanted)] == names
    assert [s.name for s in needs_of_snapshot(wanted, replace(observed(before, files={}), records={})).models] == []
    seen = replace(observed(files={}), unknown=frozenset({(Fact.RECORD, ("gpu-1", ""))}))
    assert [s.name for s in needs_of_snapshot(wanted, seen).models] == names
    assert needs(wanted, observed(running("chat", drafted()), files={})).models == ()


def test_a_draft_that_is_nowhere_is_requested_once() -> None:
    answered = replace(
        observed(files={("gpu-1", "/srv/models/llama"): FILES["gpu-1", "/srv/models/llama"]}),
        unknown=frozenset({(Fact.MODEL, ("gpu-1", "/srv/models/small"))}),
    )
    assert needs(desired(chat=drafted()), answered).models == ()


@pytest.mark.parametrize(
    ("draft", "source"),
    [
        ("/models/small", ModelSource("gpu-1", "/srv/models", "small")),
        ("/models/../models/./small/", ModelSource("gpu-1", "/srv/models", "small")),
        ("/models/../etc", "its model is not in a folder of the host"),
        ("/elsewhere", "its model is not in a folder of the host"),
        ("org/name", ModelSource("gpu-1", "", "", "org/name", "v1")),
        ("s3://bucket/name", "its model is neither in a folder nor in a repository"),
    ],
)
def test_a_draft_is_where_the_container_reads_it(draft: str, source: ModelSource | str) -> None:
    assert companion_sources("gpu-1", drafted(draft, revision="v1")) == {draft: source}
    own = ModelSource("gpu-1", "/srv/models", "llama")
    expected = [own, source] if isinstance(source, ModelSource) else [own]
    assert list(sources_of("gpu-1", drafted(draft, revision="v1"))) == expected
    (files,) = companion_files("gpu-1", drafted(draft), {}).values()
    assert files.problem == (source if isinstance(source, str) else "its config.json was not read")


def test_a_raw_argument_names_a_draft_as_well() -> None:
    raw = change_spec(spec("llama"), extra_args=("--speculative-config", '{"model": "/models/small"}'))
    assert list(companion_sources("gpu-1", raw)) == ["/models/small"]


def test_a_plan_counts_a_draft_as_fit_does() -> None:
    wanted = desired(chat=drafted())
    computed = after(plan(wanted, observed(files=FILES)))
    alone = after(plan(desired(chat=spec("llama", max_model_len=32768)), observed(files=FILES)))
    assert computed.decides.weights.value - alone.decides.weights.value == pytest.approx(2.3185, abs=0.001)
    assert computed.concurrency.value < 0.75 * alone.concurrency.value
    assert (computed.verdict, computed.uncounted, computed.notes) == ("starts", "", ())
    (budget,) = fit_models(wanted, FILES, FitInputs()).budgets().values()
    assert int(budget.tokens.value) == computed.tokens.value
    assert budget.tightest.weights.value == pytest.approx(computed.decides.weights.value, abs=1e-4)


def test_the_same_launch_with_another_draft_on_another_host_is_computed_again() -> None:
    hosts = (HOST, replace(HOST, name="gpu-2"))
    more = {("gpu-2", name): files for (_, name), files in FILES.items()}
    forecaster = Forecaster(FILES | more | {("gpu-2", "/srv/models/small"): FILES["gpu-1", "/srv/models/llama"]})
    one, two = (forecaster.of(drafted(), host).decides.weights.value for host in hosts)
    assert two > one + 10
    assert forecaster.of(drafted("/elsewhere"), HOST).uncounted != forecaster.of(drafted("s3://x"), HOST).uncounted


def test_a_draft_that_is_not_counted_is_named_in_every_view() -> None:
    files = FILES | {("gpu-1", "/srv/models/small"): ModelFiles(problem="it is away")}
    wanted = desired(chat=drafted())
    planned = plan(wanted, observed(files=files))
    text = "the weights of the draft model are not included (/models/small: it is away)"
    computed = after(planned)
    assert (computed.uncounted, computed.notes) == (text, (text,))
    assert plan_from_json(plan_to_json(planned)) == planned
    for view in (plan_text(planned, Ink(enabled=False)), plan_markdown(planned), plan_html(planned)):
        assert f"gpu-1/chat: {text}" in " ".join(view.replace("&#47;", "/").split())


def test_a_draft_that_is_not_counted_makes_a_close_start_doubtful() -> None:
    tight = replace(HOST, gpu_name="", gpu_memory=28 * 2**30)
    files = {key: known for key, known in FILES.items() if known is not SMALL}
    wanted = replace(desired(), hosts=(tight,), instances=(Instance("gpu-1", "chat", drafted()),))
    (diagnostic,) = (d for d in plan(wanted, observed(files=files)).diagnostics if d.rule == "CX317")
    assert "uncertain whether it starts" in diagnostic.summary
    assert diagnostic.detail.startswith("the weights of the draft model are not included (/models/small: ")


def test_another_engine_names_its_own_companions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "other", OtherEngine())
    beside = change_spec(spec("llama", beside="/models/small"), engine="other")
    assert [s.name for s in needs(desired(chat=beside), observed(files={})).models] == [
        "/srv/models/llama",
        "/srv/models/small",
    ]
