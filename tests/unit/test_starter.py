"""init: the starter stacks, and `--host` with what doctor reads there."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cortexctl.cli.main import cli
from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonUnreachable, UsageError
from cortexctl.operations import starter_hosts
from cortexctl.operations.notes import Note
from cortexctl.operations.results import DoctorReport, HostReport
from cortexctl.operations.starter_hosts import read_hosts, stack_of_hosts
from cortexctl.stack.edit.layout import formatted
from cortexctl.stack.load import load_stack
from cortexctl.stack.starter import TEMPLATES, StarterHost, host_name, starter
from tests.doctor_cases import REPORTS

ANSWERED = sorted(REPORTS.keys() - {"unreachable"})


def host_report(case: str, name: str = "gpu-1") -> HostReport:
    """As `init` has it: the host is not in a stack, so it declares nothing."""
    (report,) = REPORTS[case]().hosts
    return replace(report, host=Host(name, f"ssh://ops@{name}"))


def stack_of(*reports: HostReport, template: str | None = None) -> dict[str, Any]:
    return tomllib.loads(stack_of_hosts(reports, "stack.toml", template, "prod"))


@pytest.mark.parametrize("case", ANSWERED)
@pytest.mark.parametrize("count", [1, 3])
def test_a_stack_of_hosts_loads_without_diagnostics(tmp_path: Path, case: str, count: int) -> None:
    path = tmp_path / "stack.toml"
    text = stack_of_hosts([host_report(case, f"gpu-{n}") for n in range(count)], str(path), None, "prod")
    assert formatted("stack.toml", text) == text
    path.write_text(text)
    desired, diagnostics = load_stack(str(path), default_docker="unix:///unused", secret_value=None)
    assert diagnostics == []
    assert desired is not None
    assert [host.docker for host in desired.hosts] == [f"ssh://ops@gpu-{n}" for n in range(count)]
    assert len(desired.instances) == 1


def test_the_gpus_that_a_probe_read_are_in_the_stack() -> None:
    stack = stack_of(host_report("four-gpus"))
    assert stack["hosts"]["gpu-1"] == {
        "docker": "ssh://ops@gpu-1",
        "gpus": {"count": 4, "name": "NVIDIA H200", "memory": "143771 MiB", "compute_capability": "9.0"},
    }
    assert list(stack["models"]) == ["llama-8b"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_host_with_a_tls_port_has_a_line_for_its_certificates(template: str) -> None:
    def stack(*, is_used: bool) -> dict[str, Any]:
        text = starter(template, "x", [StarterHost("gpu-2", "tcp://gpu-2:2376"), StarterHost("gpu-1", "ssh://gpu-1")])
        assert text.count("# tls = ") == 1
        hosts: dict[str, Any] = tomllib.loads(text.replace("# tls = ", "tls = ") if is_used else text)["hosts"]
        return hosts

    assert "tls" not in stack(is_used=False)["gpu-2"]
    assert stack(is_used=True)["gpu-2"]["tls"] == {"ca": "tls/ca.pem", "cert": "tls/cert.pem", "key": "tls/key.pem"}
    assert "tls" not in stack(is_used=True)["gpu-1"]


def test_a_small_gpu_gets_a_small_model() -> None:
    report = host_report("four-gpus")
    assert report.probe is not None
    gpus = tuple(replace(gpu, memory=16 * 2**30) for gpu in report.probe.gpus)
    stack = stack_of(replace(report, probe=replace(report.probe, gpus=gpus)))
    assert list(stack["models"]) == ["qwen-small"]
    assert stack["models"]["qwen-small"]["gpus"] == [0]


def test_hosts_without_gpus_get_a_model_for_the_cpu_and_a_template_has_precedence() -> None:
    report = host_report("no-toolkit")
    assert stack_of(report)["models"]["qwen-small"]["gpus"] == "none"
    assert list(stack_of(report, template="gpu")["models"]) == ["llama-8b"]


def test_the_model_runs_on_the_first_host_with_gpus() -> None:
    stack = stack_of(host_report("no-toolkit", "edge"), host_report("four-gpus", "gpu-1"))
    assert stack["models"]["llama-8b"]["hosts"] == ["gpu-1"]
    assert list(stack["hosts"]) == ["edge", "gpu-1"]


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("no-image", "it has no image of vLLM to read them with. Pull one there, then: cortexctl doctor gpu-1"),
        ("failed-probe", "Its GPUs are not known (it did not finish). To try again: cortexctl doctor gpu-1"),
        ("mixed", "# Its 2 GPUs differ: declare in `gpus` those that the stack may use"),
        ("no-toolkit", "# A container gets no GPUs there ("),
        ("podman", "# Podman 4.3.1 on "),
        ("clock", ". Next: synchronise both clocks"),
    ],
)
def test_what_is_not_known_is_a_comment_with_the_next_command(case: str, sentence: str) -> None:
    assert sentence in stack_of_hosts([host_report(case)], "stack.toml", None, "prod")


def test_a_text_of_a_host_cannot_leave_its_comment() -> None:
    report = host_report("podman")
    assert report.facts.daemon is not None
    hostile = replace(report.facts.daemon, system='x\n[hosts.evil]\ndocker = "tcp://evil"\x1b[2J\x00')
    stack = stack_of(replace(report, facts=replace(report.facts, daemon=hostile)))
    assert list(stack["hosts"]) == ["gpu-1"]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("ssh://ops@gpu-1", "gpu-1"),
        ("ssh://ops@GPU_1.example.com:2222", "gpu-1"),
        ("tcp://gpu-2.example.com:2376", "gpu-2"),
        ("ssh://root@10.0.0.7", "10-0-0-7"),
        ("tcp://[fe80::1]:2376", "fe80-1"),
        ("context:Prod.EU", "prod-eu"),
        ("unix:///var/run/docker.sock", "here"),
        ("ssh://", "host"),
    ],
)
def test_a_host_is_named_after_its_machine(url: str, name: str) -> None:
    assert host_name(url) == name


def test_two_hosts_have_two_names() -> None:
    assert host_name("ssh://gpu.b.example", {"gpu"}) == "gpu-b-example"
    assert host_name("unix:///run/other.sock", {"here"}) == "here-2"


def test_a_host_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def examined(*_: object) -> DoctorReport:
        return REPORTS["unreachable"]()

    monkeypatch.setattr(starter_hosts, "examine_hosts", examined)
    with pytest.raises(DaemonUnreachable, match="; nothing was written"):
        read_hosts(["ssh://ops@gpu-1"], "stack.toml", print, probes=False)


def test_all_hosts_that_do_not_answer_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    one = REPORTS["unreachable"]().hosts[0]
    other = replace(one, facts=replace(one.facts, problem="no Docker daemon at unix:///b", next_step="other"))

    def examined(*_: object) -> DoctorReport:
        return replace(REPORTS["unreachable"](), hosts=(one, other, one))

    monkeypatch.setattr(starter_hosts, "examine_hosts", examined)
    reported: list[Note] = []
    with pytest.raises(DaemonUnreachable) as caught:
        read_hosts(["ssh://ops@gpu-1"], "stack.toml", reported.append, probes=False)
    assert [note.text for note in reported] == [f"Error: {one.facts.problem}", f"Next:  {one.facts.next_step}"]
    assert caught.value.message == "no Docker daemon at unix:///b; nothing was written"
    assert caught.value.next_step == "other"


@pytest.mark.parametrize("text", ['unix:///a"\nb = "c', "ssh://{{ vars.x }}", "ssh://a\\b"])
def test_a_text_that_is_no_url_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a URL"):
        read_hosts([text], "stack.toml", print, probes=False)


def test_a_host_is_given_once() -> None:
    with pytest.raises(UsageError, match="given twice"):
        read_hosts(["ssh://ops@gpu-1", "ssh://ops@gpu-1"], "stack.toml", print, probes=False)


def test_the_daemon_of_a_starter_is_the_one_of_the_docker_command() -> None:
    for template in TEMPLATES:
        (host,) = tomllib.loads(starter(template, "x"))["hosts"].values()
        assert "docker" not in host


def test_the_first_try_needs_no_secret() -> None:
    assert "secrets" not in tomllib.loads(starter("cpu", "x"))["models"]["qwen-small"]


def test_an_unreachable_host_writes_nothing(tmp_path: Path) -> None:
    missing = f"unix://{tmp_path}/docker.sock"
    done = CliRunner().invoke(cli, ["init", str(tmp_path / "new"), "--host", missing])
    assert done.exit_code != 0
    assert not (tmp_path / "new").exists()


def test_init_reports_the_name_and_keeps_an_existing_schema(tmp_path: Path) -> None:
    (tmp_path / "stack.schema.json").write_text("mine")
    done = CliRunner().invoke(cli, ["init", str(tmp_path)])
    assert done.exit_code == 0
    assert "after its folder" in done.output
    assert (tmp_path / "stack.schema.json").read_text() == "mine"
