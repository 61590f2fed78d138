"""Blocks and keys that are removed from a text."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from cortexctl.instance import labels
from cortexctl.plan.action import Action
from cortexctl.plan.model import Change
from cortexctl.plan.planner import plan
from cortexctl.plan.request import Request
from tests.edits.drawn import modest, texts
from tests.edits.text import (
    GONE,
    Text,
    Values,
    small_text,
)
from tests.edits.world import (
    address_of,
    apply_text,
    containers_of,
    daemons_of,
    is_serving,
    world_of,
)
from tests.fakes.container import FakeContainer
from tests.fakes.world import World

pytestmark = pytest.mark.usefixtures("fingerprints_once")


LIKE_OURS: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "vllm-model-zz": lambda _: {},
    "vllm-model-a--g7": lambda _: {},
    "vllm-model-b-1.9": lambda marks: {**marks, labels.STACK: "demo-2"},
    "vllm-model-a.b": lambda marks: {**marks, labels.STACK: "DEMO", labels.MODEL: "a"},
    "vllm-model-other": lambda marks: {**marks, labels.ENV: "other"},
    "vllm-model-c": lambda marks: {k: v for k, v in marks.items() if k != labels.STACK},
    "vllm-model-d": lambda marks: {k: v for k, v in marks.items() if k != labels.MODEL},
    "vllm-model-e": lambda marks: {k.removeprefix("cortex"): v for k, v in marks.items()},
}
"""Containers that could be mistaken for ours: the name, and the change of the labels of one of ours."""


def _with_like_ours(world: World) -> set[str]:
    """Their ids. They are on every host, with the labels of one of ours, but for its GPUs: those it has itself."""
    marks = next(iter(containers_of(world, ours=True).values())).labels
    spec = json.loads(marks[labels.SPEC])
    spec["container"].pop("gpus", None)
    marks = {**marks, labels.SPEC: json.dumps(spec)}
    return {
        daemon.add(name, state="running", labels=change(dict(marks))).id
        for daemon in daemons_of(world)
        for name, change in LIKE_OURS.items()
    }


def _by_id(world: World, ids: Iterable[str]) -> dict[str, FakeContainer | None]:
    present = {c.id: copy.deepcopy(c) for e in daemons_of(world) for c in e.containers.values()}
    return {i: present.get(i) for i in ids}


def _paths(values: Values, below: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Of everything but the tables at the top, without which there is no stack."""
    for key, value in values.items():
        if below:
            yield (*below, key)
        if isinstance(value, dict) and len(below) < 3:
            yield from _paths(value, (*below, key))


NARROWED: dict[str, st.SearchStrategy[Request]] = {
    "whole": st.just(Request()),
    "target": st.sampled_from(["a", "*", "east-1/*", "b*", "west/a.2", "zz"]).map(lambda p: Request(target=(p,))),
    "exclude": st.sampled_from(["a", "west/*", "b*", "*/a"]).map(lambda p: Request(exclude=(p,))),
    "host": st.sampled_from(["east-*", "west", "*"]).map(lambda p: Request(host=(p,))),
    "several": st.just(Request(target=("[ab]*", "c.*"), exclude=("*/a.3",), host=("east-?", "west"), replace=("b-1",))),
    "replace": st.sampled_from(["*", "a", "b-1"]).map(lambda p: Request(replace=(p,))),
}
"""How a plan is narrowed, or forced."""


def _may_touch(request: Request, change: Change) -> bool:
    """Whether the words let the plan do this."""

    def named(patterns: tuple[str, ...]) -> bool:
        return any(fnmatchcase(name, p) for p in patterns for name in (change.address, change.model))

    on_host = not request.host or any(fnmatchcase(change.host, p) for p in request.host)
    return on_host and (not request.target or named(request.target)) and not named(request.exclude)


