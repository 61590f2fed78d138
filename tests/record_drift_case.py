"""Writes the golden files of drift cases: `python -m tests.record_drift_case NAME...` (all cases without a name).

A case is a folder under tests/cases/drift: stack.toml, before.toml (the applied stack; default: stack.toml), after.json
(the changes since, as in tests.record_case) and facts.json:
    {"deep": true, "no_health": true, "health": {"NAME": "silent"}, "inspect": {"NAME": {"HostConfig": ...}},
     "tags": {"HOST": {"REFERENCE": "ID"}}, "busy": ["HOST"], "version": "0.2.0", "docker": {"HOST": "URL"},
     "options": {"kinds": [...], "target": [...], "host": [...]}}
Without an entry in facts.json, a server is healthy and an inspection matches its spec. Read the written files before you
commit them: nothing else checks that they are right.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from cortexctl import __version__
from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired
from cortexctl.instance.spec import Spec
from cortexctl.observe.from_snapshot import FromObservation
from cortexctl.observe.gather import gather
from cortexctl.observed.health import Answer, HealthOutcome
from cortexctl.observed.host import ObservedContainer
from cortexctl.observed.inspected import ImageDefaults, Inspected, parse_inspected
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.observed.observation import Observed
from cortexctl.operations.results import Durations
from cortexctl.plan.adopt.adopt import owned_on
from cortexctl.plan.drift.finding import DriftReport, Facts, Kind
from cortexctl.plan.drift.instance_findings import serving_of
from cortexctl.plan.drift.report import DriftSelection, find_drift
from cortexctl.plan.drift.servers import servers_of, sorted_answers
from cortexctl.plan.needs import needs_of_identity
from cortexctl.render.drift.json_report import drift_json
from cortexctl.render.drift.markdown import drift_markdown
from cortexctl.render.drift.prometheus import drift_prometheus
from cortexctl.render.drift.terminal import drift_text
from cortexctl.render.style import Ink
from tests.fakes.inspection import IMAGE_ENV, inspection
from tests.reading import desired_from, observed_from
from tests.record_case import SECRETS, observe_before

CASES = Path(__file__).parent / "cases" / "drift"
DURATIONS = Durations(1_700_000_000, 0.25)
HOLDER = LockInfo("id", "alice", "ci-17", 4711, "8f31aa02", 1_699_999_000, 1_700_009_000)
VALUES = {**SECRETS, "HF_TOKEN": "hf-old"}
IMAGE = ImageDefaults(IMAGE_ENV)


def report_of_case(case: Path) -> DriftReport:
    """Find the drift of the case's stack and observation."""
    facts_file = case / "facts.json"
    facts: dict[str, Any] = json.loads(facts_file.read_text()) if facts_file.exists() else {}
    desired = _desired(case, facts)
    observed = _with_adoptable(desired, observed_from(case / "observed.json"), facts)
    chosen = facts.get("options", {})
    only = DriftSelection(
        tuple(Kind(k) for k in chosen.get("kinds", ())),
        target=tuple(chosen.get("target", ())),
        host=tuple(chosen.get("host", ())),
    )
    return find_drift(desired, observed, _facts(only.hosts_of(desired), observed, facts), only)


def _desired(case: Path, facts: dict[str, Any]) -> Desired:
    here = Path.cwd()
    os.chdir(case)
    try:
        desired = desired_from(Path("stack.toml"), VALUES, facts.get("env", ""))
    finally:
        os.chdir(here)
    urls = facts.get("docker", {})
    return replace(desired, hosts=tuple(replace(h, docker=urls.get(h.name, h.docker)) for h in desired.hosts))


def _with_adoptable(desired: Desired, observed: Observed, facts: dict[str, Any]) -> Observed:
    """The observation with inspections of the containers that are adopted by name: they match their specs, except for
    the changes in `inspect`.
    """
    readers = _Inspecting(observed, "the case", facts.get("inspect", {}), desired.owner)
    return replace(observed, adoptable=gather(observed, partial(needs_of_identity, desired), readers).adoptable)


