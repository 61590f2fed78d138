"""A plan is stale if a container that it touches has changed since the plan."""

from __future__ import annotations

import dataclasses
from typing import Any, get_type_hints

import pytest

from cortexctl.instance.labels import generation_name, serving_name
from cortexctl.instance.spec import Publish
from cortexctl.observed.host import BoundPort, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.plan.action import Action
from cortexctl.plan.model import ContainerRef, InstanceChange
from cortexctl.plan.planner import plan
from cortexctl.plan.stale import stale_reasons
from tests.build import (
    IMAGE,
    LOCAL,
    foreign_container,
    generation_container,
    make_desired,
    make_instance,
    make_observed,
    make_plan,
    make_spec,
    replacement_plan,
    serving_container,
)


def test_a_plan_whose_containers_are_as_they_were_is_not_stale() -> None:
    planned = replacement_plan()
    assert planned.effective
    assert stale_reasons(planned, make_observed(serving_container(spec=make_spec(drain=1)))) == []


def test_a_removed_touched_container_makes_a_plan_stale() -> None:
    assert stale_reasons(replacement_plan(), make_observed()) == [
        "here/tiny: the container vllm-model-tiny (id-vllm-mode) is gone"
    ]


PARTS = {name for name, hint in get_type_hints(InstanceChange).items() if "ContainerRef" in str(hint)}


def test_each_container_of_a_change_is_checked_whatever_its_part() -> None:
    assert len(PARTS) == 6
    (change,), planned = replacement_plan().changes, replacement_plan()
    for part in PARTS:
        ref = ContainerRef("id-gone-by-now", f"the-{part}", "exited", 1)
        value: Any = ref if part in {"serving", "candidate", "leftover"} else (ref,)
        touched = dataclasses.replace(change, detail=InstanceChange(**{part: value}))
        assert stale_reasons(dataclasses.replace(planned, changes=(touched,)), make_observed()) == [
            f"here/tiny: the container the-{part} (id-gone-by-n) is gone"
        ]


def test_a_touched_container_that_was_renamed_makes_a_plan_stale() -> None:
    renamed = dataclasses.replace(serving_container(spec=make_spec(drain=1)), name="other")
    assert stale_reasons(replacement_plan(), make_observed(renamed)) == [
        "here/tiny: the container vllm-model-tiny is now called other"
    ]


def test_the_run_that_created_another_container_meanwhile_is_named() -> None:
    """Another run applied in between: the old container has another name or is gone, and a new one serves."""
    new = dataclasses.replace(serving_container(2, run="run9"), id="id-new")
    renamed = dataclasses.replace(serving_container(spec=make_spec(drain=1)), name=generation_name("tiny", 1, 1))
    text = "; vllm-model-tiny is now another container, created by run run9"
    assert stale_reasons(replacement_plan(), make_observed(renamed, new)) == [
        f"here/tiny: the container vllm-model-tiny is now called vllm-model-tiny--g1{text}"
    ]
    (reason,) = stale_reasons(replacement_plan(), make_observed(new))
    assert reason.endswith(f" is gone{text}")


def test_a_touched_container_in_another_state_makes_a_plan_stale() -> None:
    stopped = serving_container(spec=make_spec(drain=1), state="exited")
    assert stale_reasons(replacement_plan(), make_observed(stopped)) == [
        "here/tiny: the container vllm-model-tiny was running and is now exited"
    ]


def test_a_crash_loop_may_be_replaced_in_any_of_its_states() -> None:
    for was, now in (("running", "restarting"), ("restarting", "running")):
        serving = serving_container(spec=make_spec(drain=1), state=was)
        planned = make_plan(make_instance(), containers=(serving,))
        assert [c.action for c in planned.effective] == [Action.REPLACE]
        assert stale_reasons(planned, make_observed(dataclasses.replace(serving, state=now))) == []
    down = serving_container(state="restarting")
    planned = make_plan(make_instance(), containers=(down,))
    assert [c.action for c in planned.effective] == [Action.START]
    assert stale_reasons(planned, make_observed(dataclasses.replace(down, state="running"))), "it may have recovered"


