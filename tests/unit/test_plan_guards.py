"""The errors and warnings before anything is planned."""

from __future__ import annotations

import dataclasses

import pytest

from cortexctl.desired.stack import Host
from cortexctl.instance import labels
from cortexctl.instance.labels import generation_name, serving_name
from cortexctl.instance.spec import Publish
from cortexctl.observed.host import BoundPort, ImageFacts, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.plan.guards import check_desired, check_hosts
from cortexctl.plan.planner import plan
from tests.build import (
    HERE,
    IMAGE,
    SPAN,
    foreign_container,
    generation_container,
    make_desired,
    make_instance,
    make_observed,
    make_plan,
    make_spec,
    rules_of,
    serving_container,
)


def test_a_stack_without_clashes_passes() -> None:
    good = make_desired(
        make_instance("a", gpus=(0,), publish=Publish("127.0.0.1", 8001)),
        make_instance("b", gpus=(1,), publish=Publish("127.0.0.1", 8002)),
    )
    assert check_desired(good) == []


def test_two_models_must_not_serve_the_same_name_on_one_network() -> None:
    one, other = make_instance("a", served_names=("x", "shared")), make_instance("b", served_names=("shared",))
    (diagnostic,) = check_desired(make_desired(one, other))
    assert diagnostic.rule == "CX206"
    assert diagnostic.is_error
    assert '"a"' in diagnostic.summary
    assert '"b"' in diagnostic.summary
    assert '"shared"' in diagnostic.summary
    assert check_desired(make_desired(one, make_instance("b", served_names=("shared",), network="other"))) == []


def test_two_models_may_serve_the_same_name_on_two_hosts() -> None:
    hosts = (HERE, Host("there", "unix:///x"))
    both = (make_instance("a", served_names=("s",)), make_instance("b", host="there", served_names=("s",)))
    assert check_desired(make_desired(*both, hosts=hosts)) == []


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (Publish("127.0.0.1", 8001), Publish("127.0.0.1", 8001), True),
        (Publish("127.0.0.1", 8001), Publish("0.0.0.0", 8001), True),
        (Publish("::", 8001), Publish("10.0.0.1", 8001), True),
        (Publish("127.0.0.1", 8001), Publish("10.0.0.1", 8001), False),
        (Publish("127.0.0.1", 8001), Publish("127.0.0.1", 8002), False),
        (Publish("127.0.0.1"), Publish("127.0.0.1"), False),
        (Publish("127.0.0.1", 8001), None, False),
    ],
)
def test_two_models_must_not_publish_the_same_port(one: Publish, other: Publish | None, clash: bool) -> None:
    diagnostics = check_desired(make_desired(make_instance("a", publish=one), make_instance("b", publish=other)))
    assert [d.rule for d in diagnostics] == (["CX207"] if clash else [])


@pytest.mark.parametrize(
    ("shares", "refused"),
    [
        ([0.5, 0.5], False),
        ([0.3, 0.3, 0.4], False),
        ([0.6, 0.5], True),
        ([None, None], True),
        ([None, 0.05], False),
        ([None, 0.1], True),
        ([1.0], False),
    ],
)
def test_sharers_of_a_gpu_must_not_request_more_than_all_of_it(shares: list[float | None], refused: bool) -> None:
    """A sharer without a share counts with vLLM's default, 0.92."""
    models = [
        make_instance(f"m{n}", gpus=(3,), args={} if s is None else {"gpu_memory_utilization": s})
        for n, s in enumerate(shares)
    ]
    diagnostics = check_desired(make_desired(*models))
    assert [d.rule for d in diagnostics] == (["CX208"] if refused else [])
    if refused:
        assert "GPU 3 of here" in diagnostics[0].summary
        assert all(m.address in diagnostics[0].summary for m in models)


def test_gpus_of_two_hosts_are_not_shared() -> None:
    hosts = (HERE, Host("there", "unix:///x"))
    assert (
        check_desired(
            make_desired(make_instance("a", gpus=(0,)), make_instance("b", host="there", gpus=(0,)), hosts=hosts)
        )
        == []
    )


def test_two_hosts_must_not_be_the_same_daemon() -> None:
    diagnostics = check_desired(make_desired(hosts=(HERE, Host("there", HERE.docker), Host("away", "unix:///x"))))
    assert [d.rule for d in diagnostics] == ["CX213"]
    assert '"here" and "there"' in diagnostics[0].summary


def test_a_container_of_a_host_by_another_name_is_an_error_and_is_left_alone() -> None:
    moved = serving_container()
    moved = dataclasses.replace(moved, labels={**moved.labels, labels.HOST: "old-name"})
    planned = make_plan(containers=(moved,))
    assert rules_of(planned) == ["CX404"]
    assert '"old-name"' in planned.diagnostics[0].summary
    assert planned.changes == ()


