"""Input from outside is valid or refused with one kind of error, whatever its content."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortexctl.desired.stack import Desired
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_from_label
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import left_alone, owned_instances
from cortexctl.observed.record import HostRecord, record_from_label, record_to_label
from cortexctl.observed.snapshot import NotASnapshot, snapshot_from_json, snapshot_to_json
from cortexctl.plan.drift.report import find_drift
from cortexctl.plan.model import Plan
from cortexctl.plan.planfile import NotAPlan, digest_of, plan_from_json, plan_to_json
from cortexctl.plan.planner import plan
from cortexctl.render.drift.terminal import drift_text
from cortexctl.render.plan.html import plan_html
from cortexctl.render.plan.markdown import plan_markdown
from cortexctl.render.plan.terminal import plan_text
from cortexctl.render.style import Ink
from tests.mutations import HOSTILE, mutated
from tests.reading import desired_from, observed_from
from tests.record_case import CASES, SECRETS

PLANS = sorted(CASES.glob("*/plan.json"))
PLAIN = Ink(enabled=False)
EACH = 12
"""Mutations of every document; there are some sixty."""


def chance_for(path: Path, number: int = 0) -> random.Random:
    return random.Random(f"{path.parent.name}/{number}")


def views(shown: Plan) -> list[str]:
    """Every view of a plan."""
    return [
        plan_text(shown, PLAIN, explain=True),
        plan_to_json(shown),
        plan_markdown(shown),
        plan_html(shown, next_step=""),
    ]


def with_digest(document: Any) -> str:
    if isinstance(document, dict):
        document = {**document, "digest": digest_of(document)}
    return json.dumps(document)


@pytest.mark.parametrize("path", PLANS, ids=lambda p: p.parent.name)
def test_a_plan_of_any_form_is_shown_or_refused(path: Path) -> None:
    """The digest is correct, because a digest stops no attacker."""
    document, chance = json.loads(path.read_text()), chance_for(path)
    refused = []
    for _ in range(EACH):
        text = with_digest(mutated(document, chance))
        try:
            loaded = plan_from_json(text)
        except NotAPlan as cause:
            refused.append(str(cause))
            continue
        assert all(view.encode() for view in views(loaded))
        assert plan_from_json(plan_to_json(loaded)) == loaded
    assert all(map(is_sentence, refused))


def is_sentence(text: str) -> bool:
    return 0 < len(text) < 500 and "\n" not in text


def observed_of(path: Path) -> Observed:
    return observed_from(path.parent / "observed.json")


def desired_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> Desired:
    monkeypatch.chdir(path.parent)
    options = json.loads((path.parent / "options.json").read_text()) if (path.parent / "options.json").exists() else {}
    return desired_from(Path("stack.toml"), SECRETS, options.get("env", ""))


def planned(desired: Desired, observed: Observed) -> None:
    """A plan and a drift report for any observation. Every view of both can be written."""
    known = observed.by_name()
    hosts = tuple(known.get(h.name) or ObservedHost(h.name, problem="it is not there") for h in desired.hosts)
    complete = Observed(
        hosts, observed.images, observed.in_place, observed.records, observed.adoptable, observed.model_files
    )
    assert all(view.encode() for view in views(plan(desired, complete)))
    assert drift_text(find_drift(desired, complete), PLAIN).encode()


@pytest.mark.parametrize("path", PLANS, ids=lambda p: p.parent.name)
def test_a_snapshot_of_any_form_is_planned_against_or_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desired, chance = desired_of(path, monkeypatch), chance_for(path)
    document, refused = json.loads(snapshot_to_json(observed_of(path))), []
    for _ in range(EACH):
        try:
            observed = snapshot_from_json(json.dumps(mutated(document, chance)))
        except NotASnapshot as cause:
            refused.append(str(cause))
            continue
        planned(desired, observed)
    assert all(map(is_sentence, refused))


HALF = "\ud800"
TEXTS = [
    "9" * 5000, "9" * 30, "-1", "NaN", "Infinity", "[" * 100_000, '{"a":' * 5000, '"\\ud800"', HALF, '{"v":1,"v":1}',
    "x" * 2**20, "", "{}", "[]", "null", '{"v":1,"applied":null}', '{"v":1,"applied":[{}]}', "\x00", "1e999",
]  # fmt: skip


@pytest.mark.parametrize("path", PLANS, ids=lambda p: p.parent.name)
def test_labels_of_any_form_can_be_planned_with(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desired, chance = desired_of(path, monkeypatch), chance_for(path)
    observed = observed_of(path)
    for _ in range(EACH):
        hosts = tuple(_with_worse_labels(h, chance) for h in observed.hosts)
        changed = Observed(hosts, observed.images, records=observed.records, model_files=observed.model_files)
        for host in hosts:
            everything = {o.container.id for i in owned_instances(host, desired.owner).values() for o in i.all}
            assert not everything & {a.container.id for a in left_alone(host, desired.owner)}
        planned(desired, changed)


def _with_worse_labels(host: ObservedHost, chance: random.Random) -> ObservedHost:
    return ObservedHost(
        host.name,
        tuple(_worse(c, chance) for c in host.containers),
        host.daemon,
        host.api,
        host.problem,
        host.next_step,
    )


def _worse(container: ObservedContainer, chance: random.Random) -> ObservedContainer:
    changed = dict(container.labels)
    ours = sorted(key for key in changed if key.startswith(labels.PREFIX))
    if not ours:
        return container
    key = chance.choice(ours)
    if key == labels.SPEC and chance.random() < 0.8:
        changed[key] = (
            json.dumps(mutated(json.loads(changed[key]), chance)) if changed[key].startswith("{") else changed[key]
        )
    elif chance.random() < 0.2:
        del changed[key]
    else:
        changed[key] = chance.choice([t for t in TEXTS if t != HALF])  # a daemon's answer with one is refused
    return ObservedContainer(
        container.id, container.name, container.image, container.image_id, container.state, container.exit_code, changed,
        container.ports, container.networks, container.addresses, chance.choice([None, True, False]),
    )  # fmt: skip


def records() -> list[HostRecord]:
    return [record for path in PLANS for record in observed_of(path).records.values() if record.applied]


def test_a_record_of_any_form_is_read_or_counts_as_none() -> None:
    chance = random.Random("record")
    read = 0
    for record in records():
        document = json.loads(record_to_label(record))
        for _ in range(EACH):
            record_read = record_from_label("here", json.dumps(mutated(document, chance)))
            read += bool(record_read.applied)
            assert record_from_label("here", record_to_label(record_read)) == record_read
    assert read > 50
    for text in TEXTS:
        assert record_from_label("here", text) == HostRecord("here")


@pytest.mark.parametrize("text", TEXTS, ids=lambda t: t[:12])
def test_an_invalid_document_is_refused(text: str) -> None:
    readers: list[tuple[Callable[[str], object], type[Exception]]] = [
        (plan_from_json, NotAPlan),
        (snapshot_from_json, NotASnapshot),
        (spec_from_label, ValueError),
    ]
    for read, error in readers:
        with pytest.raises(error) as refused:
            read(text)
        assert is_sentence(str(refused.value))


@pytest.mark.parametrize("value", HOSTILE, ids=lambda v: repr(v)[:20])
def test_a_document_of_another_kind_is_refused(value: Any) -> None:
    with pytest.raises(NotAPlan):
        plan_from_json(with_digest(value))
    with pytest.raises(NotAPlan):
        plan_from_json(with_digest({"format_version": value}))
    with pytest.raises(NotASnapshot):
        snapshot_from_json(json.dumps({"format_version": "2.0", "hosts": value}))
