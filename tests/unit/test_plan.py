from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.diagnostics import SourceSpan
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.labels import generation_name, is_generation_name, serving_name
from cortexctl.instance.spec import RESTART_POLICY, STOP_MARGIN, ContainerSpec, InPlace, Mount, Publish, SecretRef
from cortexctl.observed.host import BoundPort, ImageFacts, ObservedContainer, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.plan.action import Action, ReasonCode
from cortexctl.plan.decide import state_in_words
from cortexctl.plan.diff import FieldChange, diff, fields_of
from cortexctl.plan.guards import check_desired, check_hosts
from cortexctl.plan.model import Change, ContainerRef, Plan
from cortexctl.plan.order import in_order
from cortexctl.plan.planfile import NotAPlan, digest_of, plan_from_json, plan_to_json
from cortexctl.plan.planner import images_needed, inspections_needed, plan
from cortexctl.plan.recipes import SHORT_GRACE, tasks_of, undo
from cortexctl.plan.request import Request
from cortexctl.plan.stale import stale_reasons
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
    UpdateContainer,
)
from tests.record_case import CASES

IMAGE = "image:v0.32.0"
SPEC = ContainerSpec(image=IMAGE, model="/models/tiny", served_names=("tiny",), vllm_version="0.32.0", drain=45)
LOCAL = ImageFacts(IMAGE, "local", id="sha256:" + "1" * 64)
HERE = Host("here", "unix:///var/run/docker.sock")
SPAN = SourceSpan("stack.toml", 7, 1, 5, "gpus = [0]")


def _spec(**fields: Any) -> ContainerSpec:
    return dataclasses.replace(SPEC, **fields)


def _wanted(
    model: str = "tiny", *, host: str = "here", keep: int = 2, protect: bool = False, **fields: Any
) -> Instance:
    spec = _spec(**{"served_names": (model,), "model": f"/models/{model}", **fields})
    return Instance(host, model, spec, keep=keep, protect=protect, where={"": SPAN})


def _container(
    name: str,
    *,
    model: str = "tiny",
    generation: int = 1,
    state: str = "running",
    spec: ContainerSpec | None = SPEC,
    stack: str = "demo",
    **fields: Any,
) -> ObservedContainer:
    marks = {
        labels.STACK: stack,
        labels.MODEL: model,
        labels.ORDINAL: "1",
        labels.GENERATION: str(generation),
        labels.SPEC: spec_to_label(spec) if spec else "nonsense",
        labels.PROTECT: "true" if fields.pop("protect", False) else "false",
        labels.RUN: fields.pop("run", "run1"),
    }
    exit_code = 0 if state == "exited" else None
    fields.setdefault("networks", ("cortex_default",))
    return ObservedContainer(f"id-{name}", name, IMAGE, "sha256:" + "1" * 64, state, exit_code, marks, **fields)


def _serving(generation: int = 1, *, model: str = "tiny", **fields: Any) -> ObservedContainer:
    return _container(serving_name(model), model=model, generation=generation, **fields)


def _other(generation: int, *, model: str = "tiny", **fields: Any) -> ObservedContainer:
    return _container(generation_name(model, 1, generation), model=model, generation=generation, **fields)


def _foreign(name: str, **fields: Any) -> ObservedContainer:
    return ObservedContainer(f"id-{name}", name, "postgres:16", "sha256:" + "9" * 64, "running", **fields)


def _desired(*instances: Instance, hosts: tuple[Host, ...] = (HERE,)) -> Desired:
    return Desired("demo", "stack.toml", hosts, instances)


def _observed(*containers: ObservedContainer, images: Mapping[tuple[str, str], ImageFacts] | None = None) -> Observed:
    return Observed((ObservedHost("here", containers),), {("here", IMAGE): LOCAL} if images is None else images)


def _plan(*instances: Instance, found: tuple[ObservedContainer, ...] = (), **request: Any) -> Plan:
    return plan(_desired(*instances), _observed(*found), Request(**request))


def _decide(wanted: Instance, *found: ObservedContainer, **request: Any) -> list[Change]:
    """The changes of one instance: what an interrupted apply left first, then its own."""
    return sorted(_plan(wanted, found=found, **request).changes, key=lambda c: c.address == wanted.address)


def _gone(*found: ObservedContainer, destroy: bool = False) -> Change:
    """The change of a model that is not in the stack any more."""
    (change,) = _plan(found=found, destroy=destroy).changes
    return change


def _rules(made: Plan) -> list[str]:
    return [d.rule for d in made.diagnostics]


# diff: which fields differ, by the paths that a stack's reader knows


@pytest.mark.parametrize(
    ("changed", "path", "before", "after"),
    [
        ({"image": "image:v0.33.0"}, "image", IMAGE, "image:v0.33.0"),
        ({"model": "/models/b"}, "model", "/models/tiny", "/models/b"),
        ({"served_names": ("a", "b")}, "served_names", ["tiny"], ["a", "b"]),
        ({"vllm_version": "0.33.0"}, "vllm_version", "0.32.0", "0.33.0"),
        ({"args": {"seed": 0}}, "args.seed", None, 0),
        ({"extra_args": ("--x",)}, "extra_args", None, ["--x"]),
        ({"env": {"A": "1"}}, "env.A", None, "1"),
        ({"gpus": (0, 1)}, "gpus", "none", [0, 1]),
        ({"mounts": (Mount("/a", "/models"),)}, "mounts./models", None, "/a (read-only)"),
        ({"mounts": (Mount("c", "/cache", read_only=False),)}, "mounts./cache", None, "c"),
        ({"publish": Publish("127.0.0.1", 8801)}, "publish", None, "127.0.0.1:8801"),
        ({"publish": Publish("127.0.0.1")}, "publish", None, "127.0.0.1 (any free port)"),
        ({"network": "other"}, "network", "cortex_default", "other"),
        ({"ipc": "host"}, "ipc", "private", "host"),
        ({"shm_size": 1024}, "shm_size", 2 * 1024**3, 1024),
        ({"drain": 60}, "drain", 45, 60),
        ({"restart": "no"}, "restart", "unless-stopped", "no"),
        ({"memory": 1024}, "memory", None, 1024),
        ({"cpus": 1.5}, "cpus", None, 1.5),
    ],
)
def test_a_changed_field_is_named_with_both_values(changed: dict[str, Any], path: str, before: Any, after: Any) -> None:
    assert diff(SPEC, _spec(**changed)) == (FieldChange(path, before, after),)
    assert diff(_spec(**changed), SPEC) == (FieldChange(path, after, before),)