@dataclass(frozen=True)
class _Inspecting(FromObservation):
    """Readers of a case. `changes`: container name -> changes to its inspection."""

    changes: Mapping[str, Any]
    owner: str

    def inspect(self, _host: str, container: ObservedContainer, spec: Spec) -> Inspected:
        raw = inspection(spec, {}, self.changes.get(container.name, {}))
        return parse_inspected(raw, spec, IMAGE, self.owner)


def _facts(desired: Desired, observed: Observed, fields: dict[str, Any]) -> Facts:
    facts = Facts(
        deep=bool(fields.get("deep")),
        busy=dict.fromkeys(fields.get("busy", ()), HOLDER),
        version=fields.get("version", ""),
        health_checked=not fields.get("no_health"),
    )
    names = {c.id: c.name for h in observed.hosts for c in h.containers}
    servers = servers_of(desired, observed, facts.busy)
    health_texts = fields.get("health", {})
    answers = {s.key: _answer(health_texts.get(names[s.container], "healthy")) for s in servers}
    health, unchecked = sorted_answers(servers, answers) if facts.health_checked else ({}, ())
    facts = replace(facts, health=health, unchecked=unchecked)
    if not facts.deep:
        return facts
    return replace(facts, images=fields.get("tags", {}), inspected=_inspected(desired, observed, fields))


def _answer(text: str) -> Answer:
    status = re.fullmatch(r"status (\d+)", text)
    if status:
        return Answer(HealthOutcome.STATUS, int(status[1]))
    outcome, _, why = text.partition(": ")
    return Answer(HealthOutcome(outcome), why=why)


def _inspected(desired: Desired, observed: Observed, facts: dict[str, Any]) -> dict[tuple[str, str], Inspected]:
    inspected = {}
    for host in observed.hosts:
        for instance in owned_on(host, desired, desired.by_host()[host.name], observed).values():
            serving = serving_of(instance, None)
            if serving is None or serving.spec is None:
                continue
            changes = facts.get("inspect", {}).get(serving.container.name, {})
            secrets = {s.name: VALUES[s.key] for s in serving.spec.container.secrets}
            raw = inspection(serving.spec, secrets, changes)
            inspected[host.name, serving.container.id] = parse_inspected(raw, serving.spec, IMAGE, desired.owner)
    return inspected


def views_of(report: DriftReport) -> dict[str, str]:
    """File -> text, of every format. Without the version, so that a release changes no case."""
    return {
        "report.txt": drift_text(report, Ink(enabled=False)),
        "report.json": drift_json(report, DURATIONS),
        "report.md": drift_markdown(report).replace(f"cortexctl {__version__} ", "cortexctl VERSION "),
        "report.prom": drift_prometheus(report, DURATIONS),
    }


def observation_file(case: Path) -> str:
    """The text of observed.json: the hosts after before.toml (or stack.toml) was applied, changed by after.json."""
    before = "before.toml" if (case / "before.toml").exists() else "stack.toml"
    return json.dumps(_with_addresses(observe_before(case, before)), indent=2) + "\n"


def record(case: Path) -> None:
    (case / "observed.json").write_text(observation_file(case))
    for name, text in views_of(report_of_case(case)).items():
        (case / name).write_text(text)


def _with_addresses(observed: dict[str, Any]) -> dict[str, Any]:
    """Give running containers an address on each network. The fake daemon gives none."""
    number = 1
    for host in observed["hosts"].values():
        for row in host.get("containers", ()):
            for network in row["NetworkSettings"]["Networks"].values():
                number += 1
                if row["State"] == "running" and not network:
                    network["IPAddress"] = f"172.18.0.{number}"
    return observed


if __name__ == "__main__":
    names = sys.argv[1:] or [p.name for p in sorted(CASES.iterdir()) if p.is_dir()]
    for name in names:
        record(CASES / name)
        sys.stdout.write(f"== {name}\n{(CASES / name / 'report.txt').read_text()}\n")
