"""A fact that cannot be read means the same to every command: its host is named, and counts as unread."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import field
from pathlib import Path

import pytest

from cortexctl.cli.main import run
from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired
from cortexctl.errors import DaemonRefused
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.spec import InPlace
from cortexctl.observe.from_snapshot import FromObservation
from cortexctl.observe.gather import observe_for_plan
from cortexctl.observed.host import ImageFacts, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.record import HostRecord
from cortexctl.plan.guards_observed import not_in_snapshot
from cortexctl.plan.planner import plan
from tests.fakes.daemon_socket import LIST, TalkingDaemon, row, talking_daemon
from tests.reading import desired_from

STACK = """stack = "demo"
[hosts.here]
docker = "{docker}"
models_dir = "/m"
[models.tiny]
image = "image:v0.32.0"
source = {{ path = "tiny" }}
gpus = "none"
{more}
"""
CONTAINER, IMAGE = "/containers/{}/json", "/images/sha256:{}/json".format("1" * 64)
RECORD, LOCK = "/volumes/cortexctl-record-demo", "/volumes/cortexctl-lock-demo"
UNREADABLE = ["this", "is", "no", "answer"]
ID = "tiny".rjust(64, "0")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[TalkingDaemon]:
    with talking_daemon(tmp_path / "daemon.sock", {"/images/json": [], "/version": {"ApiVersion": "1.41"}}) as daemon:
        yield daemon


def write(folder: Path, daemon: TalkingDaemon, more: str = "") -> Desired:
    (folder / "stack.toml").write_text(STACK.format(docker=daemon.url, more=more))
    return desired_from(folder / "stack.toml")


def renamed(folder: Path, daemon: TalkingDaemon) -> str:
    """A container of ours under a foreign name."""
    desired = write(folder, daemon)
    daemon.answers[LIST] = [row(spec_to_label(desired.instances[0].spec), Names=["/x"])]
    return IMAGE


def stopped(folder: Path, daemon: TalkingDaemon) -> str:
    """The record contains the durations of its starts."""
    desired = write(folder, daemon)
    daemon.answers[LIST] = [row(spec_to_label(desired.instances[0].spec), State="exited", Status="Exited (0)")]
    return RECORD


def limited(folder: Path, daemon: TalkingDaemon) -> str:
    """Its label does not show a later change of its limits."""
    spec = write(folder, daemon).instances[0].spec
    write(folder, daemon, 'memory = "1 GiB"')
    daemon.answers[LIST] = [row(spec_to_label(spec))]
    return CONTAINER.format(ID)


def to_adopt(folder: Path, daemon: TalkingDaemon) -> str:
    write(folder, daemon, 'adopt = "x"')
    daemon.answers[LIST] = [{**row("", Names=["/x"]), "Labels": {}}]
    return CONTAINER.format(ID)


def locked(folder: Path, daemon: TalkingDaemon) -> str:
    desired = write(folder, daemon)
    daemon.answers[LIST] = [row(spec_to_label(desired.instances[0].spec), State="paused")]
    return LOCK


Case = Callable[[Path, TalkingDaemon], str]
CASES: list[tuple[Case, str]] = [
    (renamed, "plan"), (renamed, "drift"), (renamed, "status"), (stopped, "plan"), (stopped, "drift"),
    (limited, "plan"), (limited, "drift"), (to_adopt, "plan"), (to_adopt, "drift"), (to_adopt, "status"),
    (locked, "drift"), (locked, "status"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "command"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_a_fact_that_cannot_be_read_makes_its_host_unread(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    daemon: TalkingDaemon,
    case: Case,
    command: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    daemon.answers[case(tmp_path, daemon)] = UNREADABLE
    code = run([command, "--format", "json"])
    shown = json.loads(capsys.readouterr().out)
    assert code == 1
    match command:
        case "plan":
            unread = [d["summary"] for d in shown["diagnostics"] if d["rule"] == "CX401"]
            assert shown["changes"] == []
        case "drift":
            unread = [f["actual"] for f in shown["findings"]]
            assert [f["kind"] for f in shown["findings"]] == ["unreachable"]
        case _:
            unread = [r["detail"] for r in shown if (r["address"], r["state"]) == ("here", "unreachable")]
            assert len(shown) == 1
    assert len(unread) == 1
    assert "cannot be read" in unread[0]


@dataclass(frozen=True)
class Failing(FromObservation):
    """Hosts with one fact that cannot be read. They record every read."""

    fails: str = ""
    reads: list[str] = field(default_factory=list)

    def _read(self, fact: str, host: str) -> None:
        self.reads.append(f"{fact} {host}")
        if (fact, host) == (self.fails, "here"):
            raise DaemonRefused(f"{host}: {fact} cannot be read")

    def image(self, host: str, reference: str) -> ImageFacts:
        self._read("image", host)
        return ImageFacts(reference, "local", id="sha256:1")

    def record(self, host: str) -> HostRecord:
        self._read("record", host)
        return HostRecord(host)

    def in_place(self, host: str, container: str) -> InPlace:
        self._read("limits", host)
        return FromObservation.in_place(self, host, container) or InPlace()


def two_hosts(tmp_path: Path, daemon: TalkingDaemon) -> Desired:
    text = STACK.format(docker=daemon.url, more='hosts = ["*"]')
    (tmp_path / "stack.toml").write_text(
        text.replace("[models", f'[hosts.there]\ndocker = "{daemon.url}2"\nmodels_dir = "/m"\n[models')
    )
    return desired_from(tmp_path / "stack.toml")


@pytest.mark.parametrize("fact", ["image", "record"])
def test_the_other_hosts_are_planned_all_the_same(tmp_path: Path, daemon: TalkingDaemon, fact: str) -> None:
    desired = two_hosts(tmp_path, daemon)
    readers = Failing(Observed((ObservedHost("here"), ObservedHost("there"))), "two hosts", fails=fact)
    partial_plan = plan(desired, observe_for_plan(desired, readers))
    assert [c.address for c in partial_plan.effective] == ["there/tiny"]
    assert [d.rule for d in partial_plan.diagnostics if d.is_error] == ["CX401"]
    assert sorted(readers.reads) == ["image here", "image there", "record here", "record there"], "each once"


def test_a_snapshot_names_what_it_lacks_once_a_kind(tmp_path: Path, daemon: TalkingDaemon) -> None:
    desired = two_hosts(tmp_path, daemon)
    snapshot = FromObservation(Observed((ObservedHost("here"), ObservedHost("there"))), "old.json")
    observed = observe_for_plan(desired, snapshot)
    assert [d.summary.partition(":")[0] for d in not_in_snapshot(observed, "old.json")] == [
        "old.json has no record for here, there",
        "old.json has no images for image",
    ]
    assert {c.action.value for c in plan(desired, observed).effective} == {"create"}, "it is planned without them"


def test_a_host_that_a_snapshot_does_not_have_is_unreachable(tmp_path: Path, daemon: TalkingDaemon) -> None:
    desired = two_hosts(tmp_path, daemon)
    observed = observe_for_plan(desired, FromObservation(Observed((ObservedHost("here"),)), "old.json"))
    assert observed.host("there").problem == "it is not in old.json"
    assert "CX401" in {d.rule for d in plan(desired, observed).diagnostics}