def test_every_field_of_a_spec_is_compared() -> None:
    """A field that the comparison forgets would never be rolled out."""
    samples: dict[str, Any] = {
        "image": "other",
        "model": "/models/b",
        "served_names": ("b",),
        "vllm_version": "0.33.0",
        "args": {"seed": 1},
        "extra_args": ("--x",),
        "env": {"A": "1"},
        "secrets": (SecretRef("A", "env", "A", "0" * 16),),
        "gpus": (1,),
        "mounts": (Mount("/a", "/b"),),
        "publish": Publish("127.0.0.1", 1),
        "network": "other",
        "ipc": "host",
        "shm_size": 1,
        "drain": 1,
        "restart": "always",
        "memory": 1,
        "cpus": 1.0,
    }
    assert set(samples) == {f.name for f in dataclasses.fields(ContainerSpec)}
    for name, value in samples.items():
        assert len(diff(SPEC, _spec(**{name: value}))) == 1, name


def test_equal_specs_do_not_differ_whatever_the_order_of_their_mappings() -> None:
    one = _spec(args={"seed": 1, "dtype": "half"}, env={"A": "1", "B": "2"})
    other = _spec(args={"dtype": "half", "seed": 1}, env={"B": "2", "A": "1"})
    assert diff(one, other) == ()


def test_changes_are_sorted_by_path() -> None:
    after = _spec(shm_size=1, args={"seed": 1, "dtype": "half"}, image="b", env={"Z": "1", "A": "1"})
    paths = [f.path for f in diff(SPEC, after)]
    assert paths == ["args.dtype", "args.seed", "env.A", "env.Z", "image", "shm_size"]


def test_arguments_that_are_added_changed_or_removed_are_told_apart() -> None:
    before = _spec(args={"seed": 1, "dtype": "half", "same": 1})
    after = _spec(args={"seed": 2, "enforce_eager": False, "same": 1})
    assert diff(before, after) == (
        FieldChange("args.dtype", "half", None),
        FieldChange("args.enforce_eager", None, False),
        FieldChange("args.seed", 1, 2),
    )


def test_a_changed_json_argument_names_the_key_inside_it() -> None:
    before = _spec(args={"hf_overrides": {"rope": {"theta": 1, "type": "a"}, "list": [1, 2, 3], "old": True}})
    after = _spec(
        args={"hf_overrides": {"rope": {"theta": 2, "type": "a"}, "list": [1, 9, 3], "new": "n", "old": False}}
    )
    assert diff(before, after) == (
        FieldChange("args.hf_overrides.list.1", 2, 9),
        FieldChange("args.hf_overrides.new", None, "n"),
        FieldChange("args.hf_overrides.old", True, False),
        FieldChange("args.hf_overrides.rope.theta", 1, 2),
    )


def test_a_json_argument_that_appears_or_goes_is_shown_whole() -> None:
    with_it = _spec(args={"hf_overrides": {"a": 1}})
    assert diff(SPEC, with_it) == (FieldChange("args.hf_overrides", None, {"a": 1}),)
    assert diff(with_it, SPEC) == (FieldChange("args.hf_overrides", {"a": 1}, None),)


def test_text_and_number_are_different() -> None:
    before, after = _spec(args={"x": 1, "j": {"k": 1, "l": 0}}), _spec(args={"x": "1", "j": {"k": "1", "l": 0}})
    assert diff(before, after) == (FieldChange("args.j.k", 1, "1"), FieldChange("args.x", 1, "1"))


def test_a_secret_is_compared_by_origin_and_fingerprint_and_is_sensitive() -> None:
    old = _spec(secrets=(SecretRef("HF_TOKEN", "env", "HF_TOKEN", "aaaa"),))
    new = _spec(secrets=(SecretRef("HF_TOKEN", "env", "HF_TOKEN", "bbbb"),))
    moved = _spec(secrets=(SecretRef("HF_TOKEN", "file", "t.txt", "aaaa"),))
    assert diff(old, new) == (
        FieldChange("secrets.HF_TOKEN", "env:HF_TOKEN aaaa", "env:HF_TOKEN bbbb", sensitive=True),
    )
    assert diff(old, moved) == (
        FieldChange("secrets.HF_TOKEN", "env:HF_TOKEN aaaa", "file:t.txt aaaa", sensitive=True),
    )
    assert diff(SPEC, old) == (FieldChange("secrets.HF_TOKEN", None, "env:HF_TOKEN aaaa", sensitive=True),)


def test_only_secrets_are_sensitive() -> None:
    after = _spec(args={"seed": 1}, env={"SECRETS": "1"}, image="b")
    assert [f.sensitive for f in diff(SPEC, after)] == [False, False, False]


def test_what_is_not_set_is_not_among_the_fields() -> None:
    bare = ContainerSpec(image="i", model="m", served_names=("a",))
    assert set(fields_of(bare)) == {
        "image",
        "model",
        "served_names",
        "network",
        "ipc",
        "shm_size",
        "drain",
        "gpus",
        "restart",
    }


# guards: what must not be planned


def test_a_stack_without_clashes_passes() -> None:
    good = _desired(
        _wanted("a", gpus=(0,), publish=Publish("127.0.0.1", 8001)),
        _wanted("b", gpus=(1,), publish=Publish("127.0.0.1", 8002)),
    )
    assert check_desired(good) == []


def test_two_models_must_not_serve_the_same_name_on_one_network() -> None:
    one, other = _wanted("a", served_names=("x", "shared")), _wanted("b", served_names=("shared",))
    (found,) = check_desired(_desired(one, other))
    assert found.rule == "CX206"
    assert found.is_error
    assert '"a"' in found.summary
    assert '"b"' in found.summary
    assert '"shared"' in found.summary
    assert check_desired(_desired(one, _wanted("b", served_names=("shared",), network="other"))) == []


