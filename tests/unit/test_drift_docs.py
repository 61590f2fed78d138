"""The statements of docs/guides/drift.md and docs/drift are true. The examples run as far as this machine allows."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from cortexctl.plan.drift.finding import Kind
from tests.drift_stack import STACK, spec_of
from tests.fakes.daemon_socket import LIST, TalkingDaemon, row, talking_daemon
from tests.fakes.ports import reserved_port
from tests.record_drift_case import CASES

REPO = Path(__file__).parent.parent.parent
UNITS = REPO / "docs" / "drift"
GUIDE = (REPO / "docs" / "guides" / "drift.md").read_text()
METRICS = (CASES / "everything_at_once" / "report.prom").read_text()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[TalkingDaemon]:
    with talking_daemon(tmp_path / "daemon.sock", {LIST: [row(spec_of(tmp_path, STACK))]}) as it:
        yield it


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    (tmp_path / "stack.toml").write_text(STACK)
    return tmp_path / "stack.toml"


@pytest.fixture
def shell(tmp_path: Path, daemon: TalkingDaemon) -> Any:
    """Runs a line as /bin/sh would, with `cortexctl` in its path."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "cortexctl"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(REPO))} exec {sys.executable} -m cortexctl "$@"\n')
    program.chmod(0o755)

    def run(line: str, **env: str) -> subprocess.CompletedProcess[str]:
        known = {k: v for k, v in os.environ.items() if not k.startswith("CORTEXCTL_")}
        path = f"{program.parent}:{os.environ['PATH']}"
        return subprocess.run(
            ["/bin/sh", "-c", line],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**known, "PATH": path, "DOCKER_HOST": daemon.url, **env},
        )

    return run


def paused(daemon: TalkingDaemon) -> None:
    daemon.answers[LIST] = [{**daemon.answers[LIST][0], "State": "paused"}]


# cron


