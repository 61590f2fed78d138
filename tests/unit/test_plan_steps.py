"""The steps of each action, and their order."""

from __future__ import annotations

import pytest

from cortexctl.desired.stack import Host
from cortexctl.instance.labels import generation_name, serving_name
from cortexctl.instance.spec import RESTART_POLICY, STOP_MARGIN
from cortexctl.observed.host import ImageFacts, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.plan.action import Action, ReasonCode
from cortexctl.plan.order import in_order
from cortexctl.plan.planner import plan
from cortexctl.plan.recipes import tasks_of
from cortexctl.plan.steps import (
    KIND_OF,
    TASK_KINDS,
    CreateContainer,
    EnsureNetwork,
    PassGate,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RenameContainer,
    SetRestart,
    StartContainer,
    StopContainer,
    Task,
    TryReach,
)
from tests.build import (
    HERE,
    IMAGE,
    LOCAL,
    change_of,
    changes_of,
    foreign_container,
    generation_container,
    make_desired,
    make_instance,
    make_observed,
    make_plan,
    make_spec,
    removal_of,
    serving_container,
)


def test_the_story_of_a_create() -> None:
    name = generation_name("tiny", 1, 1)
    assert tasks_of(change_of(make_instance())) == [
        CreateContainer(name, 1, LOCAL.id),
        StartContainer(name),
        PassGate(name),
        SetRestart(name, RESTART_POLICY),
        RenameContainer(name, serving_name("tiny")),
    ]


def test_the_story_of_a_replacement() -> None:
    old, name = f"id-{serving_name('tiny')}", generation_name("tiny", 1, 2)
    assert tasks_of(change_of(make_instance(), serving_container(spec=make_spec(drain=1)))) == [
        CreateContainer(name, 2, LOCAL.id),
        TryReach(old),
        StopContainer(old, 1 + STOP_MARGIN),
        StartContainer(name),
        PassGate(name),
        SetRestart(name, RESTART_POLICY),
        SetRestart(old, "no"),
        RenameContainer(old, generation_name("tiny", 1, 1), serving_name("tiny")),
        RenameContainer(name, serving_name("tiny")),
    ]


@pytest.mark.parametrize(
    ("state", "halts"), [("exited", False), ("created", False), ("restarting", True), ("paused", True)]
)
def test_the_story_of_a_start(state: str, halts: bool) -> None:
    """Under a candidate's name until it has passed its gate, so that a killed start is found unfinished."""
    here, candidate = f"id-{serving_name('tiny')}", generation_name("tiny", 1, 1)
    assert tasks_of(change_of(make_instance(), serving_container(state=state))) == [
        RenameContainer(here, candidate, serving_name("tiny")),
        SetRestart(here, "no"),
        *([StopContainer(here, 45 + STOP_MARGIN)] if halts else []),
        StartContainer(here),
        PassGate(here),
        SetRestart(here, RESTART_POLICY),
        RenameContainer(here, serving_name("tiny"), candidate),
    ]


def test_a_removal_stops_the_serving_container_before_anything_is_removed() -> None:
    """The others serve no requests, so none is lost with them."""
    change = removal_of(
        serving_container(2),
        generation_container(1, state="exited"),
        generation_container(3, state="created"),
        generation_container(4, state="running"),
    )
    stop, *removals = tasks_of(change)
    assert stop == StopContainer(f"id-{serving_name('tiny')}", 45 + STOP_MARGIN)
    assert removals == [
        RemoveContainer(f"id-{serving_name('tiny')}"),
        *(RemoveContainer(f"id-{generation_name('tiny', 1, g)}") for g in (1, 3, 4)),
    ]


@pytest.mark.parametrize(
    ("state", "stops"),
    [("running", True), ("paused", True), ("restarting", True), ("exited", False), ("created", False)],
)
def test_a_removal_stops_only_what_may_run(state: str, stops: bool) -> None:
    assert any(isinstance(t, StopContainer) for t in tasks_of(removal_of(serving_container(2, state=state)))) is stops