def test_a_container_that_appeared_where_one_is_to_be_created_makes_a_plan_stale() -> None:
    planned = make_plan(make_instance())
    assert stale_reasons(planned, make_observed(serving_container(run="abcd"))) == [
        "here/tiny: vllm-model-tiny exists now, created by run abcd"
    ]
    assert stale_reasons(planned, make_observed(foreign_container(serving_name("tiny")))) == [
        "here/tiny: vllm-model-tiny exists now"
    ]


@pytest.mark.parametrize(("address", "is_stale"), [("127.0.0.1", True), ("0.0.0.0", True), ("10.0.0.1", False)])
def test_a_port_that_was_taken_meanwhile_makes_a_plan_stale(address: str, is_stale: bool) -> None:
    planned = make_plan(make_instance(publish=Publish("127.0.0.1", 8001)), containers=(serving_container(),))
    assert [c.action for c in planned.effective] == [Action.REPLACE]
    taker = foreign_container("taker", ports=(BoundPort(address, 8001),))
    text = ["here/tiny: 127.0.0.1:8001 is now used by taker"] if is_stale else []
    assert stale_reasons(planned, make_observed(serving_container(), taker)) == text


def test_a_port_that_the_one_to_be_replaced_holds_makes_no_plan_stale() -> None:
    old = serving_container(
        spec=make_spec(publish=Publish("127.0.0.1", 8001), drain=1), ports=(BoundPort("127.0.0.1", 8001),)
    )
    planned = make_plan(make_instance(publish=Publish("127.0.0.1", 8001)), containers=(old,))
    assert [c.action for c in planned.effective] == [Action.REPLACE]
    assert stale_reasons(planned, make_observed(old)) == []


def test_a_host_that_cannot_be_read_any_more_makes_a_plan_stale() -> None:
    gone = Observed((ObservedHost("here", problem="nothing answers"),))
    assert stale_reasons(replacement_plan(), gone) == ["here: nothing answers"]


def test_containers_that_the_plan_does_not_touch_never_make_it_stale() -> None:
    """Containers of other stacks, unmanaged ones, retained generations and models without a change may change freely."""
    fine = serving_container(model="fine", spec=make_spec(served_names=("fine",), model="/models/fine"))
    planned = make_plan(
        make_instance(),
        make_instance("fine"),
        containers=(
            serving_container(3, spec=make_spec(drain=1)),
            generation_container(2, state="exited", spec=make_spec(drain=2)),
            fine,
            foreign_container("db"),
        ),
    )
    assert [c.model for c in planned.effective] == ["tiny"]
    now = make_observed(
        serving_container(3, spec=make_spec(drain=1)),
        foreign_container("new"),
        serving_container(model="x", stack="other"),
    )
    assert stale_reasons(planned, now) == []


def test_every_change_is_reported_once() -> None:
    retained = (
        generation_container(1, state="exited", spec=make_spec(drain=2)),
        generation_container(2, state="exited", spec=make_spec(drain=2)),
    )
    planned = make_plan(make_instance(keep=0), containers=(serving_container(3, spec=make_spec(drain=1)), *retained))
    text = stale_reasons(planned, make_observed())
    assert len(text) == len(set(text)) == 3


def test_a_host_with_another_daemon_makes_a_plan_stale() -> None:
    """Upgraded meanwhile, or another machine behind the same address."""
    old = serving_container(spec=make_spec(drain=1))
    before, after = (Observed((ObservedHost("here", (old,), daemon=d),), {("here", IMAGE): LOCAL}) for d in ("A", "B"))
    planned = plan(make_desired(make_instance()), before)
    assert stale_reasons(planned, before) == []
    assert stale_reasons(planned, after) == ["here: its daemon was A and is now B"]
