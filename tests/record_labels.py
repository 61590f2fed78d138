"""Adds to the corpus of labels: `python -m tests.record_labels NAME...`. Existing cases are never written again.

A case is a folder under tests/cases/labels/vN (N: the spec version) with a stack.toml, and a before.toml if another
stack was applied first. An options.json may choose an environment and give variables, as for stack cases. The stacks are
applied to fake hosts. labels.json holds every container of the stack afterwards: its labels as this release writes them,
and the fields that were changed in place. From then on, the hosts of a user may hold these labels. No later release may
plan a change for them, so the file is never edited: SHA256SUMS holds its sum. The same command without a NAME adds the
sums of files that were written by a person.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cortexctl import __version__
from cortexctl.desired.stack import Desired
from cortexctl.instance import labels
from cortexctl.instance.codec import SPEC_VERSION
from cortexctl.instance.spec import InPlace
from cortexctl.observe.from_snapshot import FromObservation
from cortexctl.observe.gather import observe_for_plan
from cortexctl.observed.host import ImageFacts, ObservedContainer, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.plan.model import Plan
from cortexctl.plan.planner import plan
from cortexctl.plan.request import Request
from cortexctl.stack.load import UnresolvedSecret, VariableInputs, load_stack
from tests.fakes.container import FakeContainer
from tests.fakes.daemon import FakeDaemon
from tests.fakes.world import World

CORPUS = Path(__file__).parent / "cases" / "labels"
NOW = CORPUS / f"v{SPEC_VERSION}"
SUMS = CORPUS / "SHA256SUMS"
SECRETS = {
    "HF_TOKEN": "hf-of-the-corpus",
    "CORTEX_API_KEY": "sk-of-the-corpus",
    "/run/secrets/proxy": "of-a-file",
    "signing": "of-a-variable",
}
"""Variable, file or name -> value of a secret of the cases. Labels hold a fingerprint of each, and never change."""

OF_THE_COMMAND_LINE = {
    labels.VERSION: __version__,
    labels.REVISION: "3f2a9c14d0b1e7a5c8d9f0b2a4c6e8f0a1b3c5d7-dirty",
    labels.AUTHOR: "ops@desk",
}
"""The labels that do not come from the plan."""


def cases() -> list[Path]:
    """Every recorded case, of every version of the spec."""
    return sorted(p.parent for p in CORPUS.glob("v*/*/labels.json"))


def desired_of(case: Path, file: str = "stack.toml", secrets: dict[str, str] = SECRETS) -> Desired:
    """Read the case's stack (or the one before it). Its paths are absolute: a label is the same on every machine."""
    options: dict[str, Any] = {}
    if (case / "options.json").exists():
        options = json.loads((case / "options.json").read_text(encoding="utf-8"))

    def value(_source: str, key: str) -> str:
        if key not in secrets:
            raise UnresolvedSecret(f"the corpus has no {key}")
        return secrets[key]

    desired, diagnostics = load_stack(
        str(case / file),
        default_docker="unix:///var/run/docker.sock",
        secret_value=value,
        env=options.get("env", ""),
        inputs=VariableInputs(
            options.get("vars", []), environ={f"CORTEXCTL_VAR_{key}": value for key, value in secrets.items()}
        ),
    )
    assert desired is not None, [f"{d.rule} {d.summary}" for d in diagnostics]
    return dataclasses.replace(desired, path=file)


def plan_of(case: Path, desired: Desired, request: Request = Request()) -> Plan:  # noqa: B008 - frozen
    """Plan against the recorded containers. The only other facts are their limits and restart policies."""
    entries = json.loads((case / "labels.json").read_text(encoding="utf-8"))
    limits = {(e["host"], f"{e['host']}/{e['name']}"): InPlace(**e["in_place"]) for e in entries}
    images = {
        (i.host, i.spec.container.image): ImageFacts(i.spec.container.image, "local", id="sha256:1")
        for i in desired.instances
    }
    recorded = Observed(tuple(_host(h.name, entries) for h in desired.hosts), images, limits)
    return plan(desired, observe_for_plan(desired, FromObservation(recorded, case.name), request), request)


def _host(name: str, entries: list[dict[str, Any]]) -> ObservedHost:
    here = (e for e in entries if e["host"] == name)
    return ObservedHost(name, tuple(_container(e) for e in here), daemon="Docker/20.10.24 (linux)", api="1.41")


def _container(entry: dict[str, Any]) -> ObservedContainer:
    return ObservedContainer(
        id=f"{entry['host']}/{entry['name']}",
        name=entry["name"],
        image="",
        image_id="",
        state=entry["state"],
        exit_code=0 if entry["state"] == "exited" else None,
        labels=entry["labels"],
        networks=tuple(entry["networks"]),
    )


def record(case: Path) -> None:
    """Apply the case's stacks to fake hosts, one after the other, and write the containers to labels.json."""
    if (case / "labels.json").exists():
        raise SystemExit(f"{case.name} is recorded, and a recorded case is never written again; choose another name")
    steps = [desired_of(case, name) for name in ("before.toml", "stack.toml") if (case / name).exists()]
    images = sorted({i.spec.container.image for desired in steps for i in desired.instances})
    world = World(steps[-1].owner, *(h.name for h in steps[-1].hosts), images=images)
    world.secrets.values = dict(SECRETS)
    for desired in steps:
        plan = world.plan(desired)
        assert not plan.has_errors, plan.diagnostics
        assert world.apply(plan).exit_code == 0
    entries = [_entry(daemon, c) for daemon, c in _containers(world)]
    text = json.dumps(entries, indent=1, ensure_ascii=False)
    (case / "labels.json").write_text(text + "\n", encoding="utf-8")


def _containers(world: World) -> Iterator[tuple[FakeDaemon, FakeContainer]]:
    for _, daemon in sorted(world.daemons.by_host.items()):
        for container in sorted(daemon.containers.values(), key=lambda c: c.name):
            yield daemon, container


def _entry(daemon: FakeDaemon, container: FakeContainer) -> dict[str, Any]:
    return {
        "host": daemon.host,
        "name": container.name,
        "state": container.state,
        "networks": container.networks,
        "in_place": dataclasses.asdict(daemon.in_place(container.id)),
        "labels": {**container.labels, **OF_THE_COMMAND_LINE},
    }


def sums() -> dict[str, str]:
    """Path below the corpus -> the sum that was recorded when the file was added."""
    lines = SUMS.read_text(encoding="utf-8").splitlines() if SUMS.exists() else []
    return {path: digest for digest, path in (line.split("  ", 1) for line in lines)}


def sum_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files() -> dict[str, Path]:
    """Path below the corpus -> file, for every file that belongs in SHA256SUMS."""
    paths = (p for p in CORPUS.rglob("*") if p.is_file() and p != SUMS)
    return {p.relative_to(CORPUS).as_posix(): p for p in sorted(paths)}


def add_sums() -> None:
    """Add a line for every file that has none. Existing lines stay unchanged."""
    known = sums()
    new = [f"{sum_of(path)}  {name}\n" for name, path in files().items() if name not in known]
    with SUMS.open("a", encoding="utf-8") as file:
        file.writelines(new)


if __name__ == "__main__":
    for case_name in sys.argv[1:]:
        record(NOW / case_name)
        sys.stdout.write(f"== {case_name}\n{(NOW / case_name / 'labels.json').read_text(encoding='utf-8')}\n")
    add_sums()