def test_two_models_may_serve_the_same_name_on_two_hosts() -> None:
    hosts = (HERE, Host("there", "unix:///x"))
    both = (_wanted("a", served_names=("s",)), _wanted("b", host="there", served_names=("s",)))
    assert check_desired(_desired(*both, hosts=hosts)) == []


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
    found = check_desired(_desired(_wanted("a", publish=one), _wanted("b", publish=other)))
    assert [d.rule for d in found] == (["CX207"] if clash else [])


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
def test_sharers_of_a_gpu_must_not_ask_for_more_than_there_is(shares: list[float | None], refused: bool) -> None:
    """A sharer that does not say counts with vLLM's own share, 0.92."""
    models = [
        _wanted(f"m{n}", gpus=(3,), args={} if s is None else {"gpu_memory_utilization": s})
        for n, s in enumerate(shares)
    ]
    found = check_desired(_desired(*models))
    assert [d.rule for d in found] == (["CX208"] if refused else [])
    if refused:
        assert "GPU 3 of here" in found[0].summary
        assert all(m.address in found[0].summary for m in models)


def test_gpus_of_two_hosts_are_not_shared() -> None:
    hosts = (HERE, Host("there", "unix:///x"))
    assert check_desired(_desired(_wanted("a", gpus=(0,)), _wanted("b", host="there", gpus=(0,)), hosts=hosts)) == []


def test_two_hosts_must_not_be_the_same_daemon() -> None:
    found = check_desired(_desired(hosts=(HERE, Host("there", HERE.docker), Host("away", "unix:///x"))))
    assert [d.rule for d in found] == ["CX213"]
    assert '"here" and "there"' in found[0].summary


def test_a_container_of_a_host_by_another_name_is_an_error_and_is_left_alone() -> None:
    moved = _serving()
    moved = dataclasses.replace(moved, labels={**moved.labels, labels.HOST: "old-name"})
    made = _plan(found=(moved,))
    assert _rules(made) == ["CX404"]
    assert '"old-name"' in made.diagnostics[0].summary
    assert made.changes == ()


@pytest.mark.parametrize("name", [serving_name("tiny"), generation_name("tiny", 1, 1)])
def test_a_name_that_somebody_else_holds_is_never_taken(name: str) -> None:
    made = _plan(_wanted(), found=(_foreign(name),))
    assert _rules(made) == ["CX406"]
    assert "is not ours" in made.diagnostics[0].summary
    assert made.diagnostics[0].span == SPAN


def test_a_name_of_another_stack_says_whose_it_is() -> None:
    made = _plan(_wanted(), found=(_serving(stack="other"),))
    assert _rules(made) == ["CX406"]
    assert 'belongs to the stack "other"' in made.diagnostics[0].summary


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
def test_a_port_that_somebody_else_holds_is_refused(bound: BoundPort, publish: Publish | None, clash: bool) -> None:
    made = _plan(_wanted(publish=publish), found=(_foreign("db", ports=(bound,)),))
    assert _rules(made) == (["CX407"] if clash else [])


def test_a_port_that_the_same_plan_sets_free_may_be_taken() -> None:
    publish = Publish("127.0.0.1", 8001)
    old = _serving(model="old", spec=_spec(publish=publish), ports=(BoundPort("127.0.0.1", 8001),))
    assert _rules(_plan(_wanted(publish=publish), found=(old,))) == []
    itself = _serving(spec=_spec(publish=publish), ports=(BoundPort("127.0.0.1", 8001),))
    assert _rules(_plan(_wanted(publish=publish, drain=1), found=(itself,))) == []


def test_the_port_of_its_own_candidate_is_not_in_the_way_of_an_interrupted_create() -> None:
    publish = Publish("127.0.0.1", 8001)
    candidate = _other(1, spec=_spec(publish=publish), ports=(BoundPort("127.0.0.1", 8001),))
    assert _rules(_plan(_wanted(publish=publish), found=(candidate,))) == []


def test_an_image_that_is_not_to_be_had_is_refused_with_the_daemons_words() -> None:
    missing = {("here", IMAGE): ImageFacts(IMAGE, "missing", problem="manifest unknown")}
    made = plan(_desired(_wanted()), _observed(images=missing))
    assert _rules(made) == ["CX405"]
    assert made.diagnostics[0].detail == "manifest unknown"


def test_what_does_not_change_is_not_guarded_against_hosts() -> None:
    """A running container that matches is left alone, even if its image is gone from the registry."""
    missing = {("here", IMAGE): ImageFacts(IMAGE, "missing", problem="manifest unknown")}
    observed = _observed(_serving(), images=missing)
    desired = _desired(_wanted())
    assert check_hosts(desired, observed, plan(desired, observed).changes) == []


def test_a_protected_model_that_left_the_stack_is_not_removed() -> None:
    found = (_serving(protect=True),)
    assert _rules(_plan(found=found)) == ["CX403"]
    assert _rules(_plan(found=found, unprotect=("here/tiny",))) == []


def test_the_stack_can_lift_a_protection_and_the_label_cannot() -> None:
    found = (_serving(protect=True),)
    assert _rules(_plan(_wanted(protect=False), found=found, destroy=True)) == []
    assert _rules(_plan(_wanted(protect=True), found=(_serving(protect=False),), destroy=True)) == ["CX403"]


def test_an_unreachable_host_is_named_and_its_models_are_left_out() -> None:
    observed = Observed((ObservedHost("here", problem="nothing answers", next_step="start it"),))
    made = plan(_desired(_wanted("a"), _wanted("b")), observed)
    assert made.changes == ()
    assert made.steps == ()
    assert _rules(made) == ["CX401"]
    assert made.diagnostics[0].summary == "here: nothing answers; left out of this plan: a, b"
    assert made.diagnostics[0].help == "start it"


def test_a_container_whose_spec_cannot_be_read_is_neither_replaced_nor_removed() -> None:
    made = _plan(_wanted(), found=(_serving(spec=None),))
    assert _rules(made) == ["CX402"]
    assert made.changes == ()


# what is decided: actions and generations


def test_what_is_not_there_is_created_as_generation_1() -> None:
    (change,) = _decide(_wanted())
    assert (change.action, change.generation) == (Action.CREATE, 1)
    assert [r.code for r in change.reasons] == [ReasonCode.NEW]
    assert change.touched == ()


