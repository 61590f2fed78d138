"""Small examples of drift and of no drift."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.engines.vllm.command.read_options import options_of
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.fingerprint import fingerprint
from cortexctl.instance.image import local_name
from cortexctl.instance.spec import InPlace, Mount, Publish, SecretRef, Spec
from cortexctl.observed.health import Answer, HealthOutcome
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.inspected import ImageDefaults, Inspected, parse_inspected
from cortexctl.observed.observation import Observed
from cortexctl.observed.record import Applied, HostRecord
from cortexctl.plan.drift.finding import Code, DriftReport, Facts, Finding, Kind
from cortexctl.plan.drift.report import DriftSelection, find_drift
from cortexctl.plan.drift.servers import Server, sorted_answers
from cortexctl.plan.inspected_diff import Difference, differences
from cortexctl.render.drift.markdown import drift_markdown
from cortexctl.render.drift.prometheus import MOST_SERIES, drift_prometheus
from cortexctl.render.drift.terminal import drift_text
from cortexctl.render.style import Ink
from cortexctl.stack.value_forms import DRIFT_KINDS
from tests.fakes.inspection import IMAGE_ENV, inspection
from tests.record_drift_case import DURATIONS
from tests.specs import change_spec, new_spec

SPEC = new_spec("image:v0.32.0", "/models/m", ("m",), version="0.32.0")
HOST = Host("here", "unix:///run/x.sock")


def container(spec: Spec = SPEC, **fields: Any) -> ObservedContainer:
    labels = {
        "cortexctl.stack": "demo",
        "cortexctl.model": "m",
        "cortexctl.generation": "1",
        "cortexctl.spec": spec_to_label(spec),
    }
    settings = {"state": "running", "networks": (spec.container.network,), "addresses": ("172.18.0.2",), **fields}
    return ObservedContainer("c1", "vllm-model-m", spec.container.image, "sha256:1", labels=labels, **settings)


def drift_of(
    *containers: ObservedContainer,
    wanted: Spec | None = SPEC,
    applied: Applied | None = None,
    facts: Facts = Facts(),  # noqa: B008
    only: DriftSelection = DriftSelection(),  # noqa: B008
    **instance: Any,
) -> DriftReport:
    instances = (Instance("here", "m", wanted, **instance),) if wanted else ()
    record = HostRecord("here", {f"here/{applied.model}": applied} if applied else {})
    observed = Observed((ObservedHost("here", containers),), records={"here": record})
    return find_drift(Desired("demo", "stack.toml", (HOST,), instances), observed, facts, only)


def codes(report: DriftReport) -> list[tuple[Kind, Code, str]]:
    return [(f.kind, f.code, f.path) for f in report.findings]


def in_place(**values: Any) -> Facts:
    return Facts(in_place={("here", "c1"): replace(InPlace(), **values)})


# settings that can be changed in place


def test_a_limit_set_by_hand_is_drift_unless_the_stack_declares_it() -> None:
    assert codes(drift_of(container(), facts=in_place(memory=512))) == [(Kind.DRIFT, Code.UPDATED, "memory")]
    assert codes(drift_of(container(), wanted=change_spec(SPEC, memory=512), facts=in_place(memory=512))) == []
    assert codes(drift_of(container(), wanted=change_spec(SPEC, memory=512), facts=in_place())) == [
        (Kind.PENDING, Code.EDITED, "memory")
    ]


def test_an_update_in_place_that_is_recorded_is_what_was_applied() -> None:
    applied = Applied("m", 1, 1, "run", change_spec(SPEC, memory=256))
    wanted = change_spec(SPEC, memory=256)
    assert codes(drift_of(container(), wanted=wanted, applied=applied)) == []
    drifted = drift_of(container(), wanted=wanted, applied=applied, facts=in_place(memory=512))
    assert [(f.code, f.expected, f.actual) for f in drifted.findings] == [(Code.UPDATED, 256, 512)]
    old = replace(applied, generation=0)
    assert codes(drift_of(container(), wanted=wanted, applied=old)) == [(Kind.PENDING, Code.EDITED, "memory")]


def test_drift_and_pending_changes_are_both_reported() -> None:
    wanted = change_spec(SPEC, memory=256, args={"max_model_len": 8})
    kinds = codes(drift_of(container(state="paused"), wanted=wanted, facts=in_place(memory=512)))
    assert kinds == [
        (Kind.DRIFT, Code.UPDATED, "memory"),
        (Kind.DRIFT, Code.STOPPED, "state"),
        (Kind.PENDING, Code.EDITED, "args.max_model_len"),
        (Kind.PENDING, Code.EDITED, "memory"),
    ]


# missing containers


def test_only_a_declared_container_is_missing() -> None:
    applied = Applied("m", 1, 3, "run", SPEC)
    assert codes(drift_of(applied=applied)) == [(Kind.DRIFT, Code.REMOVED, "container")]
    assert codes(drift_of(applied=applied, wanted=None)) == []
    assert codes(drift_of()) == [(Kind.PENDING, Code.NEW, "container")]


def test_the_record_is_found_under_a_models_old_name() -> None:
    applied = Applied("old", 1, 1, "run", SPEC)
    desired = Desired("demo", "s", (HOST,), (Instance("here", "m", SPEC),), moved={"old": "m"})
    observed = Observed((ObservedHost("here"),), records={"here": HostRecord("here", {"here/old": applied})})
    assert codes(find_drift(desired, observed)) == [(Kind.DRIFT, Code.REMOVED, "container")]


# ignores, apart from the plan's


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ((), 2),
        (("state",), 1),
        (("mem*",), 1),
        (("*",), 0),
        (("args",), 2),
    ],
)
def test_a_models_ignore_drift_is_by_path(patterns: tuple[str, ...], left: int) -> None:
    report = drift_of(container(state="paused"), facts=in_place(memory=512), ignore_drift=patterns)
    assert (len(report.findings), report.ignored) == (left, 2 - left)


def test_ignore_is_the_plans_and_hides_what_is_pending_only() -> None:
    wanted = change_spec(SPEC, memory=256)
    assert codes(drift_of(container(), wanted=wanted, ignore=("memory",))) == []
    report = drift_of(container(), wanted=wanted, ignore=("memory",), facts=in_place(memory=512))
    assert codes(report) == [(Kind.DRIFT, Code.UPDATED, "memory")]
    assert codes(drift_of(container(), wanted=wanted, ignore_drift=("memory",))) == [
        (Kind.PENDING, Code.EDITED, "memory")
    ]


@pytest.mark.parametrize(
    ("pattern", "is_ignored"),
    [
        ("here/m", True), ("here/*", True), ("drift:here/*", True), ("*", True),
        ("pending:*", False), ("here", False), ("there/*", False),
    ],
)  # fmt: skip
def test_the_stacks_ignore_is_by_kind_and_place(pattern: str, is_ignored: bool) -> None:
    instance = Instance("here", "m", SPEC)
    desired = Desired("demo", "s", (HOST,), (instance,), ignore_drift=(pattern,))
    report = find_drift(desired, Observed((ObservedHost("here", (container(state="paused"),)),)))
    assert (report.findings == (), report.ignored) == (is_ignored, int(is_ignored))


@pytest.mark.parametrize(("pattern", "is_ignored"), [("*", False), ("unreachable:*", True), ("unreachable:here", True)])
def test_an_unreachable_host_is_ignored_by_its_kind_only(pattern: str, is_ignored: bool) -> None:
    desired = Desired("demo", "s", (HOST,), (), ignore_drift=(pattern,))
    report = find_drift(desired, Observed((ObservedHost("here", problem="gone"),)))
    assert (report.of(Kind.UNREACHABLE) == ()) == is_ignored


# the selection


def test_only_these_kinds_and_targets_and_an_unreachable_host_whenever_it_matters() -> None:
    report = drift_of(container(state="paused"), only=DriftSelection((Kind.PENDING,)))
    assert report.findings == ()
    gone = Observed((ObservedHost("here", problem="gone"),))
    desired = Desired("demo", "s", (HOST,), (Instance("here", "m", SPEC),))
    assert [f.kind for f in find_drift(desired, gone, only=DriftSelection((Kind.PENDING,))).findings] == [
        Kind.UNREACHABLE
    ]
    assert [f.kind for f in find_drift(desired, gone, only=DriftSelection(target=("m",))).findings] == [
        Kind.UNREACHABLE
    ]
    other = find_drift(desired, gone, only=DriftSelection(target=("elsewhere/*",)))
    assert other.findings == ()
    assert [d.rule for d in other.diagnostics] == ["CX408"]


def test_a_pattern_without_a_match_is_named_with_the_existing_names() -> None:
    report = drift_of(container(), only=DriftSelection(target=("m", "x*")))
    assert [(d.summary, d.help) for d in report.diagnostics] == [("--target x* matches nothing", "known: here/m")]
    report = drift_of(container(), only=DriftSelection(host=("here", "gpu-*")))
    assert [(d.summary, d.help) for d in report.diagnostics] == [("--host gpu-* matches nothing", "known: here")]


def test_unmanaged_containers_are_reported_only_on_request() -> None:
    foreign = ObservedContainer("c2", "theirs", "x", "y", "running")
    report = drift_of(container(), foreign)
    assert [f.code for f in report.findings] == [Code.FOREIGN]
    assert report.to_report() == ()
    assert [f.code for f in drift_of(container(), foreign, only=DriftSelection((Kind.UNMANAGED,))).to_report()] == [
        Code.FOREIGN
    ]


# health


@pytest.mark.parametrize("outcome", HealthOutcome)
def test_a_broken_reach_is_not_an_unhealthy_server(outcome: HealthOutcome) -> None:
    server = Server("here", "c1", "here/m", "m", "/health")
    health, unreached = sorted_answers((server,), {("here", "c1"): Answer(outcome, why="no way")})
    is_reached = outcome is not HealthOutcome.UNREACHED
    assert set(health) == ({("here", "c1")} if is_reached else set())
    assert [(n.subject, n.why) for n in unreached] == ([] if is_reached else [("here/m", "no way")])


# inspections


def inspected(spec: Spec, secrets: Mapping[str, str] | None = None, **changes: Any) -> Inspected:
    return parse_inspected(inspection(spec, secrets, changes), spec, ImageDefaults(IMAGE_ENV, ("/cache",)), "demo")


RICH = new_spec(
    "image:v0.32.0",
    "org/m",
    ("m", "n"),
    version="0.32.0",
    args={"max_model_len": 8, "enable_prefix_caching": False, "hf_overrides": {"a": [1, {"b": None}]}, "seed": -1},
    extra_args=("--new-thing", "-1"),
    env={"LANG": "de", "EMPTY": ""},
    secrets=(SecretRef("HF_TOKEN", "env", "HF_TOKEN", fingerprint("demo", "HF_TOKEN", "hf-value")),),
    gpus=(10, 2),
    mounts=(Mount("/srv/m/", "/models"), Mount("volume", "/scratch", read_only=False)),
    publish=Publish("::1", 8001),
    memory=2**30,
    cpus=2.5,
)


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        RICH,
        change_spec(RICH, ipc="host", publish=Publish("0.0.0.0", 1), version="0.10.0", gpus=(), drain=0),
        change_spec(RICH, publish=Publish("127.0.0.1"), version=None, secrets=()),
    ],
)
def test_a_container_of_ours_has_no_difference(spec: Spec) -> None:
    assert differences(spec, inspected(spec, {s.name: "hf-value" for s in spec.container.secrets})) == ()


def test_what_image_and_daemon_fill_in_is_no_difference() -> None:
    raw = inspection(SPEC)
    raw["Config"]["Env"] += ["HOME=/root", "TERM=xterm", "container=podman", "HOSTNAME=x"]
    raw["Config"]["StopSignal"] = "15"
    raw["HostConfig"]["CapDrop"] = ["CAP_ALL"]
    raw["HostConfig"]["SecurityOpt"] = ["no-new-privileges:true", "label=type:x"]
    raw["Mounts"] = [{"Type": "volume", "Name": "a" * 64, "Source": "/v", "Destination": "/cache", "RW": True}]
    parsed = parse_inspected(raw, SPEC, ImageDefaults(IMAGE_ENV, ("/cache",)), "demo")
    assert differences(SPEC, parsed) == ()
    without = parse_inspected(raw | {"Mounts": []}, SPEC, ImageDefaults(known=False), "demo")
    assert without.foreign_env == (), "without the image nobody knows whose it is"


def test_podman_keeps_no_gpus_and_that_is_no_difference() -> None:
    parsed = inspected(change_spec(SPEC, gpus=(0,)), HostConfig={"DeviceRequests": None})
    assert differences(change_spec(SPEC, gpus=(0,)), parsed, on_podman=True) == ()
    assert differences(change_spec(SPEC, gpus=(0,)), parsed) == (Difference("gpus", ["0"], "none"),)


PODMAN_CAPABILITIES = "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"


def test_podman_shows_some_settings_in_another_form() -> None:
    """As Podman 4.3.1 answers."""
    spec = change_spec(SPEC, publish=Publish("127.0.0.1"))
    raw = inspection(spec)
    raw["Config"]["Env"] += ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    raw["HostConfig"] |= {
        "CapDrop": [f"CAP_{name}" for name in PODMAN_CAPABILITIES.split()],
        "IpcMode": "shareable",
        "LogConfig": {"Type": "json-file", "Config": None},
        "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "34885"}]},
    }

    def differing(on_podman: bool) -> list[str]:
        parsed = parse_inspected(raw, spec, ImageDefaults(IMAGE_ENV), "demo")
        return [d.path for d in differences(spec, parsed, on_podman=on_podman)]

    assert differing(on_podman=True) == []
    assert differing(on_podman=False) == ["cap_drop", "ipc", "log", "publish"]
    raw["HostConfig"] |= {
        "CapDrop": ["CAP_CHOWN"],
        "IpcMode": "host",
        "LogConfig": {"Type": "journald"},
        "PortBindings": {"8000/tcp": [{"HostIp": "", "HostPort": "34885"}]},
    }
    assert differing(on_podman=True) == ["cap_drop", "ipc", "log", "publish"], "real differences stay"


def test_a_secret_is_compared_by_its_fingerprint_and_held_nowhere() -> None:
    for value, expected in (("hf-value", []), ("hf-other", ["secrets.HF_TOKEN"]), ("", ["secrets.HF_TOKEN"])):
        parsed = inspected(RICH, {"HF_TOKEN": value})
        assert [d.path for d in differences(RICH, parsed)] == expected
        assert not value or value not in repr(parsed)
    missing = inspected(RICH)
    assert [(d.path, d.actual) for d in differences(RICH, missing)] == [("secrets.HF_TOKEN", None)]
    foreign = inspected(SPEC, {"AWS_KEY": "planted"})
    assert [(d.path, d.actual) for d in differences(SPEC, foreign)] == [("env.AWS_KEY", "(hidden)")]
    assert "planted" not in repr(foreign)
    assert "planted" not in str(foreign.env)


@pytest.mark.parametrize(
    "argv",
    [
        ["--max-model-len=8192", "--served-model-name", "m", "n", "/models/x", "-tp", "2"],
        ["/models/x", "--served-model-name", "m", "n", "--tensor-parallel-size", "2", "--max-model-len", "8192"],
    ],
)
def test_another_order_and_another_spelling_are_the_same_options(argv: list[str]) -> None:
    options = dict(options_of(argv))
    names = options.pop("served_model_name")
    assert names[:2] == ("m", "n")
    assert options["max_model_len"] == ("8192",)
    assert options["tensor_parallel_size"] == ("2",)


def test_switches_and_negative_numbers() -> None:
    assert options_of(["m", "--enforce-eager", "--no-enable-prefix-caching", "--seed", "-1", "-O3", "--x=a=b"]) == {
        "model": ("m",),
        "enforce_eager": ("true",),
        "enable_prefix_caching": ("false",),
        "seed": ("-1",),
        "O3": ("true",),
        "x": ("a=b",),
    }


@pytest.mark.parametrize(
    ("argv", "path", "shown"),
    [
        (["--api-key", "planted"], "extra_args.--api-key", "(hidden)"),
        (["--hf-token=planted"], "extra_args.--hf-token", "(hidden)"),
        (["--who-knows", "planted"], "extra_args.--who-knows", "(hidden)"),
        (["--speculative-config", '{"key":"planted"}'], "args.speculative_config", "(hidden)"),
        (["-x", "planted"], "extra_args.--x", "(hidden)"),
        (["--seed", "3"], "args.seed", "3"),
    ],
)
def test_of_options_added_by_hand_only_known_ones_are_shown(argv: list[str], path: str, shown: str) -> None:
    raw = inspection(SPEC)
    raw["Config"]["Cmd"] += argv
    assert differences(SPEC, parse_inspected(raw, SPEC, ImageDefaults(IMAGE_ENV), "demo")) == (
        Difference(path, None, shown),
    )


def test_another_program_is_named_and_its_arguments_are_not_read() -> None:
    parsed = inspected(SPEC, Config={"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["export HF_TOKEN=planted; vllm serve"]})
    assert differences(SPEC, parsed) == (Difference("entrypoint", "vllm serve", "/bin/sh"),)
    split = inspected(SPEC, Config={"Entrypoint": ["vllm"], "Cmd": ["serve", *inspection(SPEC)["Config"]["Cmd"]]})
    assert differences(SPEC, split) == (), "where entry point ends and arguments begin is one"


@pytest.mark.parametrize(
    ("reference", "listed"),
    [
        ("vllm/vllm-openai:v0.32.0", "vllm/vllm-openai:v0.32.0"),
        ("docker.io/vllm/vllm-openai", "vllm/vllm-openai:latest"),
        ("docker.io/library/x", "x:latest"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("x:v1@sha256:" + "a" * 64, "x@sha256:" + "a" * 64),
    ],
)
def test_an_image_by_the_name_that_daemons_list(reference: str, listed: str) -> None:
    assert local_name(reference) == listed


# large reports


def many(number: int) -> DriftReport:
    report = drift_of(container())
    findings = tuple(
        Finding(Kind.DRIFT, Code.CHANGED, f"gpu-{i}", f"gpu-{i}/m", "m", "c", f"env.X{i}", "a" * 50, "(hidden)")
        for i in range(number)
    )
    return replace(report, findings=findings)


def test_the_same_finding_on_many_hosts_is_shown_once() -> None:
    report = replace(
        drift_of(container()),
        findings=tuple(
            Finding(Kind.DRIFT, Code.STOPPED, f"gpu-{i}", f"gpu-{i}/m", "m", "c", "state", "running", "paused")
            for i in range(200)
        ),
    )
    text = drift_text(report, Ink(enabled=False))
    assert "gpu-0/m, gpu-1/m and 198 more   it is paused" in text
    assert len(text.splitlines()) < 10


def test_metrics_and_markdown_are_bounded(tmp_path: Path) -> None:
    report = many(5000)
    metrics = drift_prometheus(report, DURATIONS)
    assert metrics.count("\ncortexctl_drift_finding{") == MOST_SERIES
    assert f'cortexctl_drift_findings_without_series{{stack="demo",env=""}} {5000 - MOST_SERIES}\n' in metrics
    markdown = drift_markdown(report)
    assert len(markdown.encode()) < 65_000
    assert "and 4900 more rows" in markdown


def test_a_stack_can_ignore_every_kind_of_finding_and_no_other() -> None:
    assert set(DRIFT_KINDS) == set(Kind)