def test_the_story_of_a_restart_that_was_requested() -> None:
    here = f"id-{serving_name('tiny')}"
    (change,) = changes_of(make_instance(), serving_container(), restart=("tiny",))
    assert change.action is Action.RESTART
    assert change.cost.down
    candidate = generation_name("tiny", 1, 1)
    assert tasks_of(change) == [
        TryReach(here),
        RenameContainer(here, candidate, serving_name("tiny")),
        SetRestart(here, "no"),
        StopContainer(here, 45 + STOP_MARGIN),
        StartContainer(here),
        PassGate(here),
        SetRestart(here, RESTART_POLICY),
        RenameContainer(here, serving_name("tiny"), candidate),
    ]


def test_a_replacement_that_was_requested_needs_no_difference() -> None:
    (change,) = changes_of(make_instance(), serving_container(3), replace=("here/tiny",))
    assert (change.action, change.detail.generation, change.fields) == (Action.REPLACE, 4, ())
    assert [r.code for r in change.reasons] == [ReasonCode.REQUESTED]


def test_a_step_that_frees_a_resource_comes_before_a_step_that_takes_it() -> None:
    planned = make_plan(
        make_instance("new"),
        make_instance("changed"),
        make_instance("stopped"),
        make_instance("fine"),
        containers=(
            serving_container(model="changed", spec=make_spec(drain=1)),
            serving_container(model="stopped", state="exited", spec=make_instance("stopped").spec),
            serving_container(model="fine", spec=make_instance("fine").spec),
            serving_container(model="zz-gone"),
        ),
    )
    assert [c.model for c in in_order(planned.changes)] == ["zz-gone", "changed", "stopped", "new"]
    addresses = [s.address for s in planned.steps if s.address]
    assert list(dict.fromkeys(addresses)) == ["here/zz-gone", "here/changed", "here/stopped", "here/new"]


def test_steps_of_a_change_run_one_after_the_other_and_changes_and_hosts_side_by_side() -> None:
    hosts = (HERE, Host("there", "unix:///x"))
    observed = Observed(
        (ObservedHost("here"), ObservedHost("there")), {("here", IMAGE): LOCAL, ("there", IMAGE): LOCAL}
    )
    planned = plan(
        make_desired(make_instance("a"), make_instance("b"), make_instance("a", host="there"), hosts=hosts), observed
    )
    for host in ("here", "there"):
        steps = [s for s in planned.steps if s.host == host]
        network, changes = steps[0], sorted({s.address for s in steps[1:]})
        assert (network.address, network.after) == ("", ())
        assert changes == ([f"{host}/a", f"{host}/b"] if host == "here" else [f"{host}/a"])
        for address in changes:
            own = [network, *(s for s in steps if s.address == address)]
            assert len(own) > 2
            assert [s.after for s in own[1:]] == [(s.id,) for s in own[:-1]]


def test_images_are_pulled_once_and_networks_made_once_before_anything_else() -> None:
    digest = "sha256:" + "d" * 64
    images = {("here", IMAGE): ImageFacts(IMAGE, "registry", digest=digest)}
    planned = plan(make_desired(make_instance("a"), make_instance("b")), make_observed(images=images))
    tasks: list[Task] = [s.task for s in planned.steps]
    assert tasks[:2] == [PullImage(IMAGE, digest), EnsureNetwork("cortex_default")]
    assert sum(isinstance(t, PullImage | EnsureNetwork) for t in tasks) == 2


def test_a_network_is_removed_only_when_no_container_is_left_on_it() -> None:
    alone = serving_container(networks=("cortex_default",))
    friend = foreign_container("db", networks=("cortex_default",))
    dropped = [s.task for s in make_plan(containers=(alone,), destroy=True).steps]
    remaining = [s.task for s in make_plan(containers=(alone, friend), destroy=True).steps]
    assert dropped[-1] == RemoveNetwork("cortex_default")
    assert RemoveNetwork("cortex_default") not in remaining


def test_every_kind_of_task_has_a_name_of_its_own() -> None:
    assert len(KIND_OF) == len(TASK_KINDS) == len(set(KIND_OF.values()))