def test_what_runs_as_wanted_is_left_alone() -> None:
    (change,) = _decide(_wanted(), _serving(3))
    assert (change.action, change.generation) == (Action.NO_OP, 3)
    assert tasks_of(change) == []


@pytest.mark.parametrize("state", ["exited", "created", "restarting", "paused", "dead"])
def test_what_is_as_wanted_and_does_not_run_is_started(state: str) -> None:
    (change,) = _decide(_wanted(), _serving(3, state=state))
    assert (change.action, change.generation) == (Action.START, 3)
    assert change.reasons[0].code is ReasonCode.STOPPED
    assert change.reasons[0].detail == state_in_words(_serving(state=state))


def test_an_exit_code_is_said_with_the_state() -> None:
    assert state_in_words(_serving(state="exited")) == "exited with code 0"
    assert state_in_words(_serving(state="restarting")) == "restarting"


@pytest.mark.parametrize(
    ("serving", "kept", "generation"),
    [(1, (), 2), (3, (1, 2), 4), (3, (2,), 4), (12, (2, 11), 13)],
)
def test_a_replacement_gets_the_generation_after_the_newest(
    serving: int, kept: tuple[int, ...], generation: int
) -> None:
    old = _spec(drain=1)
    others = [_other(g, state="exited", spec=_spec(drain=2)) for g in kept]
    (change,) = _decide(_wanted(), _serving(serving, spec=old), *others)
    assert (change.action, change.generation) == (Action.REPLACE, generation)
    assert [r.detail for r in change.reasons] == ["drain"]
    assert change.before == old
    assert change.after == SPEC


def test_a_generation_that_was_used_is_not_used_again_after_the_serving_one_went() -> None:
    (change,) = _decide(_wanted(), _other(4, state="exited", spec=_spec(drain=1)))
    assert (change.action, change.generation) == (Action.CREATE, 5)
    assert change.touched == ()


@pytest.mark.parametrize("state", ["created", "running", "exited"])
def test_a_candidate_of_an_interrupted_create_is_gone_on_with(state: str) -> None:
    (change,) = _decide(_wanted(), _other(2, state=state, run="abcd"))
    assert (change.action, change.generation) == (Action.CREATE, 2)
    assert [(r.code, r.detail) for r in change.reasons] == [(ReasonCode.UNFINISHED, "abcd")]
    assert [ref.generation for ref in change.touched] == [2]


@pytest.mark.parametrize("state", ["created", "running", "exited"])
def test_a_candidate_of_an_interrupted_replacement_is_gone_on_with(state: str) -> None:
    (change,) = _decide(_wanted(), _serving(1, spec=_spec(drain=1)), _other(2, state=state, run="abcd"))
    assert (change.action, change.generation) == (Action.REPLACE, 2)
    assert [r.code for r in change.reasons] == [ReasonCode.CHANGED, ReasonCode.UNFINISHED]
    assert [ref.generation for ref in change.touched] == [1, 2]


def test_a_candidate_of_another_spec_is_removed_first_and_its_number_not_used_again() -> None:
    leftover, change = _decide(_wanted(), _serving(1, spec=_spec(drain=1)), _other(2, spec=_spec(drain=2), run="abcd"))
    assert (leftover.action, leftover.address) == (Action.REMOVE, "here/tiny--g2")
    assert [(r.code, r.detail) for r in leftover.reasons] == [(ReasonCode.LEFTOVER, "abcd")]
    assert (change.action, change.generation) == (Action.REPLACE, 3)


def test_a_candidate_beside_a_serving_container_that_is_as_wanted_is_rubbish() -> None:
    leftover, change = _decide(_wanted(), _serving(1), _other(2))
    assert leftover.action is Action.REMOVE
    assert change.action is Action.NO_OP


def test_of_several_candidates_the_youngest_is_gone_on_with() -> None:
    leftover, change = _decide(_wanted(), _serving(1, spec=_spec(drain=1)), _other(2), _other(3))
    assert leftover.address == "here/tiny--g2"
    assert change.generation == 3


def test_an_older_container_of_the_wanted_spec_is_kept_and_no_candidate() -> None:
    (change,) = _decide(_wanted(), _serving(2, spec=_spec(drain=1)), _other(1, state="exited"))
    assert (change.action, change.generation) == (Action.REPLACE, 3)


@pytest.mark.parametrize(("keep", "pruned"), [(0, [1, 2, 3]), (1, [1, 2, 3]), (2, [1, 2]), (3, [1]), (4, []), (9, [])])
def test_a_replacement_prunes_the_oldest_kept_generations(keep: int, pruned: list[int]) -> None:
    """`keep` counts the one that is being replaced."""
    others = [_other(g, state="exited", spec=_spec(drain=2)) for g in (2, 1, 3)]
    (change,) = _decide(_wanted(keep=keep), _serving(4, spec=_spec(drain=1)), *others)
    assert [ref.generation for ref in change.touched] == [4, *pruned]
    old = [] if keep else [RemoveContainer(f"id-{serving_name('tiny')}")]
    assert [t for t in tasks_of(change) if isinstance(t, RemoveContainer)] == [
        *(RemoveContainer(f"id-{generation_name('tiny', 1, g)}") for g in pruned),
        *old,
    ]


@pytest.mark.parametrize(("destroy", "reason"), [(False, ReasonCode.NOT_IN_STACK), (True, ReasonCode.DESTROY)])
def test_a_removal_takes_every_container_of_the_instance(destroy: bool, reason: ReasonCode) -> None:
    change = _gone(_serving(2), _other(1, state="exited"), _other(3, state="created"), destroy=destroy)
    assert change.action is Action.REMOVE
    assert [r.code for r in change.reasons] == [reason]
    assert {ref.generation for ref in change.touched} == {1, 2, 3}
    assert change.cost.down


def test_a_removal_of_what_does_not_run_costs_nothing() -> None:
    assert not _gone(_serving(2, state="exited"), destroy=True).cost.down


