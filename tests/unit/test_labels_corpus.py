"""Labels of earlier releases, which cannot change: no release may find a difference in them or fail to read them.

tests/cases/labels/vN was recorded by `python -m tests.record_labels NAME`; tests/cases/labels/unreadable was written by
hand, one container a file: labels that a newer release or an accident may leave. Both folders only grow.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cortexctl.desired.stack import Desired
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_from_label
from cortexctl.instance.spec import Spec
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.plan.hypothetical import as_if_applied
from cortexctl.plan.model import Plan
from cortexctl.plan.needs import needs
from cortexctl.plan.planfile import plan_from_json, plan_to_json
from cortexctl.plan.planner import plan
from cortexctl.plan.request import Request
from cortexctl.render.plan.terminal import plan_text
from cortexctl.render.style import Ink
from tests.reading import desired_from
from tests.record_labels import (
    CORPUS,
    NOW,
    SECRETS,
    cases,
    desired_of,
    files,
    plan_of,
    record,
    sum_of,
    sums,
)
from tests.specs import SPEC_FIELDS, change_spec, field_of, new_spec

CASES = cases()
UNREADABLE = CORPUS / "unreadable"


def _entries(case: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((case / "labels.json").read_text(encoding="utf-8"))
    return entries


def _shown(plan: Plan) -> str:
    """All texts of a plan. They can be encoded."""
    shown = plan_text(plan, Ink(enabled=False), explain=True) + plan_to_json(plan)
    assert plan_from_json(plan_to_json(plan)) == plan
    return shown.encode().decode()


# recorded labels


@pytest.mark.parametrize("case", CASES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_a_recorded_container_is_as_the_same_stack_wants_it(case: Path) -> None:
    plan = plan_of(case, desired_of(case))
    assert [(c.address, c.action, c.fields) for c in plan.effective] == []
    assert [d for d in plan.diagnostics if d.is_error] == []
    assert plan.steps == ()
    assert {c.address for c in plan.changes} == {i.address for i in desired_of(case).instances}
    assert _shown(plan)


@pytest.mark.parametrize("case", CASES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_without_credentials_a_recorded_container_is_as_the_same_stack_wants_it(case: Path) -> None:
    """As in a review: the values of secrets are unknown there, which is not a difference."""
    desired = desired_of(case)
    blind = [dataclasses.replace(i, spec=_blind(i.spec)) for i in desired.instances]
    plan = plan_of(case, dataclasses.replace(desired, instances=tuple(blind)))
    assert [(c.address, c.fields) for c in plan.effective] == []


def _blind(spec: Spec) -> Spec:
    return change_spec(spec, secrets=tuple(dataclasses.replace(s, fingerprint="") for s in spec.container.secrets))


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_that_got_another_value_is_seen_in_recorded_labels(name: str) -> None:
    """Without this test, a fingerprint that is never compared would pass the tests above."""
    case = CORPUS / "v1" / "everything_set"
    plan = plan_of(case, desired_of(case, secrets={**SECRETS, name: "another"}))
    assert [(f.path, f.sensitive) for c in plan.effective for f in c.fields] == [
        (f"secrets.{s.name}", True)
        for c in plan.effective
        if c.detail.after
        for s in c.detail.after.container.secrets
        if s.key == name
    ]
    assert len(plan.effective) == 1


@pytest.mark.parametrize("case", CASES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_every_recorded_container_belongs_to_its_stack_and_can_be_destroyed(case: Path) -> None:
    desired = desired_of(case)
    plan = plan_of(case, desired, Request(destroy=True, unprotect=tuple(i.address for i in desired.instances)))
    assert {ref.id for c in plan.changes for ref in c.detail.touched} == {
        f"{e['host']}/{e['name']}" for e in _entries(case)
    }
    assert not plan.has_errors


def test_the_corpus_has_every_field_of_a_spec_and_every_label() -> None:
    entries = [e for case in CASES for e in _entries(case)]
    specs = [spec_from_label(e["labels"][labels.SPEC]) for e in entries]
    default = new_spec("", "", ())
    for field in {*SPEC_FIELDS} - {"engine", "port"}:  # there is one of each so far
        assert any(field_of(s, field) != field_of(default, field) for s in specs), field
    of_others = {labels.PREFIX, labels.PROBE}  # the container of a probe is not an instance
    marks = {v for k, v in vars(labels).items() if k.isupper() and isinstance(v, str)}
    names = {mark for mark in marks if mark.startswith(labels.PREFIX)} - of_others
    assert {name for e in entries for name in e["labels"]} == names
    assert {s.source for spec in specs for s in spec.container.secrets} == {"env", "file", "var"}
    assert {e["labels"][labels.PROTECT] for e in entries} == {"true", "false"}
    assert {e["state"] for e in entries} == {"running", "exited"}
    assert {e["labels"][labels.GENERATION] for e in entries} >= {"1", "2"}
    assert any("." in e["name"] and e["labels"][labels.ORDINAL] == "3" for e in entries)


def test_no_secret_is_in_the_corpus() -> None:
    recorded = [(case / "labels.json").read_text(encoding="utf-8") for case in CASES]
    assert not any(value in text for text in recorded for value in SECRETS.values())


# the recorded labels never change


def test_nothing_of_the_corpus_was_edited_or_taken_away() -> None:
    """These labels are on users' hosts. If the code cannot read them, the code is wrong."""
    assert {name: sum_of(path) for name, path in files().items() if name in sums()} == sums()


