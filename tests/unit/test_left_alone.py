"""A container with our stack's labels that is not ours is named and never changed."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cortexctl.desired.stack import Desired
from cortexctl.hosts.fleet import open_hosts
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.labels import generation_name, serving_name, undone_name
from cortexctl.observe.gather import gather, observe_identity
from cortexctl.observed.container_list import parse_containers
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import LeftAloneReason, image_labels_needed, left_alone, owned_instances, read_owned
from cortexctl.plan.model import Plan
from cortexctl.plan.needs import needs_of_identity
from cortexctl.plan.planner import plan
from cortexctl.plan.rollback import RollbackTarget, plan_rollback
from cortexctl.plan.steps import RemoveContainer, StartContainer, StopContainer
from tests.applying import serving, stack, with_length
from tests.fakes.daemon_socket import row, talking_daemon
from tests.fakes.world import World
from tests.reading import desired_from
from tests.specs import new_spec

COPIES = ["my-debugging", "vllm-model-tiny--g9", "vllm-model-tiny-debug", "vllm-model-tiny.2", "tiny"]
NOTHING = "[models.tiny]\nenabled = false\n"
KEEPS_NONE = "[models.tiny.rollout]\nkeep = 0\n"


def stays(world: World, copy: str) -> None:
    """It still runs under its name."""
    assert world.daemon().by_name(copy).state == "running"


def named_in(plan: Plan, copy: str) -> bool:
    summaries = [d.summary for d in plan.diagnostics if d.rule == "CX416"]
    return len(summaries) == 1 and f"the container {copy} " in summaries[0]


def applied(tmp_path: Path, *lengths: int) -> World:
    world = World("demo", "here")
    for length in lengths:
        assert world.apply(world.plan(stack(tmp_path, with_length(length)))).exit_code == 0
    return world


@pytest.mark.parametrize("copy", COPIES)
def test_a_commit_of_ours_outlives_a_replacement_that_keeps_nothing(tmp_path: Path, copy: str) -> None:
    world = applied(tmp_path, 1024)
    world.daemon().commit("vllm-model-tiny", copy)
    plan = world.plan(stack(tmp_path, with_length(2048) + KEEPS_NONE))
    assert named_in(plan, copy)
    assert [(h.containers, h.unmanaged) for h in plan.hosts] == [(1, 1)]
    assert world.apply(plan).exit_code == 0
    stays(world, copy)
    assert serving(world)["vllm-model-tiny"] == "running"


@pytest.mark.parametrize("copy", COPIES)
def test_a_commit_of_ours_is_no_change_and_is_named(tmp_path: Path, copy: str) -> None:
    world = applied(tmp_path, 1024)
    world.daemon().commit("vllm-model-tiny", copy)
    plan = world.plan(stack(tmp_path, with_length(1024)))
    assert plan.effective == ()
    assert named_in(plan, copy)


@pytest.mark.parametrize("copy", COPIES)
def test_a_commit_of_ours_outlives_destroy_and_a_model_that_leaves_the_stack(tmp_path: Path, copy: str) -> None:
    world = applied(tmp_path, 1024)
    world.daemon().commit("vllm-model-tiny", copy)
    assert world.apply(world.plan(stack(tmp_path, with_length(1024)), destroy=True)).exit_code == 0
    stays(world, copy)
    assert [c.name for c in world.daemon().all()] == [copy]
    again = world.plan(stack(tmp_path, with_length(1024)), destroy=True)
    assert not [s for s in again.steps if isinstance(s.task, RemoveContainer | StopContainer | StartContainer)]


@pytest.mark.parametrize("copy", COPIES)
def test_no_rollback_uses_a_commit_of_ours(tmp_path: Path, copy: str) -> None:
    world = applied(tmp_path, 1024, 2048)
    retained = world.daemon().by_name("vllm-model-tiny--g1")
    world.daemon().commit(retained.name, copy)
    desired = stack(tmp_path, with_length(2048))
    plan = plan_rollback(desired, world.observe_for(desired), RollbackTarget("here/tiny"))
    assert [r.id for r in (plan.changes[0].detail.candidate,) if r] == [retained.id]
    assert named_in(plan, copy)
    assert world.apply(plan).exit_code == 0
    stays(world, copy)


def test_a_commit_of_ours_never_serves_in_the_place_of_one_that_is_gone(tmp_path: Path) -> None:
    world = applied(tmp_path, 1024)
    ours = world.daemon().by_name("vllm-model-tiny")
    world.daemon().commit(ours.name, "my-debugging")
    del world.daemon().containers[ours.id]
    plan = world.plan(stack(tmp_path, with_length(1024)))
    assert [c.action.value for c in plan.effective] == ["create"]
    assert world.apply(plan).exit_code == 0
    stays(world, "my-debugging")


@pytest.mark.parametrize("name", ["vllm-model-tiny--g2", "vllm-model-tiny--g1"])
def test_a_commit_of_ours_under_a_name_that_is_needed_stops_the_plan(tmp_path: Path, name: str) -> None:
    """The name of the candidate, and the name that the old container will get."""
    world = applied(tmp_path, 1024)
    world.daemon().commit("vllm-model-tiny", name)
    plan = world.plan(stack(tmp_path, with_length(2048)))
    assert [d.rule for d in plan.diagnostics if d.is_error] == ["CX406"]


def test_the_owner_of_a_container_is_checked_again_before_a_step(tmp_path: Path) -> None:
    """Its origin is gone. By the list alone, it is the retained generation."""
    world = applied(tmp_path, 1024, 2048)
    retained = world.daemon().by_name("vllm-model-tiny--g1")
    world.daemon().commit(retained.name, "soon")
    del world.daemon().containers[retained.id]
    world.daemon().by_name("soon").name = "vllm-model-tiny--g1"
    assert world.apply(world.plan(stack(tmp_path, with_length(4096) + KEEPS_NONE))).exit_code != 0
    stays(world, "vllm-model-tiny--g1")


def test_a_renamed_container_gets_its_name_again_if_its_labels_are_its_own(tmp_path: Path) -> None:
    world = applied(tmp_path, 1024)
    world.daemon().by_name("vllm-model-tiny").name = "by-hand"
    plan = world.plan(stack(tmp_path, with_length(1024)))
    assert [c.action.value for c in plan.effective] == ["move"]
    assert world.apply(plan).exit_code == 0
    assert serving(world) == {"vllm-model-tiny": "running"}


def test_a_stack_whose_image_is_a_commit_of_ours_works(tmp_path: Path) -> None:
    """A user committed a container of ours, and the stack uses that image. Each run labels its own containers."""
    world = applied(tmp_path, 1024)
    ours = world.daemon().by_name("vllm-model-tiny")
    world.daemon().image_labels[ours.image] = {**ours.labels, labels.RUN: "before"}
    plan = world.plan(stack(tmp_path, with_length(2048)))
    assert world.apply(plan).exit_code == 0
    assert serving(world) == {"vllm-model-tiny": "running", "vllm-model-tiny--g1": "exited"}


# the facts in the list of containers


SPEC = spec_to_label(new_spec("image:v0.32.0", "/models/tiny", ("tiny",), "0.32.0"))
LABELS = {
    labels.STACK: "demo", labels.MODEL: "tiny", labels.HOST: "here", labels.ORDINAL: "1", labels.GENERATION: "3",
    labels.RUN: "run1", labels.SPEC: SPEC,
}  # fmt: skip


def host_with(*names: str, image: str = "sha256:1", **more: str) -> ObservedHost:
    marks = {**LABELS, **{getattr(labels, k): v for k, v in more.items()}}
    rows = [
        {"Id": str(n), "Names": [f"/{name}"], "ImageID": image, "State": "running", "Labels": marks}
        for n, name in enumerate(names)
    ]
    return ObservedHost("here", parse_containers(rows))


@pytest.mark.parametrize(
    "name",
    [serving_name("tiny"), generation_name("tiny", 1, 3), undone_name("tiny", 1, 3), serving_name("was")],
)
def test_under_a_name_that_we_gave_it_one_list_is_enough(name: str) -> None:
    host = host_with(name)
    moved = {"was": "tiny"}
    assert image_labels_needed(Observed((host,)), "demo", moved) == ()
    assert list(owned_instances(host, "demo", moved)) == ["here/tiny"]


@pytest.mark.parametrize(
    "name", ["x", generation_name("tiny", 1, 4), serving_name("tiny", 2), serving_name("other"), "vllm-model-tiny--g03"]
)
def test_under_another_name_a_container_is_left_alone_until_its_image_is_read(name: str) -> None:
    host = host_with(name)
    assert image_labels_needed(Observed((host,)), "demo") == (("here", "sha256:1"),)
    assert [(a.container.name, a.reason) for a in left_alone(host, "demo")] == [(name, LeftAloneReason.UNPROVEN)]
    assert owned_instances(host, "demo") == {}


def test_a_host_with_an_image_that_cannot_be_read_counts_as_unread(tmp_path: Path) -> None:
    """The owner of the container is unknown then. Another server beside it may be one too many."""
    desired = stack(tmp_path, with_length(1024))
    unreachable = [replace(h, docker=f"unix://{tmp_path}/none") for h in desired.hosts]
    observed = Observed((host_with("x"),))
    with open_hosts(unreachable, "demo") as daemons:
        read = gather(observed, partial(needs_of_identity, desired), daemons)
    assert [h.is_reachable for h in read.hosts] == [False]
    assert "CX401" in {d.rule for d in plan(desired, read).diagnostics if d.is_error}


def test_a_number_beyond_the_last_generation_is_not_given_out(tmp_path: Path) -> None:
    world = applied(tmp_path, 1024)
    container = world.daemon().by_name("vllm-model-tiny")
    container.labels[labels.GENERATION] = str(labels.MOST_GENERATIONS)
    plan = world.plan(stack(tmp_path, with_length(2048)))
    assert ["last possible one is 1,000,000,000" in d.summary for d in plan.diagnostics if d.rule == "CX402"] == [True]


def test_of_two_containers_with_the_same_labels_the_image_shows_which_is_ours() -> None:
    host = host_with(serving_name("tiny"), generation_name("tiny", 1, 3))
    assert image_labels_needed(Observed((host,)), "demo") == (("here", "sha256:1"),)


def test_a_moved_models_new_name_is_ours_too() -> None:
    host = host_with(serving_name("new"))
    assert list(owned_instances(host, "demo", {"tiny": "new"})) == ["here/new"]
    assert image_labels_needed(Observed((host,)), "demo", {"tiny": "new"}) == ()


BAD_NUMBERS = [
    "9" * 5000,
    "9" * 30,
    "-1",
    "",
    "one",
    "1.5",
    "²",
    "1e3",
    "NaN",
    "Infinity",
    "1" * 1_000_000,
    "[" * 100_000,
]


@pytest.mark.parametrize("text", BAD_NUMBERS, ids=lambda t: t[:10])
@pytest.mark.parametrize("label", ["ORDINAL", "GENERATION"])
def test_labels_that_do_not_say_which_instance_it_is(label: str, text: str) -> None:
    host = host_with(serving_name("tiny"), **{label: text})
    (alone,) = left_alone(host, "demo")
    assert alone.reason is LeftAloneReason.UNREADABLE
    assert len(alone.problem) < 100
    assert owned_instances(host, "demo") == {}
    with pytest.raises(ValueError, match="is not a number from"):
        read_owned(host.containers[0])


@pytest.mark.parametrize("model", ["", "a--b", "A", "../x", "\x1b]0;x\x07", "a" * 64, "\ud800", "m" * 1_000_000])
def test_a_name_that_no_model_can_have(model: str) -> None:
    host = host_with(serving_name("tiny"), MODEL=model)
    (alone,) = left_alone(host, "demo")
    assert alone.problem == "its cortexctl.model is not the name of a model"


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"v":1,"args":' + '{"a":' * 5000 + "1" + "}" * 5001, "9" * 5000, "x" * 2**20]
)
def test_a_spec_of_whatever_form_is_one_sentence(text: str) -> None:
    (owned,) = owned_instances(host_with(serving_name("tiny"), SPEC=text), "demo")["here/tiny"].all
    assert owned.spec is None
    assert 0 < len(owned.problem) <= 200


def test_what_cannot_be_read_on_one_host_does_not_stop_the_others(tmp_path: Path) -> None:
    """It is reported, but not as an error: a user of one daemon must not stop the fleet."""
    desired = two_hosts(tmp_path)
    bad = host_with("odd", GENERATION="9" * 5000)
    planned = plan(desired, Observed((bad, ObservedHost("there"))))
    assert [(d.rule, d.is_error) for d in planned.diagnostics] == [("CX416", False)]
    assert {c.host for c in planned.effective} == {"here", "there"}


def two_hosts(tmp_path: Path) -> Desired:
    path = tmp_path / "stack.toml"
    path.write_text(
        'stack = "demo"\n[hosts.here]\ndocker = "unix:///a"\nmodels_dir = "/m"\n[hosts.there]\ndocker = "unix:///b"\n'
        'models_dir = "/m"\n[models.tiny]\nimage = "image:v0.32.0"\nsource = { path = "tiny" }\ngpus = "none"\n'
        'hosts = ["*"]\n'
    )
    return desired_from(path)


# the requests to a daemon


def identity_of(tmp_path: Path, rows: list[dict[str, Any]], **answers: Any) -> tuple[Observed, list[str]]:
    path = tmp_path / "stack.toml"
    with talking_daemon(tmp_path / "daemon.sock", {"/containers/json?all=1": rows, **answers}) as daemon:
        path.write_text(
            f'stack = "demo"\n[hosts.here]\ndocker = "{daemon.url}"\nmodels_dir = "/m"\n[models.tiny]\n'
            'image = "image:v0.32.0"\nsource = { path = "tiny" }\ngpus = "none"\n'
        )
        desired = desired_from(path)
        with open_hosts(desired.hosts, desired.owner) as daemons:
            observed = observe_identity(desired, daemons)
        return observed, list(daemon.requests)


def test_without_doubt_one_list_is_the_only_request(tmp_path: Path) -> None:
    _, requests = identity_of(tmp_path, [row(SPEC)])
    assert requests == ["/containers/json?all=1"]


@pytest.mark.parametrize("image", [{"Config": {"Labels": None}}, {"Config": {}}, {"Config": {"Labels": {"a": "b"}}}])
def test_a_foreign_name_takes_one_more_request(tmp_path: Path, image: dict[str, Any]) -> None:
    odd = row(SPEC, Names=["/by-hand"])
    observed, requests = identity_of(tmp_path, [odd], **{f"/images/{odd['ImageID']}/json": image})
    assert requests == ["/containers/json?all=1", f"/images/{odd['ImageID']}/json"]
    assert [c.own_labels for c in observed.hosts[0].containers] == [True]


def test_an_image_that_is_gone_proves_nothing(tmp_path: Path) -> None:
    observed, _ = identity_of(tmp_path, [row(SPEC, Names=["/by-hand"])])
    assert [a.reason for a in left_alone(observed.hosts[0], "demo")] == [LeftAloneReason.UNPROVEN]


def test_a_commit_is_seen_by_its_image(tmp_path: Path) -> None:
    odd = row(SPEC, Names=["/by-hand"])
    image = {"Config": {"Labels": json.loads(json.dumps(odd["Labels"]))}}
    observed, _ = identity_of(tmp_path, [odd], **{f"/images/{odd['ImageID']}/json": image})
    assert [a.reason for a in left_alone(observed.hosts[0], "demo")] == [LeftAloneReason.COPY]