def test_a_new_image_is_pinned_and_pulled_only_when_it_is_not_there() -> None:
    digest = "sha256:" + "d" * 64
    remote = {("here", IMAGE): ImageFacts(IMAGE, "registry", digest=digest)}
    (local,) = plan(_desired(_wanted()), _observed()).changes
    (pulled,) = plan(_desired(_wanted()), _observed(images=remote)).changes
    assert local.image is not None
    assert (local.image.id, local.image.pull) == (LOCAL.id, False)
    assert pulled.image is not None
    assert (pulled.image.digest, pulled.image.pull) == (digest, True)
    assert tasks_of(local)[0] == CreateContainer(generation_name("tiny", 1, 1), 1, LOCAL.id)
    assert tasks_of(pulled)[0] == CreateContainer(generation_name("tiny", 1, 1), 1, f"{IMAGE}@{digest}")


# which images are looked up


def test_no_image_is_looked_up_for_a_no_op() -> None:
    """Each look-up is a request to a daemon, perhaps to a registry."""
    assert images_needed(_desired(_wanted()), _observed(_serving())) == ()


def test_no_image_is_looked_up_for_a_start_or_for_what_cannot_be_read() -> None:
    assert images_needed(_desired(_wanted()), _observed(_serving(state="exited"))) == ()
    assert images_needed(_desired(_wanted()), _observed(_serving(spec=None))) == ()


def test_images_are_looked_up_once_a_host_for_what_will_be_made() -> None:
    hosts = (HERE, Host("there", "unix:///x"), Host("away", "unix:///y"))
    desired = _desired(
        _wanted("a"),
        _wanted("b"),
        _wanted("a", host="there"),
        _wanted("a", host="away"),
        hosts=hosts,
    )
    changed = _serving(model="b", spec=_spec(drain=1))
    seen = Observed((ObservedHost("here", (changed,)), ObservedHost("there"), ObservedHost("away", problem="gone")))
    assert images_needed(desired, seen) == (("here", IMAGE), ("there", IMAGE))


def test_an_image_is_looked_up_for_what_is_new_or_changed() -> None:
    needed = (("here", IMAGE),)
    assert images_needed(_desired(_wanted()), _observed()) == needed
    assert images_needed(_desired(_wanted()), _observed(_other(1, state="exited"))) == needed
    assert images_needed(_desired(_wanted()), _observed(_serving(spec=_spec(drain=1)))) == needed


def test_a_container_is_inspected_only_when_its_label_may_no_longer_tell() -> None:
    """A label cannot follow what is changed in place, and every inspection is a request."""
    changed = _desired(_wanted(memory=1024))
    assert inspections_needed(_desired(_wanted()), _observed(_serving())) == ()
    assert inspections_needed(_desired(_wanted()), _observed(_serving(spec=_spec(drain=1)))) == ()
    assert inspections_needed(changed, _observed()) == ()
    assert inspections_needed(changed, _observed(_serving())) == (("here", f"id-{serving_name('tiny')}"),)


# what is changed in place


def test_a_limit_is_changed_in_place_and_nothing_goes_down() -> None:
    (change,) = _decide(_wanted(memory=2048, cpus=1.5, restart="always"), _serving(3, spec=_spec(memory=1024)))
    assert (change.action, change.generation, change.cost.down) == (Action.UPDATE, 3, False)
    assert [f.path for f in change.fields] == ["cpus", "memory", "restart"]
    here = f"id-{serving_name('tiny')}"
    assert tasks_of(change) == [SetRestart(here, "always"), UpdateContainer(here, 2048, 1.5)]
    assert undo(change) == []


def test_a_limit_that_is_taken_away_takes_a_new_container() -> None:
    (change,) = _decide(_wanted(), _serving(spec=_spec(memory=1024)))
    assert change.action is Action.REPLACE


def test_an_inspection_has_the_last_word_on_what_is_changed_in_place() -> None:
    here = ("here", f"id-{serving_name('tiny')}")
    wanted = _wanted(memory=2048)
    observed = _observed(_serving())
    as_wanted = observed.with_facts(observed.images, {here: InPlace(memory=2048)}, {})
    drifted = observed.with_facts(observed.images, {here: InPlace(memory=4096)}, {})
    assert plan(_desired(wanted), as_wanted).effective == ()
    (change,) = plan(_desired(wanted), drifted).effective
    assert change.fields == (FieldChange("memory", 4096, 2048),)


# stale: is what the plan looked at still so?


def _replacement(*others: ObservedContainer) -> Plan:
    return _plan(_wanted(), found=(_serving(spec=_spec(drain=1)), *others))


def test_a_plan_whose_containers_are_as_they_were_is_not_stale() -> None:
    made = _replacement()
    assert made.effective
    assert stale_reasons(made, _observed(_serving(spec=_spec(drain=1)))) == []


def test_a_touched_container_that_is_gone_makes_a_plan_stale() -> None:
    assert stale_reasons(_replacement(), _observed()) == [
        "here/tiny: the container vllm-model-tiny (id-vllm-mode) is gone"
    ]


def test_a_touched_container_that_was_renamed_makes_a_plan_stale() -> None:
    renamed = dataclasses.replace(_serving(spec=_spec(drain=1)), name="other")
    assert stale_reasons(_replacement(), _observed(renamed)) == [
        "here/tiny: the container vllm-model-tiny is now called other"
    ]


def test_who_made_another_meanwhile_is_named() -> None:
    """Somebody applied in between: the old one is kept under another name, or gone, and a new one serves."""
    new = dataclasses.replace(_serving(2, run="run9"), id="id-new")
    renamed = dataclasses.replace(_serving(spec=_spec(drain=1)), name=generation_name("tiny", 1, 1))
    said = "; vllm-model-tiny is now another, made by run run9"
    assert stale_reasons(_replacement(), _observed(renamed, new)) == [
        f"here/tiny: the container vllm-model-tiny is now called vllm-model-tiny--g1{said}"
    ]
    (reason,) = stale_reasons(_replacement(), _observed(new))
    assert reason.endswith(f" is gone{said}")


def test_a_touched_container_in_another_state_makes_a_plan_stale() -> None:
    stopped = _serving(spec=_spec(drain=1), state="exited")
    assert stale_reasons(_replacement(), _observed(stopped)) == [
        "here/tiny: the container vllm-model-tiny was running and is now exited"
    ]


