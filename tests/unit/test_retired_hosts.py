"""A host that leaves the stack: `retired = true` empties it first. Without that, nothing reads it any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortexctl.observed.snapshot import snapshot_to_json
from cortexctl.operations.review import plan_from_snapshot
from cortexctl.plan.action import Action, ReasonCode
from cortexctl.plan.request import Request
from tests.applying import TWO_HOSTS, serving, stack
from tests.fakes.world import World
from tests.reading import model_text

RETIRED = TWO_HOSTS.replace("[hosts.two]\n", "[hosts.two]\nretired = true\n")
ONE_HOST = TWO_HOSTS.partition("[hosts.two]")[0]
EVERYWHERE = '["*"]'


def world_of(tmp_path: Path, **lines: str) -> World:
    """Two hosts that serve the same model."""
    world = World("demo", "one", "two")
    applied = world.apply(world.plan(stack(tmp_path, model_text(hosts=EVERYWHERE, **lines), hosts=TWO_HOSTS)))
    assert applied.exit_code == 0
    return world


def test_a_retired_host_is_emptied_and_the_others_stay_unchanged(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    desired = stack(tmp_path, model_text(hosts=EVERYWHERE), hosts=RETIRED)
    plan = world.plan(desired)
    (change,) = plan.effective
    assert (change.address, change.action) == ("two/tiny", Action.REMOVE)
    assert [r.code for r in change.reasons] == [ReasonCode.HOST_RETIRED]
    assert world.apply(plan).exit_code == 0
    assert serving(world, "two") == {}
    assert set(serving(world, "one")) == {"vllm-model-tiny"}
    assert world.plan(desired).effective == ()


def test_an_unreachable_retired_host_is_an_error_like_any_other(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.daemon("two").faults.away("observe", calls=9)
    plan = world.plan(stack(tmp_path, model_text(hosts=EVERYWHERE), hosts=RETIRED))
    assert [d.rule for d in plan.diagnostics] == ["CX401"]


def test_protection_counts_on_a_retired_host(tmp_path: Path) -> None:
    """It is in the label of the container. No model of the stack stands for it there."""
    world = world_of(tmp_path, protect="true")
    desired = stack(tmp_path, model_text(hosts=EVERYWHERE), hosts=RETIRED)
    assert [d.rule for d in world.plan(desired).diagnostics if d.is_error] == ["CX403"]
    confirmed = world.plan(desired, Request(unprotect=("two/tiny",)))
    assert not confirmed.has_errors


def test_a_destroy_empties_retired_hosts_too(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    plan = world.plan(stack(tmp_path, model_text(hosts=EVERYWHERE), hosts=RETIRED), destroy=True)
    assert [c.address for c in plan.effective] == ["one/tiny", "two/tiny"]


def test_only_drift_restores_nothing_on_a_retired_host(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.daemon("two").by_name("vllm-model-tiny").state = "exited"
    plan = world.plan(stack(tmp_path, model_text(hosts=EVERYWHERE), hosts=RETIRED), Request(only="drift"))
    assert plan.effective == ()


@pytest.mark.parametrize(("hosts", "is_reported"), [(ONE_HOST, True), (RETIRED, False), (TWO_HOSTS, False)])
def test_a_snapshot_shows_that_a_host_left_the_stack(tmp_path: Path, hosts: str, *, is_reported: bool) -> None:
    snapshot = tmp_path / "snapshot.json"
    snapshot.write_text(snapshot_to_json(world_of(tmp_path).observe()))
    desired = stack(tmp_path, model_text(hosts=EVERYWHERE), hosts=hosts)
    warnings = [
        d
        for d in plan_from_snapshot(desired, str(snapshot), Request(), report=lambda _: None).diagnostics
        if d.rule == "CX419"
    ]
    assert bool(warnings) == is_reported
    assert [d.summary for d in warnings] == (
        ["two is no longer in the stack, so cortexctl cannot read it; its containers stay: two/tiny"]
        if is_reported
        else []
    )
    narrowed = plan_from_snapshot(desired, str(snapshot), Request(host=("one",)), report=lambda _: None).diagnostics
    assert "CX419" not in [d.rule for d in narrowed]
