"""The work of a plan grows with its containers: what is done for one of them is counted, never timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_from_label, spec_to_label
from cortexctl.instance.spec import Publish
from cortexctl.observed import owned
from cortexctl.observed.host import ObservedContainer
from cortexctl.observed.observation import Observed
from cortexctl.plan import claims, comparison, diff, differing
from cortexctl.plan.action import Action
from cortexctl.plan.comparison import compare
from cortexctl.plan.drift.report import find_drift
from cortexctl.plan.hypothetical import as_if_applied
from cortexctl.plan.needs import Needs, needs_of_plan
from cortexctl.plan.planner import plan, plan_of
from tests.generated import PLANTED, modest, specs
from tests.specs import new_spec

MODELS, HOSTS = 2_000, 20


def _many(models: int, drain: int = 45) -> Desired:
    """Models on one host, each with a port of its own."""
    instances = (
        Instance("here", f"m{n}", new_spec(model=f"/models/m{n}", drain=drain, publish=Publish("127.0.0.1", 9000 + n)))
        for n in range(models)
    )
    return Desired("demo", "stack.toml", (Host("here", "unix:///here.sock"),), tuple(instances))


def _fleet(hosts: int, drain: int = 45) -> Desired:
    """One model on every host, with one spec for all."""
    spec = new_spec(drain=drain)
    names = [f"gpu-{n}" for n in range(hosts)]
    instances = tuple(Instance(name, "tiny", spec) for name in names)
    return Desired("demo", "stack.toml", tuple(Host(name, f"unix:///{name}.sock") for name in names), instances)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often specs are written to labels, read from labels and compared by their fields."""
    counted: Counter[str] = Counter()

    def count(module: Any, name: str, what: str) -> None:
        original: Callable[..., Any] = getattr(module, name)

        def call(*args: Any) -> Any:
            counted[what] += 1
            return original(*args)

        monkeypatch.setattr(module, name, call)

    count(owned, "spec_to_label", "written")
    count(owned, "spec_from_label", "read")
    count(diff, "fields_of", "compared")
    count(differing, "diff", "diffs")
    count(comparison, "ownership_of", "hosts")
    return counted


def test_a_plan_without_changes_writes_every_wanted_spec_once_and_reads_no_label(calls: Counter[str]) -> None:
    desired = _many(MODELS)
    observed = as_if_applied(desired, desired)
    compared = compare(desired, observed)
    assert needs_of_plan(compared) == Needs()
    assert {c.action for c in plan_of(compared).changes} == {Action.NO_OP}
    assert calls == {"written": MODELS, "hosts": 1}


def test_equal_specs_of_many_hosts_are_written_once(calls: Counter[str]) -> None:
    desired = _fleet(HOSTS)
    observed = as_if_applied(desired, desired)
    assert plan(desired, observed).effective == ()
    assert calls == {"written": 1, "hosts": HOSTS}
    assert find_drift(desired, observed).findings == ()
    assert calls["read"] == 0


def test_a_label_is_read_once_and_a_difference_is_computed_once(calls: Counter[str]) -> None:
    """For the needs and for the plan together; and on all hosts with the same label."""
    desired, observed = _fleet(HOSTS), as_if_applied(_fleet(HOSTS, drain=7), _fleet(HOSTS))
    compared = compare(desired, observed)
    assert len(needs_of_plan(compared).images) == HOSTS
    assert {c.action for c in plan_of(compared).changes} == {Action.REPLACE}
    assert (calls["read"], calls["diffs"], calls["hosts"]) == (1, HOSTS, HOSTS)
    assert calls["written"] == 2


def test_after_an_answer_only_the_hosts_with_other_containers_are_compared_again(calls: Counter[str]) -> None:
    desired = _fleet(HOSTS)
    observed = as_if_applied(desired, desired)
    compared = compare(desired, observed)
    assert compared.with_observed(replace(observed, unknown=frozenset())).hosts is compared.hosts
    assert calls["hosts"] == HOSTS
    first = observed.hosts[0]
    later = compared.with_observed(observed.with_hosts({first.name: replace(first, containers=())}))
    assert calls["hosts"] == HOSTS + 1
    assert plan_of(later) == plan(desired, later.observed)


def test_foreign_containers_are_not_read(calls: Counter[str]) -> None:
    desired = _many(10)
    observed = as_if_applied(desired, desired)
    others = (
        ObservedContainer(f"f{n}", f"foreign-{n}", "image", "sha256:1", "running", labels={labels.SPEC: "{}"})
        for n in range(10_000)
    )
    (host,) = observed.hosts
    observed = Observed((replace(host, containers=(*host.containers, *others)),))
    planned = plan(desired, observed)
    assert planned.effective == ()
    assert planned.hosts[0].unmanaged == 10_000
    assert calls == {"written": 10, "hosts": 1}


def test_changes_without_a_common_need_are_not_compared_with_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    comparisons: Counter[str] = Counter()
    meets = claims.Claims.meets

    def counted(one: claims.Claims, other: claims.Claims) -> bool:
        comparisons["pairs"] += 1
        return meets(one, other)

    monkeypatch.setattr(claims.Claims, "meets", counted)
    planned = plan(_many(MODELS), as_if_applied(_many(0), _many(0)))
    assert len(planned.effective) == MODELS
    assert comparisons["pairs"] == 0


@modest
@given(st.data())
def test_specs_have_the_same_text_if_and_only_if_they_have_no_difference(data: st.DataObject) -> None:
    """With values of all secrets and the releases of both images known."""
    values = dict.fromkeys(("KEY_OF_A", "KEY_OF_B"), PLANTED[0])
    one, other = (data.draw(specs(0, values)) for _ in range(2))
    for before, after in ((one, other), (one, spec_from_label(spec_to_label(one)))):
        if before.server.version and after.server.version:
            assert (spec_to_label(before) == spec_to_label(after)) == (diff.diff(before, after) == ())