def test_a_crash_loop_may_be_replaced_in_whatever_moment_of_it() -> None:
    for was, now in (("running", "restarting"), ("restarting", "running")):
        found = _serving(spec=_spec(drain=1), state=was)
        made = _plan(_wanted(), found=(found,))
        assert [c.action for c in made.effective] == [Action.REPLACE]
        assert stale_reasons(made, _observed(dataclasses.replace(found, state=now))) == []
    down = _serving(state="restarting")
    made = _plan(_wanted(), found=(down,))
    assert [c.action for c in made.effective] == [Action.START]
    assert stale_reasons(made, _observed(dataclasses.replace(down, state="running"))), "it may have come to itself"


def test_a_container_that_appeared_where_one_is_to_be_created_makes_a_plan_stale() -> None:
    made = _plan(_wanted())
    assert stale_reasons(made, _observed(_serving(run="abcd"))) == [
        "here/tiny: vllm-model-tiny exists now, made by run abcd"
    ]
    assert stale_reasons(made, _observed(_foreign(serving_name("tiny")))) == ["here/tiny: vllm-model-tiny exists now"]


@pytest.mark.parametrize(("address", "is_stale"), [("127.0.0.1", True), ("0.0.0.0", True), ("10.0.0.1", False)])
def test_a_port_that_somebody_took_meanwhile_makes_a_plan_stale(address: str, is_stale: bool) -> None:
    made = _plan(_wanted(publish=Publish("127.0.0.1", 8001)), found=(_serving(),))
    assert [c.action for c in made.effective] == [Action.REPLACE]
    taker = _foreign("taker", ports=(BoundPort(address, 8001),))
    said = ["here/tiny: 127.0.0.1:8001 is now held by taker"] if is_stale else []
    assert stale_reasons(made, _observed(_serving(), taker)) == said


def test_a_port_that_the_one_to_be_replaced_holds_makes_no_plan_stale() -> None:
    old = _serving(spec=_spec(publish=Publish("127.0.0.1", 8001), drain=1), ports=(BoundPort("127.0.0.1", 8001),))
    made = _plan(_wanted(publish=Publish("127.0.0.1", 8001)), found=(old,))
    assert [c.action for c in made.effective] == [Action.REPLACE]
    assert stale_reasons(made, _observed(old)) == []


def test_a_host_that_cannot_be_read_any_more_makes_a_plan_stale() -> None:
    gone = Observed((ObservedHost("here", problem="nothing answers"),))
    assert stale_reasons(_replacement(), gone) == ["here: nothing answers"]


def test_containers_that_the_plan_does_not_touch_never_make_it_stale() -> None:
    """Another stack's containers, strangers, kept generations and models without a change come and go."""
    fine = _serving(model="fine", spec=_spec(served_names=("fine",), model="/models/fine"))
    made = _plan(
        _wanted(),
        _wanted("fine"),
        found=(_serving(3, spec=_spec(drain=1)), _other(2, state="exited", spec=_spec(drain=2)), fine, _foreign("db")),
    )
    assert [c.model for c in made.effective] == ["tiny"]
    now = _observed(_serving(3, spec=_spec(drain=1)), _foreign("new"), _serving(model="x", stack="other"))
    assert stale_reasons(made, now) == []


def test_every_move_is_said_once() -> None:
    kept = (_other(1, state="exited", spec=_spec(drain=2)), _other(2, state="exited", spec=_spec(drain=2)))
    made = _plan(_wanted(keep=0), found=(_serving(3, spec=_spec(drain=1)), *kept))
    said = stale_reasons(made, _observed())
    assert len(said) == len(set(said)) == 3


# undo: back to what was


def _change_of(wanted: Instance, *found: ObservedContainer) -> Change:
    return _decide(wanted, *found)[-1]


def test_a_create_is_undone_by_removing_the_candidate() -> None:
    assert undo(_change_of(_wanted())) == [RemoveContainer(generation_name("tiny", 1, 1))]


def test_a_replacement_is_undone_by_bringing_the_old_one_back_through_its_gate() -> None:
    old, name = f"id-{serving_name('tiny')}", generation_name("tiny", 1, 2)
    assert undo(_change_of(_wanted(), _serving(spec=_spec(drain=1)))) == [
        RemoveContainer(name),
        RenameContainer(old, serving_name("tiny")),
        StartContainer(old),
        PassGate(old),
        SetRestart(old, RESTART_POLICY),
    ]


@pytest.mark.parametrize("state", ["exited", "created", "dead"])
def test_what_is_down_is_brought_back_too_for_an_interrupted_run_may_have_stopped_it(state: str) -> None:
    change = _change_of(_wanted(), _serving(spec=_spec(drain=1), state=state))
    old = f"id-{serving_name('tiny')}"
    assert undo(change) == [
        RemoveContainer(generation_name("tiny", 1, 2)),
        RenameContainer(old, serving_name("tiny")),
        StartContainer(old),
        PassGate(old),
        SetRestart(old, RESTART_POLICY),
    ]


def test_a_container_that_was_there_before_is_never_removed_by_an_undo() -> None:
    (change,) = _decide(_wanted(), _other(2, state="exited"))
    assert (change.action, change.adopted) == (Action.CREATE, f"id-{generation_name('tiny', 1, 2)}")
    assert undo(change) == [StopContainer(change.adopted, SHORT_GRACE)]


def test_a_candidate_that_nobody_saw_healthy_is_nothing_to_go_back_to() -> None:
    """A run that was killed in its gate; and then the stack changed."""
    here, young = f"id-{serving_name('tiny')}", f"id-{generation_name('tiny', 1, 2)}"
    left = (_serving(1, spec=_spec(drain=1), state="exited"), _other(2, spec=_spec(drain=2)))
    removal, change = _decide(_wanted(), *left)
    assert (removal.action, [ref.id for ref in removal.touched]) == (Action.REMOVE, [young])
    assert (change.action, change.touched[0].id) == (Action.REPLACE, here)
    assert StartContainer(here) in undo(change)


def test_when_the_stack_is_as_it_was_the_candidate_goes_and_the_stopped_one_comes_back() -> None:
    removal, change = _decide(_wanted(), _serving(1, state="exited"), _other(2, spec=_spec(drain=2)))
    assert (removal.action, removal.touched[0].name) == (Action.REMOVE, generation_name("tiny", 1, 2))
    assert (change.action, change.touched[0].name) == (Action.START, serving_name("tiny"))


