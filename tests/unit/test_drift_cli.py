"""`cortexctl drift` from outside: exit codes, files, the requests to a daemon, and the notifications."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cortexctl.desired.stack import Desired, Host
from cortexctl.hosts import http
from cortexctl.hosts.fleet import open_hosts
from cortexctl.hosts.lock import is_dead, this_machine
from cortexctl.hosts.transport import Transport
from cortexctl.observe.drift_observer import DriftObserver
from cortexctl.plan.drift.report import DriftSelection
from tests.drift_stack import STACK, spec_of
from tests.fakes.daemon_socket import LIST, TalkingDaemon, row, talking_daemon
from tests.fakes.inspection import IMAGE_ENV, inspection
from tests.fakes.receiver import receiver
from tests.forks import ran
from tests.reading import model_text, stack_text

Run = Callable[..., subprocess.CompletedProcess[str]]

RECORD, LOCK = "/volumes/cortexctl-record-demo", "/volumes/cortexctl-lock-demo"
QUIET = "No drift. 1 instance on 1 host runs as applied and as declared."
NOT_DEEP = "limits and restart policies not compared: --deep"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[TalkingDaemon]:
    """A daemon on which the stack was applied."""
    with talking_daemon(tmp_path / "daemon.sock", {LIST: [row(spec_of(tmp_path, STACK))]}) as it:
        yield it


@pytest.fixture
def run(tmp_path: Path, daemon: TalkingDaemon) -> Run:
    """Runs `cortexctl drift` beside a stack.toml, against the daemon. With `health`, servers are queried too."""
    (tmp_path / "stack.toml").write_text(STACK)

    def go(*arguments: str, health: bool = False, **env: str) -> subprocess.CompletedProcess[str]:
        known = {k: v for k, v in os.environ.items() if not k.startswith(("CORTEXCTL_", "NO_COLOR", "FORCE_COLOR"))}
        argv = ["drift", *arguments, *([] if health else ["--no-health"])]
        return ran(*argv, cwd=tmp_path, env={**known, "DOCKER_HOST": daemon.url, **env})

    return go


def paused(daemon: TalkingDaemon) -> None:
    daemon.answers[LIST] = [{**daemon.answers[LIST][0], "State": "paused"}]


def test_nothing_wrong_is_one_line_two_requests_and_exit_0(run: Run, daemon: TalkingDaemon) -> None:
    done = run("--detailed-exitcode")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{QUIET} ({NOT_DEEP}, server health not checked)\n"
    assert daemon.requests == [LIST, RECORD]
    silent = run("--detailed-exitcode", "--quiet")
    assert (silent.returncode, silent.stdout, silent.stderr) == (0, "", "")


def test_findings_are_exit_code_2_only_on_request(run: Run, daemon: TalkingDaemon) -> None:
    paused(daemon)
    assert run().returncode == 0
    done = run("--detailed-exitcode", "--quiet")
    assert (done.returncode, done.stderr) == (2, "")
    assert "here/tiny   it is paused" in done.stdout
    assert run("--detailed-exitcode", "--kind", "pending").returncode == 0


def test_a_host_with_findings_is_read_twice_with_the_lock_first(run: Run, daemon: TalkingDaemon) -> None:
    paused(daemon)
    run()
    assert daemon.requests == [LIST, RECORD, LOCK, LIST, RECORD]


def lock(*, pid: int, machine: str, expires: int) -> dict[str, Any]:
    marks = {"owner": "x", "who": "alice", "machine": machine, "pid": str(pid), "run": "8f31", "started": "1"}
    return {"Labels": {f"cortexctl.lock.{k}": v for k, v in {**marks, "expires": str(expires)}.items()}}


def test_a_host_is_not_checked_during_an_apply(run: Run, daemon: TalkingDaemon) -> None:
    paused(daemon)
    soon = int(time.time()) + 600
    daemon.answers[LOCK] = lock(pid=os.getpid(), machine=this_machine(), expires=soon)
    done = run("--detailed-exitcode")
    assert done.returncode == 0
    assert "here   not checked: alice on " in done.stdout
    assert "is applying (pid " in done.stdout
    assert json.loads(run("--format", "json").stdout)["hosts"][0]["busy"]["run"] == "8f31"
    assert run("--detailed-exitcode", "-q").stdout == ""
    for dead in (
        lock(pid=2**22 - 1, machine=this_machine(), expires=soon),
        lock(pid=1, machine="elsewhere", expires=1),
    ):
        daemon.answers[LOCK] = dead
        assert run("--detailed-exitcode").returncode == 2, "a dead holder hides nothing"


def test_an_unreachable_host_is_exit_1_unless_allowed(run: Run, tmp_path: Path) -> None:
    both = stack_text(
        model_text(hosts='["here", "there"]').replace('publish = "127.0.0.1"\n', ""),
        hosts=f'[hosts.here]\nmodels_dir = "/models"\n[hosts.there]\ndocker = "unix://{tmp_path}/none.sock"\nmodels_dir = "/models"\n',
    )
    (tmp_path / "stack.toml").write_text(both)
    done = run("--detailed-exitcode")
    assert done.returncode == 1
    assert "unreachable   the host cannot be read" in done.stdout
    assert "there   no Docker daemon at" in done.stdout
    assert run("--detailed-exitcode", "--allow-unreachable").returncode == 0
    assert run("--kind", "pending", "--detailed-exitcode").returncode == 1, "its state is unknown"
    assert run("--host", "here", "--detailed-exitcode").returncode == 0
    assert "1 unreachable" in run("--format", "markdown").stdout


def test_a_record_that_cannot_be_read_is_not_an_empty_one(run: Run, daemon: TalkingDaemon) -> None:
    daemon.answers[RECORD] = ["not", "a", "volume"]
    daemon.answers[LIST] = []
    done = run("--detailed-exitcode", "--format", "json")
    assert (done.returncode, done.stderr) == (1, "")
    findings = json.loads(done.stdout)["findings"]
    assert [f["kind"] for f in findings] == ["unreachable"]
    assert findings[0]["actual"].endswith(f"its answer to {RECORD} cannot be read: a table is expected")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--target", "nope/*"), "--target nope/* matches nothing"),
        (("--host", "gpu-*"), "--host gpu-* matches nothing"),
    ],
)
def test_nothing_matched_is_an_error(run: Run, options: tuple[str, ...], error: str) -> None:
    done = run(*options, "--format", "json")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Error[CX408] {error}" in done.stderr


def test_a_bad_stack_is_an_error_and_a_doubtful_one_is_quiet(run: Run, tmp_path: Path, daemon: TalkingDaemon) -> None:
    (tmp_path / "stack.toml").write_text(STACK.replace("gpus", "gpu"))
    done = run()
    assert (done.returncode, done.stdout) == (1, "")
    assert "Error[CX102]" in done.stderr
    doubtful = STACK.replace("image:v0.32.0", "image:latest").replace(
        "[models.tiny]", '[models.tiny]\nvllm_version = "0.32.0"'
    )
    (tmp_path / "stack.toml").write_text(doubtful)
    daemon.answers[LIST] = [row(spec_of(tmp_path, doubtful))]
    checked = [sys.executable, "-m", "cortexctl", "validate"]
    assert "CX209" in subprocess.run(checked, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    done = run()
    assert (done.returncode, done.stderr) == (0, ""), "a mail every hour about the stack's style helps nobody"


def test_deep_inspects_ours_and_nothing_else(run: Run, daemon: TalkingDaemon, tmp_path: Path) -> None:
    from cortexctl.instance.codec import spec_from_label

    spec = spec_from_label(spec_of(tmp_path, STACK))
    ours = daemon.answers[LIST][0]
    daemon.answers[LIST] = [ours, row("", "theirs", stack="other")]
    daemon.answers["/images/json"] = [{"Id": ours["ImageID"], "RepoTags": ["image:v0.32.0"], "RepoDigests": None}]
    daemon.answers[f"/images/{ours['ImageID']}/json"] = {"Config": {"Env": list(IMAGE_ENV)}}
    daemon.answers[f"/containers/{ours['Id']}/json"] = inspection(spec)
    done = run("--deep", "--detailed-exitcode")
    assert done.returncode == 0, done.stdout
    assert daemon.requests == [
        LIST, RECORD, "/images/json", f"/containers/{ours['Id']}/json", f"/images/{ours['ImageID']}/json",
    ]  # fmt: skip
    daemon.answers[f"/containers/{ours['Id']}/json"] = inspection(
        spec, {"AWS_KEY": "planted"}, {"HostConfig": {"ShmSize": 1}}
    )
    done = run("--deep", "--detailed-exitcode")
    assert done.returncode == 2
    assert "shm_size      2 GiB -> 1 B" in done.stdout
    assert "env.AWS_KEY   (not set) -> (set, not shown)" in done.stdout
    assert "planted" not in done.stdout


def test_a_container_that_goes_while_it_is_inspected_is_left_to_the_next_run(run: Run, daemon: TalkingDaemon) -> None:
    daemon.answers["/images/json"] = []
    done = run("--deep", "--detailed-exitcode")
    assert (done.returncode, done.stderr) == (0, "")


# files


def test_a_file_is_whole_at_every_moment(run: Run, daemon: TalkingDaemon, tmp_path: Path) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    file = tmp_path / "collector" / "drift.prom"
    file.parent.mkdir()
    file.write_text("cortexctl_drift_old 1\n")
    file.chmod(0o640)
    seen: set[str] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.update(p.read_text() for p in file.parent.glob("*.prom"))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(3):
            done = run("--format", "prometheus", "--out", str(file))
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    finally:
        stop.set()
        reader.join()
    for text in seen:
        assert text.endswith("\n")
        assert list(text_string_to_metric_families(text))
        assert "old" in text or "cortexctl_drift_duration_seconds" in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [p.name for p in file.parent.iterdir()] == ["drift.prom"]


def test_a_new_file_has_the_rights_that_the_umask_gives(run: Run, tmp_path: Path) -> None:
    assert run("--out", "report.txt").returncode == 0
    mask = os.umask(0o022)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "report.txt").stat().st_mode) == 0o666 & ~mask


def test_a_link_stays_a_link_and_a_device_a_device(run: Run, tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    assert run("--format", "json", "--out", "link.json").returncode == 0
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["format_version"] == "2.0"
    assert run("--out", "/dev/null").returncode == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_file_that_cannot_be_written_is_a_sentence(run: Run) -> None:
    done = run("--out", "no/such/folder/x.prom")
    assert done.returncode == 1
    assert done.stderr == "Error: cannot write no/such/folder/x.prom: No such file or directory\n"


# notifications


def test_the_report_is_posted_and_signed_if_it_has_findings(run: Run, daemon: TalkingDaemon) -> None:
    secret = "planted-notify-secret"
    with receiver() as at:
        quiet = run("--notify", f"{at.url}/hook", CORTEXCTL_NOTIFY_SECRET=secret)
        assert (quiet.returncode, at.got) == (0, [])
        paused(daemon)
        done = run("--notify", f"{at.url}/hook", CORTEXCTL_NOTIFY_SECRET=secret)
    assert (done.returncode, done.stderr) == (0, "")
    got = at.got[0]
    report = json.loads(got.body)
    assert [f["code"] for f in report["findings"]] == ["stopped"]
    signed = got.headers["x-cortexctl-timestamp"].encode() + b"." + got.body
    assert (
        got.headers["x-cortexctl-signature"]
        == "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    )
    assert secret not in done.stdout + done.stderr + got.body.decode()


def test_unmanaged_containers_are_not_posted_unless_requested(run: Run, daemon: TalkingDaemon) -> None:
    daemon.answers[LIST] = [*daemon.answers[LIST], row("", "theirs", stack="other")]
    with receiver() as at:
        assert run("--notify", at.url, "--detailed-exitcode").returncode == 0
        assert at.got == []
        assert run("--notify", at.url, "--detailed-exitcode", "--kind", "unmanaged").returncode == 2
    assert len(at.got) == 1


def test_a_receiver_that_fails_is_a_sentence_and_exit_1(run: Run, daemon: TalkingDaemon) -> None:
    paused(daemon)
    with receiver([(403, {})]) as at:
        done = run("--detailed-exitcode", CORTEXCTL_NOTIFY_URL=f"{at.url}/planted/path?token=planted")
    assert done.returncode == 1
    assert "it is paused" in done.stdout, "the report is printed all the same"
    assert done.stderr.splitlines()[0] == f"Error: the report was not delivered to {at.url}: it answered 403"
    assert "planted" not in done.stdout + done.stderr


def test_a_wrong_url_is_an_error_before_any_host_is_read(run: Run, daemon: TalkingDaemon) -> None:
    done = run("--notify", "ftp://planted/x")
    assert (done.returncode, daemon.requests) == (1, [])
    assert "--notify takes an http or https URL" in done.stderr
    assert "planted" not in done.stderr


def test_plain_http_to_another_machine_is_warned_of(run: Run) -> None:
    done = run("--notify", "http://alerts.invalid/planted")
    assert done.returncode == 0
    assert done.stderr == ("Warning: findings are sent to http://alerts.invalid unencrypted; use https\n")


# many hosts


def test_hosts_are_read_at_once_and_a_dead_one_costs_one_time_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No host answers before every host has a request."""
    real = http.exchange
    all_requests, over = threading.Barrier(16), threading.Event()
    with (
        talking_daemon(tmp_path / "dead.sock", {}) as dead,
        talking_daemon(tmp_path / "slow.sock", {}) as slow,
    ):

        def exchange(transport: Transport, *request: Any, timeout: float) -> http.Response:
            return real(transport, *request, timeout=0.7 if transport.url == dead.url else max(timeout, 60))

        def never() -> None:
            all_requests.wait()
            over.wait()

        def after_all_requests() -> None:
            if len(slow.requests) <= 8:
                all_requests.wait()

        monkeypatch.setattr(http, "exchange", exchange)
        monkeypatch.setattr("cortexctl.hosts.transport.FIRST_ANSWER", 60.0)
        dead.before_answer, slow.before_answer = never, after_all_requests
        hosts = [Host(f"dead-{i}", dead.url) for i in range(8)] + [Host(f"slow-{i}", slow.url) for i in range(8)]
        desired = Desired("demo", "stack.toml", tuple(hosts), ())
        with open_hosts(hosts, "demo") as daemons:
            observed, _ = DriftObserver(desired, DriftSelection(), daemons, None, is_dead, "1").observe()
        over.set()
        requests = list(dead.requests)
    assert [h.is_reachable for h in observed.hosts] == [False] * 8 + [True] * 8
    assert len(requests) == 8, "one request each"