def cron_lines() -> list[str]:
    """The commands that cron passes to the shell."""
    lines = [line for line in (UNITS / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    jobs = [line for line in lines if not re.match(r"[A-Z]+=", line)]
    for job in jobs:
        assert re.match(r"(\S+ ){5}flock ", job), job
        assert "%" not in job, "cron takes it for a new line"
    return [job.split(" ", 5)[5] for job in jobs]


@pytest.mark.parametrize("number", [0, 1])
def test_the_crontabs_commands_say_nothing_until_something_is_found(
    number: int, shell: Any, stack: Path, daemon: TalkingDaemon, tmp_path: Path
) -> None:
    daemon.answers["/images/json"] = []
    line = cron_lines()[number].replace("/tmp/cortexctl-drift.lock", f"{tmp_path}/lock")
    line = line.replace("cortexctl drift", "cortexctl drift --no-health")
    quiet = shell(line, STACK=str(stack))
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    paused(daemon)
    reported = shell(line, STACK=str(stack))
    assert "it is paused" in reported.stdout


def test_a_second_run_does_not_start_beside_the_first(
    shell: Any, stack: Path, daemon: TalkingDaemon, tmp_path: Path
) -> None:
    line = cron_lines()[0].replace("/tmp/cortexctl-drift.lock", f"{tmp_path}/lock")
    with subprocess.Popen(["flock", f"{tmp_path}/lock", "sleep", "600"], start_new_session=True) as other:
        for _ in range(100):
            if shell(f"flock -n {tmp_path}/lock true").returncode:
                break
            time.sleep(0.02)
        done = shell(line, STACK=str(stack))
        os.killpg(other.pid, 15)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert daemon.requests == []


# systemd


def service() -> dict[str, list[str]]:
    """The keys of the unit, and all values of each."""
    values: dict[str, list[str]] = {}
    for line in (UNITS / "cortexctl-drift.service").read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            values.setdefault(key, []).append(value)
    return values


def test_the_services_command_writes_what_the_collector_reads(
    shell: Any, stack: Path, daemon: TalkingDaemon, tmp_path: Path
) -> None:
    daemon.answers["/images/json"] = []
    command = service()["ExecStart"][0]
    file = re.search(r"--out (\S+)", command)
    assert file is not None
    assert file[1].startswith(service()["ReadWritePaths"][0]), "all else is read-only"
    here = command.replace("/usr/local/bin/", "").replace(file[1], f"{tmp_path}/x.prom")
    done = shell(here.replace("/etc/cortexctl/stack.toml", str(stack)) + " --no-health")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(text_string_to_metric_families((tmp_path / "x.prom").read_text()))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for unit in ("cortexctl-drift.service", "cortexctl-drift.timer"):
        text = (UNITS / unit).read_text().replace("/usr/local/bin/cortexctl", sys.executable)
        (tmp_path / unit).write_text(text)
    done = subprocess.run(
        [
            "systemd-analyze",
            "verify",
            str(tmp_path / "cortexctl-drift.service"),
            str(tmp_path / "cortexctl-drift.timer"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    ours = [line for line in done.stderr.splitlines() if "cortexctl" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


# Kubernetes


def test_the_cron_jobs_commands_run_and_its_parts_fit(shell: Any, stack: Path, daemon: TalkingDaemon) -> None:
    job = yaml.safe_load((UNITS / "cronjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"], job["spec"]["concurrencyPolicy"]) == ("batch/v1", "CronJob", "Forbid")
    assert re.fullmatch(r"(\S+ ){4}\S+", job["spec"]["schedule"])
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    volumes = {v["name"] for v in pod["volumes"]}
    for container in (*pod["initContainers"], *pod["containers"]):
        assert {m["name"] for m in container["volumeMounts"]} <= volumes
    drift = pod["containers"][0]
    daemon.answers["/images/json"] = []
    line = shlex.join([*drift["command"], "--no-health"]).replace("/stack/stack.toml", str(stack))
    assert shell(line).stdout.startswith("No drift.")


@pytest.mark.skipif(shutil.which("ssh") is None, reason="there is no ssh")
def test_ssh_takes_the_sidecars_options() -> None:
    pod = yaml.safe_load((UNITS / "cronjob.yaml").read_text())["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    argv = pod["initContainers"][0]["command"]
    done = subprocess.run([argv[0], "-G", *argv[1:]], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "localforward /sockets/gpu-1.sock /var/run/docker.sock" in done.stdout
    assert "stricthostkeychecking true" in done.stdout


# Prometheus


def test_the_alerts_ask_for_series_that_there_are() -> None:
    families = {f.name: f for f in text_string_to_metric_families(METRICS)}
    groups = yaml.safe_load((UNITS / "alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len({r["alert"] for r in rules}) == len(rules) > 5
    for rule in rules:
        assert rule["annotations"]["summary"]
        for name, selector in re.findall(r"(cortexctl_\w+)(\{[^}]*\})?", rule["expr"]):
            labels = dict(re.findall(r'(\w+)=~?"([^"]*)"', selector))
            for label, pattern in labels.items():
                values = {s.labels[label] for s in families[name].samples}
                assert set(pattern.split("|")) <= values, rule["alert"]
            assert families[name].samples
    kinds = {k for r in rules for p in re.findall(r'kind=~?"([^"]*)"', r["expr"]) for k in p.split("|")}
    assert kinds == {k.value for k in Kind} - {"unmanaged"}


def test_the_guide_names_metrics_kinds_and_options_that_there_are() -> None:
    assert set(re.findall(r"cortexctl_drift_\w+", GUIDE)) <= set(
        re.findall(r"^cortexctl_drift_\w+", METRICS, re.MULTILINE)
    )
    assert re.findall(r"^\| `(\w+)` \| ", GUIDE, re.MULTILINE) == [k.value for k in Kind]
    usage = subprocess.run(
        [sys.executable, "-m", "cortexctl", "drift", "--help"], capture_output=True, text=True, check=True, cwd=REPO
    ).stdout
    for option in set(re.findall(r"`(--[a-z-]+)", GUIDE)) - {"--only", "--restart"}:
        assert option in usage, option


def test_the_guide_shows_a_report_of_today() -> None:
    quiet, shown = re.findall(r"```text\n\$ cortexctl drift\n(.*?)```", GUIDE, re.DOTALL)
    assert shown == (CASES / "everything_at_once" / "report.txt").read_text()
    recorded = (CASES / "quiet" / "report.txt").read_text()
    assert re.sub(r"\d+", "N", quiet) == re.sub(r"\d+", "N", recorded)
    for file in re.findall(r"\]\(\.\./drift/(\S+?)\)", GUIDE):
        assert (UNITS / file).exists()


# the receiver


def test_the_receiver_of_the_guide_accepts_only_signed_reports(
    shell: Any, stack: Path, daemon: TalkingDaemon, tmp_path: Path
) -> None:
    code = re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert code is not None
    (tmp_path / "receiver.py").write_text(code[1])
    paused(daemon)
    with reserved_port() as port, guide_receiver(tmp_path / "receiver.py", port) as receiver:
        line = f"cortexctl drift --no-health {stack} --notify http://127.0.0.1:{port}/hook"
        good = shell(line, CORTEXCTL_NOTIFY_SECRET="right")
        wrong = shell(line, CORTEXCTL_NOTIFY_SECRET="wrong")
        unsigned = shell(line)
        old = shell(
            f"curl -s -o {tmp_path}/x -w '%{{http_code}}' -H 'X-Cortexctl-Timestamp: 1' "
            f"-H 'X-Cortexctl-Signature: {_signed('right', 1, b'{}')}' --data '{{}}' http://127.0.0.1:{port}"
        )
        receiver.terminate()
        output = receiver.stdout.read() if receiver.stdout else ""
    assert (good.returncode, good.stderr) == (0, "")
    assert output == "here/tiny: it is paused\n", "once"
    for refused in (wrong, unsigned):
        assert refused.returncode == 1
        assert "it answered 403" in refused.stderr
    assert old.stdout == "403"


@contextmanager
def guide_receiver(program: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """It runs, and listens."""
    with subprocess.Popen(
        [sys.executable, str(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "CORTEXCTL_NOTIFY_SECRET": "right", "PORT": str(port)},
    ) as receiver:
        try:
            for _ in range(1200):
                with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            yield receiver
        finally:
            receiver.terminate()


def _signed(secret: str, at: int, body: bytes) -> str:
    from cortexctl.hooks.notify import signature

    return signature(secret, at, body)