def test_one_that_runs_is_what_serves_where_nothing_has_the_serving_name() -> None:
    """A run that was killed between its last renames; and then the stack changed."""
    (change,) = _decide(_wanted(), _other(1, spec=_spec(drain=1), state="exited"), _other(2, spec=_spec(drain=2)))
    assert change.action is Action.REPLACE
    assert change.touched[0].name == generation_name("tiny", 1, 2)
    assert change.cost.down
    assert not any(isinstance(t, RemoveContainer) for t in tasks_of(change))


def test_an_older_one_that_somebody_started_is_what_serves_when_the_named_one_is_down() -> None:
    (change,) = _decide(_wanted(), _serving(2, spec=_spec(drain=1), state="exited"), _other(1, spec=_spec(drain=2)))
    assert (change.action, change.touched[0].name) == (Action.REPLACE, generation_name("tiny", 1, 1))


def test_a_start_is_undone_by_a_stop() -> None:
    here = f"id-{serving_name('tiny')}"
    assert undo(_change_of(_wanted(), _serving(state="exited"))) == [
        StopContainer(here, SHORT_GRACE),
        RenameContainer(here, serving_name("tiny")),
    ]


def test_nothing_undoes_a_removal_or_a_no_op() -> None:
    assert undo(_gone(_serving())) == []
    assert undo(_change_of(_wanted(), _serving())) == []


# steps


def test_the_story_of_a_create() -> None:
    name = generation_name("tiny", 1, 1)
    assert tasks_of(_change_of(_wanted())) == [
        CreateContainer(name, 1, LOCAL.id),
        StartContainer(name),
        PassGate(name),
        SetRestart(name, RESTART_POLICY),
        RenameContainer(name, serving_name("tiny")),
    ]