@pytest.mark.parametrize("name", [serving_name("tiny"), generation_name("tiny", 1, 1)])
def test_a_name_that_another_container_holds_is_never_taken(name: str) -> None:
    planned = make_plan(make_instance(), containers=(foreign_container(name),))
    assert rules_of(planned) == ["CX406"]
    assert "is not ours" in planned.diagnostics[0].summary
    assert planned.diagnostics[0].span == SPAN


def test_a_name_of_another_stack_is_reported_with_that_stack() -> None:
    planned = make_plan(make_instance(), containers=(serving_container(stack="other"),))
    assert rules_of(planned) == ["CX406"]
    assert 'belongs to the stack "other"' in planned.diagnostics[0].summary


@pytest.mark.parametrize(
    ("bound", "publish", "clash"),
    [
        (BoundPort("127.0.0.1", 8001), Publish("127.0.0.1", 8001), True),
        (BoundPort("0.0.0.0", 8001), Publish("127.0.0.1", 8001), True),
        (BoundPort("127.0.0.1", 8001), Publish("0.0.0.0", 8001), True),
        (BoundPort("", 8001), Publish("127.0.0.1", 8001), True),
        (BoundPort("10.0.0.1", 8001), Publish("127.0.0.1", 8001), False),
        (BoundPort("127.0.0.1", 8002), Publish("127.0.0.1", 8001), False),
        (BoundPort("127.0.0.1", 8001), Publish("127.0.0.1"), False),
        (BoundPort("127.0.0.1", 8001), None, False),
    ],
)
def test_a_port_that_another_container_holds_is_refused(bound: BoundPort, publish: Publish | None, clash: bool) -> None:
    planned = make_plan(make_instance(publish=publish), containers=(foreign_container("db", ports=(bound,)),))
    assert rules_of(planned) == (["CX407"] if clash else [])


def test_a_port_that_the_same_plan_sets_free_may_be_taken() -> None:
    publish = Publish("127.0.0.1", 8001)
    old = serving_container(model="old", spec=make_spec(publish=publish), ports=(BoundPort("127.0.0.1", 8001),))
    assert rules_of(make_plan(make_instance(publish=publish), containers=(old,))) == []
    itself = serving_container(spec=make_spec(publish=publish), ports=(BoundPort("127.0.0.1", 8001),))
    assert rules_of(make_plan(make_instance(publish=publish, drain=1), containers=(itself,))) == []


def test_the_port_of_its_own_candidate_does_not_block_an_interrupted_create() -> None:
    publish = Publish("127.0.0.1", 8001)
    candidate = generation_container(1, spec=make_spec(publish=publish), ports=(BoundPort("127.0.0.1", 8001),))
    assert rules_of(make_plan(make_instance(publish=publish), containers=(candidate,))) == []


def test_an_image_that_is_not_available_is_refused_with_the_daemons_message() -> None:
    missing = {("here", IMAGE): ImageFacts(IMAGE, "missing", problem="manifest unknown")}
    planned = plan(make_desired(make_instance()), make_observed(images=missing))
    assert rules_of(planned) == ["CX405"]
    assert planned.diagnostics[0].detail == "manifest unknown"


def test_an_instance_without_changes_is_not_checked_against_its_host() -> None:
    """A running container that matches is not touched, even if the registry lacks its image."""
    missing = {("here", IMAGE): ImageFacts(IMAGE, "missing", problem="manifest unknown")}
    observed = make_observed(serving_container(), images=missing)
    desired = make_desired(make_instance())
    assert check_hosts(desired, observed, plan(desired, observed).changes) == []


def test_a_protected_model_that_left_the_stack_is_not_removed() -> None:
    containers = (serving_container(protect=True),)
    assert rules_of(make_plan(containers=containers)) == ["CX403"]
    assert rules_of(make_plan(containers=containers, unprotect=("here/tiny",))) == []


def test_the_stack_can_lift_a_protection_and_the_label_cannot() -> None:
    containers = (serving_container(protect=True),)
    assert rules_of(make_plan(make_instance(protect=False), containers=containers, destroy=True)) == []
    assert rules_of(
        make_plan(make_instance(protect=True), containers=(serving_container(protect=False),), destroy=True)
    ) == ["CX403"]


def test_an_unreachable_host_is_named_and_its_models_are_left_out() -> None:
    observed = Observed((ObservedHost("here", problem="nothing answers", next_step="start it"),))
    planned = plan(make_desired(make_instance("a"), make_instance("b")), observed)
    assert planned.changes == ()
    assert planned.steps == ()
    assert rules_of(planned) == ["CX401"]
    assert planned.diagnostics[0].summary == "here: nothing answers; omitted from this plan: a, b"
    assert planned.diagnostics[0].help == "start it"


def test_a_container_whose_spec_cannot_be_read_is_neither_replaced_nor_removed() -> None:
    planned = make_plan(make_instance(), containers=(serving_container(spec=None),))
    assert rules_of(planned) == ["CX402"]
    assert planned.changes == ()
