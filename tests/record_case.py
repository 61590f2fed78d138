"""Writes the golden files of plan cases: `python -m tests.record_case NAME...` (all cases without a name).

If a case has a before.toml, observed.json is written from it: the stack is applied to a fake daemon, and after.json (if
any) changes rows by container name: {"NAME": {"State": "exited", ...}}; null removes a row. Rows under "" are added.
`by_hand` replaces a model's container with one that a person started: {"NAME": {"model": "MODEL", "changes": {...}}}. It
has neither labels nor a record, and its inspection has these changes.
`image_labels`: the labels of images, {HOST: {IMAGE ID: {LABEL: VALUE}}}; other images have no labels.
`past_starts`: the durations of earlier starts in seconds, {ADDRESS: [SECONDS, ...]}, beside the start of the fake daemon.
`past_stops`, `past_rates`: the same for stops, and for the GiB/s at which starts read their weights.
`model_files`: the facts of models, {HOST: {FOLDER or REPO@REVISION: CONFIG}} (tests/reading.py).
Read the written files before you commit them: nothing else checks that they are right.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

from cortexctl import __version__
from cortexctl.desired.stack import Desired
from cortexctl.instance.labels import serving_name
from cortexctl.observed.record import HostRecord
from cortexctl.plan.model import Plan
from cortexctl.plan.planfile import plan_to_json
from cortexctl.plan.planner import plan
from cortexctl.plan.request import Request
from cortexctl.render.plan.markdown import plan_markdown
from cortexctl.render.plan.terminal import plan_text
from cortexctl.render.style import Ink
from tests.fakes.world import World
from tests.reading import desired_from, observed_from

CASES = Path(__file__).parent / "cases" / "plan"
SECRETS = {"HF_TOKEN": "hf-new", "HF_TOKEN_BEFORE": "hf-old"}


def plan_of_case(case: Path) -> Plan:
    """Plan the case's stack against its observation. Paths in it are relative to the case's folder."""
    options: dict[str, Any] = {}
    if (case / "options.json").exists():
        options = json.loads((case / "options.json").read_text())
    env = options.pop("env", "")
    here = Path.cwd()
    os.chdir(case)
    try:
        desired = desired_from(Path("stack.toml"), SECRETS, env)
    finally:
        os.chdir(here)
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    request = Request(**fields)
    return plan(desired, observed_from(case / "observed.json"), request)


def observe_before(case: Path, before: str = "before.toml") -> dict[str, Any]:
    """The rows that a fake daemon shows after the stack file `before` was applied to it, adjusted by after.json.

    Recording again gives the same: one step runs at a time, and the fake clock counts what ran before.
    """
    desired = desired_from(case / before, {**SECRETS, "HF_TOKEN": "hf-old"})
    images = sorted({i.spec.container.image for i in desired.instances})
    world = World(desired.stack, *(h.name for h in desired.hosts), images=images)
    world.secrets.values = {**SECRETS, "HF_TOKEN": "hf-old"}
    result = world.apply(world.plan(desired), parallelism=1)
    assert result.exit_code == 0, result
    changes = json.loads((case / "after.json").read_text()) if (case / "after.json").exists() else {}
    adoptable = _by_hand(case, world, desired, changes.pop("by_hand", {}))
    known = {
        reference: {"availability": "local", "id": id_}
        for reference, id_ in world.daemon(desired.hosts[0].name).images.items()
    }
    hosts: dict[str, Any] = {}
    for number, host in enumerate(desired.hosts, 1):
        rows = [_settled(row, number * 100 + i) for i, row in enumerate(world.daemon(host.name).rows(), 1)]
        hosts[host.name] = {"containers": [r for row in rows if (r := _adjusted(row, changes)) is not None]}
    first = hosts[desired.hosts[0].name]["containers"]
    first.extend(changes.get("", []))
    records = {name: json.loads(label) for name, e in world.daemons.by_host.items() for label in e.records.values()}
    for address, seconds in changes.get("past_starts", {}).items():
        _add_starts(records, address, seconds)
    for name in ("stops", "rates"):
        for address, numbers in changes.get(f"past_{name}", {}).items():
            _applied(records, address)[name] = numbers
    return {
        "hosts": {**hosts, **changes.get("hosts", {})},
        "images": {h.name: {**known, **changes.get("images", {})} for h in desired.hosts},
        "records": {**records, **changes.get("records", {})},
        **({"adoptable": adoptable} if adoptable else {}),
        **({"image_labels": changes["image_labels"]} if "image_labels" in changes else {}),
        **({"model_files": changes["model_files"]} if "model_files" in changes else {}),
    }


def _add_starts(records: dict[str, Any], address: str, seconds: list[float]) -> None:
    applied = _applied(records, address)
    name = applied["spec"]["server"]["model"]
    applied["starts"] = [[s, name] for s in seconds] + applied["starts"]


def _applied(records: dict[str, Any], address: str) -> dict[str, Any]:
    host, _, model = address.partition("/")
    return next(a for a in records[host]["applied"] if a["model"] == model)


def _by_hand(case: Path, world: World, before: Desired, by_hand: dict[str, Any]) -> dict[str, Any]:
    """Remove the labels of these containers, and rename them. Returns their inspections for the case's stack."""
    for name, entry in by_hand.items():
        instance = next(i for i in before.instances if i.model == entry["model"])
        daemon = world.daemon(instance.host)
        container = daemon.by_name(serving_name(instance.model))
        container.labels, container.name = {}, name
        container.spec, container.changes = instance.spec, entry.get("changes", {})
        record = daemon.read_record(before.owner)
        left = {address: a for address, a in record.applied.items() if a.model != instance.model}
        daemon.write_record(before.owner, HostRecord(instance.host, left))
    if not by_hand:
        return {}
    observed = world.observe_for(desired_from(case / "stack.toml", SECRETS))
    names = {(h.name, c.id): c.name for h in observed.hosts for c in h.containers}
    adoptable: dict[str, Any] = {}
    for (host, id_), inspected in observed.adoptable.items():
        adoptable.setdefault(host, {})[names[host, id_]] = dataclasses.asdict(inspected)
    return adoptable


