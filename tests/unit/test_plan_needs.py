"""What the planner needs to know of images and containers, and no more."""

from __future__ import annotations

from cortexctl.desired.stack import Host
from cortexctl.instance.labels import serving_name
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.plan.planner import images_needed, inspections_needed
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


def test_no_image_is_looked_up_for_a_no_op() -> None:
    """Each look-up is a request to a daemon, perhaps to a registry."""
    assert images_needed(make_desired(make_instance()), make_observed(serving_container())) == ()


def test_no_image_is_looked_up_for_a_start_or_for_what_cannot_be_read() -> None:
    assert images_needed(make_desired(make_instance()), make_observed(serving_container(state="exited"))) == ()
    assert images_needed(make_desired(make_instance()), make_observed(serving_container(spec=None))) == ()


def test_images_are_looked_up_once_a_host_for_what_will_be_made() -> None:
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
    assert images_needed(desired, seen) == (("here", IMAGE), ("there", IMAGE))


def test_an_image_is_looked_up_for_what_is_new_or_changed() -> None:
    needed = (("here", IMAGE),)
    assert images_needed(make_desired(make_instance()), make_observed()) == needed
    assert (
        images_needed(make_desired(make_instance()), make_observed(generation_container(1, state="exited"))) == needed
    )
    assert (
        images_needed(make_desired(make_instance()), make_observed(serving_container(spec=make_spec(drain=1))))
        == needed
    )


def test_a_container_is_inspected_only_when_its_label_may_no_longer_tell() -> None:
    """A label cannot follow what is changed in place, and every inspection is a request."""
    changed = make_desired(make_instance(memory=1024))
    assert inspections_needed(make_desired(make_instance()), make_observed(serving_container())) == ()
    assert (
        inspections_needed(make_desired(make_instance()), make_observed(serving_container(spec=make_spec(drain=1))))
        == ()
    )
    assert inspections_needed(changed, make_observed()) == ()
    assert inspections_needed(changed, make_observed(serving_container())) == (("here", f"id-{serving_name('tiny')}"),)