def test_the_story_of_a_replacement() -> None:
    old, name = f"id-{serving_name('tiny')}", generation_name("tiny", 1, 2)
    assert tasks_of(_change_of(_wanted(), _serving(spec=_spec(drain=1)))) == [
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
    assert tasks_of(_change_of(_wanted(), _serving(state=state))) == [
        RenameContainer(here, candidate, serving_name("tiny")),
        SetRestart(here, "no"),
        *([StopContainer(here, 45 + STOP_MARGIN)] if halts else []),
        StartContainer(here),
        PassGate(here),
        SetRestart(here, RESTART_POLICY),
        RenameContainer(here, serving_name("tiny"), candidate),
    ]


def test_the_story_of_a_removal_stops_what_serves_before_anything_is_removed() -> None:
    """The others serve nobody: no request is lost with them."""
    change = _gone(_serving(2), _other(1, state="exited"), _other(3, state="created"), _other(4, state="running"))
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
    assert any(isinstance(t, StopContainer) for t in tasks_of(_gone(_serving(2, state=state)))) is stops


def test_the_story_of_a_restart_that_was_asked_for() -> None:
    here = f"id-{serving_name('tiny')}"
    (change,) = _decide(_wanted(), _serving(), restart=("tiny",))
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


def test_a_replacement_that_was_asked_for_needs_no_difference() -> None:
    (change,) = _decide(_wanted(), _serving(3), replace=("here/tiny",))
    assert (change.action, change.generation, change.fields) == (Action.REPLACE, 4, ())
    assert [r.code for r in change.reasons] == [ReasonCode.REQUESTED]


def test_what_frees_something_comes_before_what_takes_it() -> None:
    made = _plan(
        _wanted("new"),
        _wanted("changed"),
        _wanted("stopped"),
        _wanted("fine"),
        found=(
            _serving(model="changed", spec=_spec(drain=1)),
            _serving(model="stopped", state="exited", spec=_wanted("stopped").spec),
            _serving(model="fine", spec=_wanted("fine").spec),
            _serving(model="zz-gone"),
        ),
    )
    assert [c.model for c in in_order(made.changes)] == ["zz-gone", "changed", "stopped", "new"]
    addresses = [s.address for s in made.steps if s.address]
    assert list(dict.fromkeys(addresses)) == ["here/zz-gone", "here/changed", "here/stopped", "here/new"]


def test_steps_of_a_host_run_one_after_the_other_and_hosts_side_by_side() -> None:
    hosts = (HERE, Host("there", "unix:///x"))
    observed = Observed(
        (ObservedHost("here"), ObservedHost("there")), {("here", IMAGE): LOCAL, ("there", IMAGE): LOCAL}
    )
    made = plan(_desired(_wanted("a"), _wanted("b"), _wanted("a", host="there"), hosts=hosts), observed)
    for host in ("here", "there"):
        steps = [s for s in made.steps if s.host == host]
        assert len(steps) > 1
        assert steps[0].after == ()
        assert [s.after for s in steps[1:]] == [(s.id,) for s in steps[:-1]]


def test_images_are_pulled_once_and_networks_made_once_before_anything_else() -> None:
    digest = "sha256:" + "d" * 64
    images = {("here", IMAGE): ImageFacts(IMAGE, "registry", digest=digest)}
    made = plan(_desired(_wanted("a"), _wanted("b")), _observed(images=images))
    tasks: list[Task] = [s.task for s in made.steps]
    assert tasks[:2] == [PullImage(IMAGE, digest), EnsureNetwork("cortex_default")]
    assert sum(isinstance(t, PullImage | EnsureNetwork) for t in tasks) == 2


def test_a_network_is_dropped_only_when_nobody_is_left_on_it() -> None:
    alone = _serving(networks=("cortex_default",))
    friend = _foreign("db", networks=("cortex_default",))
    dropped = [s.task for s in _plan(found=(alone,), destroy=True).steps]
    kept = [s.task for s in _plan(found=(alone, friend), destroy=True).steps]
    assert dropped[-1] == RemoveNetwork("cortex_default")
    assert RemoveNetwork("cortex_default") not in kept


def test_every_kind_of_task_has_a_name_of_its_own() -> None:
    assert len(KIND_OF) == len(TASK_KINDS) == len(set(KIND_OF.values()))


# laws over every recorded plan

PLANS = sorted(CASES.glob("*/plan.json"))


def _read(path: Path) -> Plan:
    return plan_from_json(path.read_text(encoding="utf-8"))


def _tasks(made: Plan, change: Change) -> list[Task]:
    return [s.task for s in made.steps_of(change)]


def _who(task: Task) -> str:
    return getattr(task, "container", "") or getattr(task, "name", "")


def _gate_of(tasks: list[Task]) -> int:
    return next(i for i, t in enumerate(tasks) if isinstance(t, PassGate))


@pytest.mark.parametrize("path", PLANS, ids=lambda p: p.parent.name)
def test_the_old_container_is_neither_renamed_nor_removed_before_the_gate(path: Path) -> None:
    made = _read(path)
    for change in made.effective:
        if change.action is not Action.REPLACE:
            continue
        tasks = _tasks(made, change)
        touched = {ref.id for ref in change.touched} | {ref.name for ref in change.touched}
        for task in tasks[: _gate_of(tasks)]:
            assert not isinstance(task, RenameContainer | RemoveContainer)
        assert any(isinstance(t, RenameContainer) and _who(t) in touched for t in tasks[_gate_of(tasks) :])


@pytest.mark.parametrize("path", PLANS, ids=lambda p: p.parent.name)
def test_the_restart_policy_is_switched_on_only_after_the_gate(path: Path) -> None:
    made = _read(path)
    for change in made.effective:
        tasks = _tasks(made, change)
        on = [i for i, t in enumerate(tasks) if isinstance(t, SetRestart) and t.policy != "no"]
        if change.action in {Action.UPDATE, Action.ADOPT, Action.MOVE}:
            assert not any(isinstance(t, StartContainer) for t in tasks)  # it serves, and goes on serving
            continue
        if change.action is Action.REMOVE:
            assert on == []
            continue
        assert len(on) == 1
        gate = _gate_of(tasks)
        assert gate < on[0]
        assert _who(tasks[on[0]]) == _who(tasks[gate])


@pytest.mark.parametrize("path", PLANS, ids=lambda p: p.parent.name)
def test_a_candidate_gets_the_serving_name_only_after_its_gate_and_when_the_name_is_free(path: Path) -> None:
    made = _read(path)
    for change in made.effective:
        tasks = _tasks(made, change)
        if change.action in {Action.UPDATE, Action.ADOPT, Action.MOVE}:
            continue  # it serves already
        for position, task in enumerate(tasks):
            if isinstance(task, RenameContainer) and not is_generation_name(task.name):
                assert position > _gate_of(tasks)
                assert _who(tasks[_gate_of(tasks)]) == task.container
                if change.action is Action.REPLACE:
                    earlier = tasks[:position]
                    assert any(isinstance(t, RenameContainer) and t.container == change.touched[0].id for t in earlier)


@pytest.mark.parametrize("path", PLANS, ids=lambda p: p.parent.name)
def test_what_is_created_is_created_under_a_candidates_name_with_a_pinned_image(path: Path) -> None:
    for step in _read(path).steps:
        if isinstance(step.task, CreateContainer):
            assert is_generation_name(step.task.name)
            assert step.task.name.endswith(f"--g{step.task.generation}")


@pytest.mark.parametrize("path", PLANS, ids=lambda p: p.parent.name)
def test_steps_touch_only_containers_that_the_change_names(path: Path) -> None:
    made = _read(path)
    for change in made.effective:
        known = {ref.id for ref in change.touched} | {generation_name(change.model, change.ordinal, change.generation)}
        assert all(_who(t) in known for t in _tasks(made, change))


@pytest.mark.parametrize("path", PLANS, ids=lambda p: p.parent.name)
def test_a_change_that_does_nothing_has_no_steps_and_every_other_has_some(path: Path) -> None:
    made = _read(path)
    for change in made.changes:
        assert bool(made.steps_of(change)) is (change in made.effective)


@pytest.mark.parametrize("path", PLANS, ids=lambda p: p.parent.name)
def test_a_recorded_plan_names_a_replacement_by_two_verbs_and_its_reasons(path: Path) -> None:
    for change in json.loads(path.read_text(encoding="utf-8"))["changes"]:
        if change["action"] == "replace":
            assert change["actions"] == ["remove", "create"]
            assert change["reason"] in {"changed", "requested"}
            assert bool(change["replace_paths"]) is (change["reason"] == "changed")
        paths = {f["path"] for f in change["fields"]}
        assert set(change["sensitive_paths"]) == {p for p in paths if p.startswith("secrets.")}


def test_there_are_recorded_plans_to_hold_the_laws_against() -> None:
    actions = {c.action for path in PLANS for c in _read(path).changes}
    assert actions == set(Action)


# the saved plan


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "7", "{}", '{"version": 1}'])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(NotAPlan, match="it is not a plan saved by cortexctl"):
        plan_from_json(text)


def test_a_plan_of_another_format_is_refused_and_one_of_a_later_minor_is_read() -> None:
    data = json.loads(plan_to_json(_plan(_wanted())))
    with pytest.raises(NotAPlan, match=r"its format is 2\.0"):
        plan_from_json(json.dumps(data | {"format_version": "2.0"}))
    later = data | {"format_version": "1.7", "new": 1}
    assert plan_from_json(json.dumps(later | {"digest": digest_of(later)})) == _plan(_wanted())


def test_a_plan_that_was_changed_by_hand_is_refused() -> None:
    data = json.loads(plan_to_json(_plan(_wanted())))
    with pytest.raises(NotAPlan, match="changed after it was made"):
        plan_from_json(json.dumps(data | {"steps": []}))


@pytest.mark.parametrize("lost", ["stack", "hosts", "changes", "steps", "diagnostics"])
def test_a_damaged_plan_is_refused_as_such(lost: str) -> None:
    data = json.loads(plan_to_json(_plan(_wanted())))
    del data[lost]
    with pytest.raises(NotAPlan, match="it is damaged"):
        plan_from_json(json.dumps(data | {"digest": digest_of(data)}))


def test_a_plan_names_the_containers_that_its_steps_speak_of_by_id() -> None:
    assert _replacement().container_names == {f"id-{serving_name('tiny')}": serving_name("tiny")}


def test_a_reference_holds_what_the_plan_saw() -> None:
    (change,) = _decide(_wanted(), _serving(3, spec=_spec(drain=1), run="abcd"))
    assert change.touched == (ContainerRef(f"id-{serving_name('tiny')}", serving_name("tiny"), "running", 3, "abcd"),)
