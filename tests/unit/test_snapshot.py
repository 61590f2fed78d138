"""A snapshot: its time, and what it contains of other stacks."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cortexctl.cli.main import run
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_to_label
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import spec_of
from cortexctl.observed.snapshot import NotASnapshot, snapshot_from_json, snapshot_to_json, without_other_stacks
from cortexctl.plan.hypothetical import as_if_applied
from cortexctl.plan.planner import plan
from cortexctl.plan.request import Request
from tests.reading import desired_from, observed_from
from tests.record_case import CASES

PLANTED = "not-for-other-stacks-93177"
STACK = """\
stack = "s"
[hosts.h]
docker = "unix:///nowhere/docker.sock"
models_dir = "/m"
[models.chat]
image = "vllm/vllm-openai:v0.32.0"
source = { path = "chat" }
gpus = "none"
"""


def _with_a_secret_elsewhere(observed: Observed) -> Observed:
    """Every container of another stack has the planted text in each place of its labels that takes a text."""

    def planted(text: str) -> str:
        spec, _ = spec_of(next(c for h in observed.hosts for c in h.containers if c.labels.get(labels.SPEC) == text))
        assert spec is not None
        container = replace(spec.container, env={"A": PLANTED}, image=f"{PLANTED}:1", network=PLANTED)
        args = {**spec.server.args, "chat_template": PLANTED, "hf_overrides": {"a": PLANTED}}
        server = replace(spec.server, model=PLANTED, served_names=(PLANTED,), args=args, extra_args=(PLANTED,))
        return spec_to_label(replace(spec, container=container, server=server))

    def container_of(labels_: dict[str, str]) -> dict[str, str]:
        if labels.owner_of(labels_) in {"", "demo"}:
            return labels_
        return labels_ | {labels.SPEC: planted(labels_[labels.SPEC]), labels.AUTHOR: PLANTED}

    hosts = (
        replace(h, containers=tuple(replace(c, labels=container_of(dict(c.labels))) for c in h.containers))
        for h in observed.hosts
    )
    return replace(observed, hosts=tuple(hosts))


def test_of_other_stacks_it_has_the_identity_and_the_gpus_and_plans_are_the_same() -> None:
    case = CASES / "gpu_of_another_stack"
    desired = desired_from(case / "stack.toml", {})
    observed = _with_a_secret_elsewhere(observed_from(case / "observed.json"))
    text = snapshot_to_json(without_other_stacks(observed, desired.owner))
    assert PLANTED in snapshot_to_json(observed)
    assert PLANTED not in text
    there = plan(desired, snapshot_from_json(text), Request())
    assert there.diagnostics == plan(desired, observed, Request()).diagnostics
    assert [d.rule for d in there.diagnostics] == ["CX411"]


def test_the_containers_of_its_own_stack_are_complete() -> None:
    case = CASES / "gpu_of_another_stack"
    observed = observed_from(case / "observed.json")
    assert without_other_stacks(observed, "theirs") == observed


@pytest.mark.parametrize(
    ("age", "shown"),
    [(timedelta(hours=2), ""), (timedelta(hours=25), "1 day old"), (timedelta(days=3, hours=1), "3 days")],
)
def test_a_plan_shows_when_its_snapshot_was_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], age: timedelta, shown: str
) -> None:
    taken = datetime.now(UTC) - age
    (tmp_path / "stack.toml").write_text(STACK)
    (tmp_path / "s.json").write_text(_snapshot(tmp_path, f"{taken:%Y-%m-%dT%H:%M:%SZ}"))
    assert run(["plan", str(tmp_path / "stack.toml"), "--observed", str(tmp_path / "s.json")]) == 0
    stdout, stderr = capsys.readouterr()
    assert f"s.json of {taken:%Y-%m-%d %H:%M} UTC" in stdout
    assert (shown in stderr) if shown else "old" not in stderr


def test_a_snapshot_without_a_time_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "stack.toml").write_text(STACK)
    document = json.loads(_snapshot(tmp_path, ""))
    del document["taken_at"]
    (tmp_path / "s.json").write_text(json.dumps(document | {"format_version": "2.0"}))
    assert run(["plan", str(tmp_path / "stack.toml"), "--observed", str(tmp_path / "s.json")]) == 0
    stdout, stderr = capsys.readouterr()
    assert f"against snapshot {tmp_path / 's.json'} " in stdout
    assert "old" not in stderr


@pytest.mark.parametrize(
    "value", ["yesterday", "2026-11-30", "2026-11-30T12:00:00", 17, None, ["2026-11-30T12:00:00Z"]]
)
def test_a_time_that_is_none_is_damage(value: object) -> None:
    document = json.loads(snapshot_to_json(Observed(())))
    with pytest.raises(NotASnapshot, match="taken_at"):
        snapshot_from_json(json.dumps(document | {"taken_at": value}))


def _snapshot(folder: Path, taken_at: str) -> str:
    desired = desired_from(folder / "stack.toml", {})
    return snapshot_to_json(replace(as_if_applied(desired, desired), taken_at=taken_at))