def test_everything_of_the_corpus_is_written_down() -> None:
    assert files().keys() == sums().keys(), "python -m tests.record_labels adds the missing lines"


def test_a_recorded_case_is_not_recorded_again() -> None:
    with pytest.raises(SystemExit, match="never written again"):
        record(NOW / "nothing_set")


# unreadable labels


def _wanted() -> Desired:
    return desired_from(UNREADABLE / "stack.toml")


def _holding(marks: dict[str, str]) -> Observed:
    """The host with one container, which has these labels and serves."""
    container = ObservedContainer(
        "c" * 64, "vllm-model-tiny", "image", "sha256:1", "running", labels=marks, networks=("cortex_default",)
    )
    return Observed((ObservedHost("gpu-1", (container,), daemon="Docker/20.10.24 (linux)", api="1.41"),))


CANNOT_BE_READ = [pytest.param(p, id=p.stem) for p in sorted(UNREADABLE.glob("*.json"))]


@pytest.mark.parametrize("path", CANNOT_BE_READ)
def test_an_unreadable_label_is_reported_and_left_alone(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    desired, observed = _wanted(), _holding(case["labels"])
    planned = plan(desired, observed)
    assert [d.rule for d in planned.diagnostics] == ["CX402"]
    assert case["says"] in planned.diagnostics[0].summary
    assert "gpu-1/tiny" in planned.diagnostics[0].summary
    assert planned.effective == ()
    assert planned.steps == ()
    assert needs(desired, observed).images == ()
    assert needs(desired, observed).inspections == ()
    assert "CX402" in _shown(planned)


@pytest.mark.parametrize("path", CANNOT_BE_READ)
def test_a_container_with_an_unreadable_label_is_not_removed(path: Path) -> None:
    """No plan removes a container with unreadable labels, because it may be anything."""
    case = json.loads(path.read_text(encoding="utf-8"))
    gone = dataclasses.replace(_wanted(), instances=())
    for desired, request in (
        (gone, Request()),
        (_wanted(), Request(destroy=True)),
        (_wanted(), Request(replace=("*",))),
    ):
        planned = plan(desired, _holding(case["labels"]), request)
        assert "CX402" in [d.rule for d in planned.diagnostics]
        assert planned.has_errors
        assert _shown(planned)


def test_labels_that_cannot_be_read_are_of_many_kinds() -> None:
    """Each case names its reason."""
    cases = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in UNREADABLE.glob("*.json")}
    assert all(case["why"] for case in cases.values())
    assert sum(name.startswith("newer") for name in cases) >= 5


WORTHLESS: list[Any] = [None, True, 10**30, "x", [None], {}, {"x": [1]}]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in inner:
        yield from _places(below, (*path, step))


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = copy.copy(value)
    changed[path[0]] = _with(value[path[0]], path[1:], new)
    return changed


def test_no_damage_of_a_recorded_spec_ends_in_an_exception() -> None:
    """Every part of a rich label is replaced by every kind of JSON in turn. Each is planned or reported."""
    case = CORPUS / "v1" / "everything_set"
    desired = desired_of(case)
    observed = as_if_applied(desired, desired)
    (host,) = observed.hosts
    (container,) = host.containers
    spec = json.loads(container.labels[labels.SPEC])
    failed = set()
    for path in (p for p in _places(spec) if p[:1] != ("args",) or len(p) < 3):
        for new in WORTHLESS:
            text = json.dumps(_with(spec, path, new))
            damaged = dataclasses.replace(container, labels={**container.labels, labels.SPEC: text})
            seen = Observed((dataclasses.replace(host, containers=(damaged,)),))
            try:
                assert needs(desired, seen) is not None
                planned = plan(desired, seen)
                assert plan_to_json(planned).encode()
                assert plan_text(planned, Ink(enabled=False)).encode()
            except Exception as cause:  # noqa: BLE001 - whatever it is
                failed.add((path, type(cause).__name__))
    assert failed == set()
