"""The laws of drift, over generated stacks and hosts in memory."""

from __future__ import annotations

import copy
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cortexctl.desired.stack import Desired
from cortexctl.instance.labels import serving_name
from cortexctl.observed.host import ObservedContainer
from cortexctl.observed.inspected import ImageDefaults, parse_inspected
from cortexctl.observed.observation import Observed
from cortexctl.operations.results import Durations
from cortexctl.plan.action import Action
from cortexctl.plan.drift.finding import Code, DriftReport, Facts, Kind
from cortexctl.plan.drift.report import find_drift
from cortexctl.render.drift.json_report import drift_json
from cortexctl.render.drift.markdown import drift_markdown
from cortexctl.render.drift.prometheus import drift_prometheus
from cortexctl.render.drift.terminal import drift_text
from cortexctl.render.style import Ink
from tests.fakes.inspection import IMAGE_ENV, inspection
from tests.fakes.world import World
from tests.generated import HOSTS, PLANTED, STACK, Case, cases, modest
from tests.laws import apply_case, two_hosts


def observed(world: World) -> Observed:
    records = {h: world.daemon(h).read_record(STACK) for h in HOSTS}
    return replace(world.observe(), records=records)


def inspected(world: World, case: Case, seen: Observed) -> Facts:
    """The inspections of all serving containers, as right after their creation."""
    ids = {(h.name, c.name): c for h in seen.hosts for c in h.containers}
    inspections = {}
    for i in case.desired.instances:
        container: ObservedContainer = ids[i.host, serving_name(i.model, i.ordinal)]
        secrets = {s.name: case.values[s.key] for s in i.spec.container.secrets}
        raw = inspection(i.spec, secrets)
        inspections[i.host, container.id] = parse_inspected(raw, i.spec, ImageDefaults(IMAGE_ENV), STACK)
    return Facts(deep=True, inspected=inspections)


def kinds_and_subjects(report: DriftReport) -> set[tuple[Kind, str]]:
    return {(f.kind, f.subject) for f in report.findings if f.kind is not Kind.UNMANAGED}


def after(case: Case) -> World:
    world = two_hosts()
    apply_case(world, case)
    return world


@given(cases())
@modest
def test_right_after_an_apply_there_is_no_finding_at_any_depth(case: Case) -> None:
    world = after(case)
    seen = observed(world)
    assert kinds_and_subjects(find_drift(case.desired, seen)) == set()
    assert kinds_and_subjects(find_drift(case.desired, seen, inspected(world, case, seen))) == set()


@given(cases(), cases())
@modest
def test_another_stack_is_pending_or_orphaned_just_where_the_plan_changes_something(first: Case, second: Case) -> None:
    world = after(first)
    report = find_drift(second.desired, observed(world))
    changes = [c for c in world.plan(second.desired).changes if c.action is not Action.NO_OP]
    kinds = {Action.REMOVE: Kind.ORPHAN}
    assert kinds_and_subjects(report) == {(kinds.get(c.action, Kind.PENDING), c.address) for c in changes}
    edited = {(f.subject, f.path) for f in report.findings if f.code is Code.EDITED}
    assert edited == {(c.address, field.path) for c in changes for field in c.fields}


MANUAL_CHANGES: dict[Code, dict[str, object] | None] = {
    Code.STOPPED: {"state": "exited"},
    Code.RENAMED: {"name": "by-a-hand"},
    Code.DISCONNECTED: {"networks": ["bridge"]},
    Code.REMOVED: None,
}


@given(cases(least=1), st.data(), st.sampled_from(sorted(MANUAL_CHANGES)))
@modest
def test_one_manual_change_of_a_container_is_one_finding_until_it_is_fixed(
    case: Case, data: st.DataObject, code: Code
) -> None:
    world = after(case)
    i = data.draw(st.sampled_from(case.desired.instances))
    daemon = world.daemon(i.host)
    container = daemon.by_name(serving_name(i.model, i.ordinal))
    done = MANUAL_CHANGES[code]
    if done is None:
        del daemon.containers[container.id]
    for name, value in (done or {}).items():
        setattr(container, name, copy.copy(value))
    findings = [f for f in find_drift(case.desired, observed(world)).findings if f.kind is not Kind.UNMANAGED]
    assert [(f.kind, f.code, f.subject) for f in findings] == [(Kind.DRIFT, code, i.address)]
    apply_case(world, case)
    assert kinds_and_subjects(find_drift(case.desired, observed(world))) == set()


@given(cases(), cases())
@modest
def test_the_same_values_give_the_same_bytes_and_no_secret(first: Case, second: Case) -> None:
    world = after(first)
    seen = observed(world)
    desired: Desired = second.desired
    texts = []
    for _ in range(2):
        report = find_drift(desired, seen, Facts())
        durations = Durations(1, 0.5)
        texts.append(
            drift_text(report, Ink(enabled=True))
            + drift_json(report, durations)
            + drift_markdown(report)
            + drift_prometheus(report, durations)
        )
    assert texts[0] == texts[1]
    assert not any(planted in texts[0] for planted in PLANTED)