def _check_that_no_other_is_harmed(text: Text, left: Text, request: Request) -> None:
    """`left` is planned, and carried out, on hosts on which `text` was applied with containers that are like ours."""
    world = world_of(text)
    apply_text(world, text)
    foreign = _by_id(world, [*containers_of(world, ours=False), *_with_like_ours(world)])
    ours = {i: c for i, c in containers_of(world, ours=True).items() if i not in foreign}
    protected = {i for i, c in ours.items() if c.labels[labels.PROTECT] == "true"}

    desired, errors = left.read()
    event("refused" if desired is None else "planned")
    if desired is None:
        assert errors, "no plan, and no error"
        return

    observed = world.observe()
    planned = world.plan(desired, request)
    assert observed == world.observe(), "planning changes nothing"
    goes = {
        c.address
        for c in planned.effective
        if c.action is Action.REMOVE and {r.id for r in c.detail.touched} & protected
    }
    assert {d.summary.split()[0] for d in planned.diagnostics if d.rule == "CX403"} == goes
    event("would take what is protected" if goes else "takes nothing protected")

    lifted = world.plan(desired, replace(request, unprotect=tuple(sorted(goes))))
    for change in (*planned.effective, *lifted.effective):
        assert _may_touch(request, change)
        assert {ref.id for ref in change.detail.touched} <= ours.keys()
    in_steps = {v for s in lifted.steps for v in dataclasses.asdict(s.task).values() if isinstance(v, str)}
    assert not in_steps & foreign.keys()
    if lifted.has_errors:
        assert {d.rule for d in lifted.diagnostics if d.is_error} <= {"CX408"}
        return
    assert world.apply(lifted).exit_code == 0
    event("carried out")
    assert _by_id(world, foreign) == foreign
    there = [c for c in containers_of(world, ours=True).values() if c.id not in foreign]
    serving = {address_of(c) for c in there if is_serving(c) and c.state == "running"}
    assert serving >= {address_of(ours[i]) for i in protected} - goes


@pytest.mark.parametrize("selection", sorted(NARROWED))
@settings(modest, max_examples=8)
@given(text=texts(least=2), data=st.data())
def test_blocks_that_are_taken_out_remove_only_our_own_and_nothing_protected(
    selection: str, text: Text, data: st.DataObject
) -> None:
    names = data.draw(st.permutations(sorted(text.values["models"])), label="models")
    text = text.but("models", names[0], "protect", to=True)
    left = text
    for name in names[: data.draw(st.sampled_from([1, 0, len(names) - 1]), label="number of models that go")]:
        left = left.but("models", name, to=GONE).but("env", "lab", "models", name, to=GONE)
    for name, table in left.values["models"].items():
        stays = [m for m in table.get("after", []) if m in left.values["models"]]
        left = left.but("models", name, "after", to=stays)
    _check_that_no_other_is_harmed(text, left, data.draw(NARROWED[selection], label="request"))


@settings(modest, max_examples=25)
@given(text=texts(), data=st.data())
def test_keys_that_are_taken_out_remove_only_our_own_and_nothing_protected(text: Text, data: st.DataObject) -> None:
    """Hosts, profiles, variables, single keys."""
    text = text.but("models", min(text.values["models"]), "protect", to=True)
    left = text
    for _ in range(data.draw(st.sampled_from([1, 2, 6]), label="number of keys that go")):
        left = left.but(*data.draw(st.sampled_from(sorted(_paths(left.values))), label="one"), to=GONE)
    _check_that_no_other_is_harmed(text, left, Request())


@pytest.mark.parametrize(
    ("left", "rules"),
    [
        ("", ["CX101"]),
        ("\n", ["CX101"]),
        ("# nothing but a comment\n", ["CX103", "CX103", "CX103"]),
        ('stack = "demo"\n', ["CX103", "CX103"]),
        ("[models]\n", ["CX103", "CX103", "CX105"]),
        ('stack = "demo"\n[models]\n[hosts]\n', ["CX105", "CX105"]),
        ('stack = "demo"\n[hosts.east-1]\nmodels_dir = "/srv/models"\n', ["CX103"]),
        ('stack = "demo"\n[hosts.east-1]\nmodels_dir = "/srv/models"\n[models]\n', ["CX105"]),
        ('stack = "demo"\n[models.a]\nimage = "i:v0.32.0"\nsource = { path = "p" }\ngpus = "none"\n', ["CX103"]),
        ('stack = "demo"\n[hosts.east-1]\nmodels_dir = "/srv/models"\n[env.lab.models]\n', ["CX103"]),
    ],
    ids=range(10),
)
def test_a_text_of_which_nothing_is_left_is_refused(left: str, rules: list[str]) -> None:
    """As an empty file, or because a table is missing or empty: never as a stack of no models."""
    desired, errors = small_text({"a": {}}).read(left)
    assert desired is None
    assert sorted(error.split()[0] for error in errors) == rules


def test_a_stack_by_another_name_leaves_the_containers_of_the_old_one() -> None:
    text = small_text({"a": {}})
    world = world_of(text)
    apply_text(world, text)
    other = text.but("stack", to="renamed")
    planned = plan(other.desired, world.observe())
    assert [(c.action, c.detail.touched) for c in planned.effective] == [(Action.CREATE, ())]
    assert [d.rule for d in planned.diagnostics if d.is_error] == ["CX406"]
