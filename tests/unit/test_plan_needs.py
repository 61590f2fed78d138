"""The facts of images and containers that the planner needs, and no others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cortexctl.desired.stack import Host
from cortexctl.instance.labels import serving_name
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.plan.needs import needs
from cortexctl.plan.request import Request
from tests.build import (
    HERE,
    IMAGE,
    generation_container,
    make_desired,
    make_instance,
    make_observed,
    make_spec,
    serving_container,
)


def unread(*containers: ObservedContainer) -> Observed:
    """A host whose containers are listed, and nothing else is known of."""
    return replace(make_observed(*containers), images={})


def test_no_image_is_read_for_a_no_op() -> None:
    """Each look-up is a request to a daemon, perhaps to a registry."""
    assert needs(make_desired(make_instance()), unread(serving_container())).images == ()


def test_no_image_is_read_for_a_start_or_for_a_spec_that_cannot_be_read() -> None:
    assert needs(make_desired(make_instance()), unread(serving_container(state="exited"))).images == ()
    assert needs(make_desired(make_instance()), unread(serving_container(spec=None))).images == ()


def test_images_are_read_once_a_host_for_containers_to_create() -> None:
    hosts = (HERE, Host("there", "unix:///x"), Host("away", "unix:///y"))
    desired = make_desired(
        make_instance("a"),
        make_instance("b"),
        make_instance("a", host="there"),
        make_instance("a", host="away"),
        hosts=hosts,
    )
    changed = serving_container(model="b", spec=make_spec(drain=1))
    seen = Observed((ObservedHost("here", (changed,)), ObservedHost("there"), ObservedHost("away", problem="gone")))
    assert needs(desired, seen).images == (("here", IMAGE), ("there", IMAGE))


def test_an_image_is_read_for_a_new_or_changed_instance() -> None:
    needed = (("here", IMAGE),)
    assert needs(make_desired(make_instance()), unread()).images == needed
    assert needs(make_desired(make_instance()), unread(generation_container(1, state="exited"))).images == needed
    assert needs(make_desired(make_instance()), unread(serving_container(spec=make_spec(drain=1)))).images == needed


def test_a_container_is_inspected_only_when_its_label_may_be_out_of_date() -> None:
    """A label cannot follow a change in place, and every inspection is a request."""
    changed = make_desired(make_instance(memory=1024))
    assert needs(make_desired(make_instance()), unread(serving_container())).inspections == ()
    assert needs(make_desired(make_instance()), unread(serving_container(spec=make_spec(drain=1)))).inspections == ()
    assert needs(changed, unread()).inspections == ()
    assert needs(changed, unread(serving_container())).inspections == (("here", f"id-{serving_name('tiny')}"),)


@pytest.mark.parametrize("state", ["exited", "created", "restarting", "paused", "dead"])
def test_the_record_is_read_for_an_instance_to_start(state: str) -> None:
    """It holds how long its starts took: without it the plan could not name the time that it will be down."""
    assert needs(make_desired(make_instance()), unread(serving_container(state=state))).records == ("here",)


def test_the_record_is_read_only_for_a_new_changed_or_restarted_instance() -> None:
    desired = make_desired(make_instance())
    assert needs(desired, unread(serving_container())).records == ()
    assert needs(desired, unread()).records == ("here",)
    assert needs(desired, unread(serving_container(spec=make_spec(drain=1)))).records == ("here",)
    assert needs(desired, unread(serving_container()), Request(restart=("tiny",))).records == ("here",)