def _settled(row: dict[str, Any], number: int) -> dict[str, Any]:
    """Ids are numbered within the case, so that recording it again changes nothing."""
    return {**row, "Id": f"{number:064x}"}


def _adjusted(row: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any] | None:
    change = changes.get(row["Names"][0][1:], {})
    if change is None:
        return None
    labels = {**row["Labels"], **change.get("Labels", {})}
    return {**row, **change, "Labels": labels}


def comment_of(plan: Plan) -> str:
    """The plan as a comment, without the version: a release changes no case."""
    return plan_markdown(plan).replace(f"cortexctl {__version__} ", "cortexctl VERSION ")


def files_of(case: Path) -> dict[str, str]:
    """File -> text, of the golden files that the case's own plan has."""
    plan = plan_of_case(case)
    return {
        "plan.txt": plan_text(plan, Ink(enabled=False), explain=True),
        "plan.json": plan_to_json(plan),
        "comment.md": comment_of(plan),
    }


def observation_file(case: Path, before: str = "before.toml") -> str:
    return json.dumps(observe_before(case, before), indent=2) + "\n"


def record(case: Path) -> None:
    if (case / "before.toml").exists():
        (case / "observed.json").write_text(observation_file(case))
    for name, text in files_of(case).items():
        (case / name).write_text(text)


if __name__ == "__main__":
    names = sys.argv[1:] or [p.name for p in sorted(CASES.iterdir()) if p.is_dir()]
    for name in names:
        record(CASES / name)
        sys.stdout.write(f"== {name}\n{(CASES / name / 'plan.txt').read_text()}\n")
