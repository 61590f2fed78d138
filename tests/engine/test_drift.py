"""Drift finds a change that was made by hand, names its kind, and reports nothing else. After a fix it is quiet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import StackFile
from tests.fakes.ports import reserved_port
from tests.fakes.sockets import counting_proxy
from tests.live import STAND_IN, LiveDaemon

pytestmark = pytest.mark.engine


def applied(live: LiveDaemon, stack: StackFile, *arguments: str) -> None:
    ran = live.cortexctl("apply", str(stack), "--auto-approve", *arguments)
    assert ran.code == 0, ran.out + ran.err


def findings_of(live: LiveDaemon, stack: StackFile, *options: str) -> list[dict[str, Any]]:
    """The findings. Unmanaged ones only if the options request them, because other tests may leave some."""
    ran = live.cortexctl("drift", str(stack), "--format", "json", "--detailed-exitcode", *options)
    assert ran.err == ""
    report = json.loads(ran.out)
    findings = [f for f in report["findings"] if f["kind"] != "unmanaged" or "unmanaged" in options]
    assert ran.code == (2 if findings else 0), ran.out
    return findings


def alone(live: LiveDaemon, stack: StackFile, *options: str) -> tuple[str, str, str]:
    """(kind, code, path) of the only finding."""
    findings = findings_of(live, stack, *options)
    assert len(findings) == 1, findings
    return findings[0]["kind"], findings[0]["code"], findings[0]["path"]


def quiet(live: LiveDaemon, stack: StackFile, *options: str) -> None:
    ran = live.cortexctl("drift", str(stack), "--detailed-exitcode", "--deep", *options)
    assert (ran.code, ran.err) == (0, ""), ran.out + ran.err
    assert ran.out.startswith("No drift. 1 instance on 1 host runs as applied and as declared.")
    assert ran.out.count("\n") == 1


@pytest.fixture
def serving(live: LiveDaemon, stack: StackFile) -> StackFile:
    """A stack that was just applied, without drift."""
    stack.write(more=stack.args(max_model_len=1024))
    applied(live, stack)
    quiet(live, stack)
    return stack


def test_stopped(live: LiveDaemon, serving: StackFile) -> None:
    live.docker_cli("stop", serving.serving)
    assert alone(live, serving, "--deep") == ("drift", "stopped", "state")
    text = live.cortexctl("drift", str(serving)).out
    assert "it has exited with code 0 (vLLM exits with 0 if its engine died" in text
    assert f"cortexctl apply {serving} --only drift --target {serving.address}" in text
    applied(live, serving, "--only", "drift")
    quiet(live, serving)


def test_killed_and_paused(live: LiveDaemon, serving: StackFile) -> None:
    live.docker_cli("pause", serving.serving)
    assert alone(live, serving) == ("drift", "stopped", "state")
    assert findings_of(live, serving)[0]["actual"] == "paused"
    live.docker_cli("unpause", serving.serving)
    quiet(live, serving)
    live.docker_cli("kill", serving.serving)
    assert findings_of(live, serving)[0]["actual"] == "exited with code 137"
    applied(live, serving, "--only", "drift")
    quiet(live, serving)


def test_removed(live: LiveDaemon, serving: StackFile) -> None:
    live.docker_cli("rm", "-f", serving.serving)
    assert alone(live, serving, "--deep") == ("drift", "removed", "container")
    assert f"{serving.serving} is gone (applied by run " in live.cortexctl("drift", str(serving)).out
    applied(live, serving, "--only", "drift")
    quiet(live, serving)


def test_removed_with_a_kept_generation_left(live: LiveDaemon, serving: StackFile) -> None:
    serving.write(more=serving.args(max_model_len=512))
    applied(live, serving)
    quiet(live, serving)
    live.docker_cli("start", f"{serving.serving}--g1")
    assert alone(live, serving) == ("drift", "retained_runs", "state")
    live.docker_cli("stop", f"{serving.serving}--g1")
    quiet(live, serving)
    live.docker_cli("rm", "-f", serving.serving)
    assert alone(live, serving) == ("drift", "removed", "container")


def test_rolled_back_by_hand(live: LiveDaemon, serving: StackFile) -> None:
    serving.write(more=serving.args(max_model_len=512))
    applied(live, serving)
    live.docker_cli("rm", "-f", serving.serving)
    live.docker_cli("rename", f"{serving.serving}--g1", serving.serving)
    live.docker_cli("start", serving.serving)
    live.docker_cli("update", "--restart", "unless-stopped", serving.serving)
    findings = findings_of(live, serving)
    assert [(f["kind"], f["code"]) for f in findings if f["kind"] != "unhealthy"] == [("drift", "rolled_back")]


def test_renamed(live: LiveDaemon, serving: StackFile) -> None:
    live.docker_cli("rename", serving.serving, f"{live.stack}-mine")
    assert alone(live, serving, "--deep") == ("drift", "renamed", "name")
    applied(live, serving, "--only", "drift")
    quiet(live, serving)


def test_updated_limits_and_restart_policy(live: LiveDaemon, serving: StackFile) -> None:
    live.docker_cli("update", "--memory", "512m", "--memory-swap", "512m", serving.serving)
    assert findings_of(live, serving) == [], "the list does not show limits"
    assert alone(live, serving, "--deep") == ("drift", "updated", "memory")
    live.docker_cli("update", "--restart", "no", serving.serving)
    paths = [(f["kind"], f["path"], f["expected"], f["actual"]) for f in findings_of(live, serving, "--deep")]
    assert paths == [("drift", "memory", None, 512 * 2**20), ("drift", "restart", "unless-stopped", "no")]
    text = serving.path.read_text()
    serving.path.write_text(text.replace('gpus = "none"\n', 'gpus = "none"\nignore_drift = ["restart", "mem*"]\n'))
    quiet(live, serving)
    serving.path.write_text(text)
    live.docker_cli("update", "--restart", "unless-stopped", serving.serving)
    assert alone(live, serving, "--deep") == ("drift", "updated", "memory")


def test_what_apply_updates_in_place_is_no_drift(live: LiveDaemon, serving: StackFile) -> None:
    text = serving.path.read_text()
    serving.path.write_text(text.replace('gpus = "none"\n', 'gpus = "none"\nmemory = "256 MiB"\n'))
    assert alone(live, serving, "--deep") == ("pending", "edited", "memory")
    applied(live, serving)
    quiet(live, serving)
    live.docker_cli("update", "--memory", "512m", "--memory-swap", "512m", serving.serving)
    assert alone(live, serving) == ("drift", "updated", "memory"), "its label is old, so it is inspected"
    assert findings_of(live, serving)[0]["expected"] == 256 * 2**20
    live.docker_cli("update", "--memory", "256m", "--memory-swap", "256m", serving.serving)
    quiet(live, serving)


def test_disconnected_from_its_network(live: LiveDaemon, serving: StackFile) -> None:
    live.docker_cli("network", "disconnect", f"{live.stack}-net", serving.serving)
    assert alone(live, serving, "--deep") == ("drift", "disconnected", "network")
    applied(live, serving, "--only", "drift")
    quiet(live, serving)


def test_another_network_beside_its_own_is_no_drift(live: LiveDaemon, serving: StackFile) -> None:
    live.docker_cli("network", "create", f"{live.stack}-watch")
    live.docker_cli("network", "connect", f"{live.stack}-watch", serving.serving)
    quiet(live, serving)
    live.docker_cli("network", "disconnect", f"{live.stack}-watch", serving.serving)


def test_an_image_tag_that_was_moved(live: LiveDaemon, stack: StackFile) -> None:
    image, other = f"{live.stack}-stand-in:v0.32.0", f"{live.stack}-other:v0.32.0"
    live.docker_cli("tag", STAND_IN, image)
    live.docker_cli("commit", "--change", "LABEL other=1", _any_container(live), other)
    try:
        stack.write(image=image)
        applied(live, stack)
        quiet(live, stack)
        was = json.loads(live.docker_cli("image", "inspect", image))[0]["Id"]
        live.docker_cli("tag", other, image)
        assert findings_of(live, stack) == [], "the list does not show the image of a tag"
        assert alone(live, stack, "--deep") == ("drift", "retagged", "image")
        assert findings_of(live, stack, "--deep")[0]["expected"] == was
        live.docker_cli("tag", was, image)
        quiet(live, stack)
    finally:
        live.clean()
        live.docker_cli("rmi", image, other)


def _any_container(live: LiveDaemon) -> str:
    name = f"{live.stack}-for-an-image"
    live.docker_cli("create", "--name", name, "--label", f"cxt.test={live.stack}", STAND_IN, "tiny")
    live.foreign.append(name)
    return name


def recreate(
    live: LiveDaemon, serving: StackFile, *argv: str, options: tuple[str, ...] = (), serves: bool = True
) -> None:
    """Recreate the container like a tool that installs newer images: the same name and labels, other settings."""
    inspected = live.inspect(serving.serving)
    labels = [w for k, v in inspected["Config"]["Labels"].items() for w in ("--label", f"{k}={v}")]
    live.docker_cli("rm", "-f", serving.serving)
    run_by_hand(live, serving.serving, *argv, options=(*labels, *options), serves=serves)


def run_by_hand(live: LiveDaemon, name: str, *argv: str, options: tuple[str, ...] = (), serves: bool = True) -> None:
    """Start a container with the settings of ours, without labels. If it `serves`, wait for its server."""
    live.docker_cli(
        "run", "-d", "--name", name, "--network", f"{live.stack}-net", "--ipc", "private", "--shm-size", "64m",
        "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--restart", "unless-stopped",
        "--stop-signal", "SIGTERM", "--log-opt", "max-size=50m", "--log-opt", "max-file=3", *options,
        STAND_IN, *argv,
    )  # fmt: skip
    if serves:
        live.until_serving(name)


def test_recreated_by_hand_with_other_arguments(live: LiveDaemon, serving: StackFile) -> None:
    argv = live.inspect(serving.serving)["Config"]["Cmd"]
    published = ("-p", "127.0.0.1::8000")
    recreate(live, serving, *argv, options=published)
    quiet(live, serving)
    changed = ["512" if w == "1024" else w for w in argv]
    recreate(live, serving, *changed, "--api-key", "sk-planted-in-argv", options=published)
    assert findings_of(live, serving) == [], "the list does not show arguments"
    findings = findings_of(live, serving, "--deep")
    assert [(f["kind"], f["code"], f["path"]) for f in findings] == [
        ("drift", "changed", "args.max_model_len"),
        ("drift", "changed", "extra_args.--api-key"),
    ]
    assert (findings[0]["expected"], findings[0]["actual"]) == ("1024", "512")
    for output_format in ("text", "json", "markdown", "prometheus"):
        ran = live.cortexctl("drift", str(serving), "--deep", "--format", output_format)
        assert "sk-planted-in-argv" not in ran.out + ran.err
    applied(live, serving, "--replace", serving.address)
    quiet(live, serving)


def test_recreated_by_hand_with_other_settings(live: LiveDaemon, serving: StackFile, tmp_path: Path) -> None:
    argv = live.inspect(serving.serving)["Config"]["Cmd"]
    options = (
        "-p", "127.0.0.1::8000", "-e", "HF_TOKEN=hf-planted-in-env", "-v", f"{tmp_path}:/data:ro", "--cap-add", "CHOWN",
    )  # fmt: skip
    recreate(live, serving, *argv, options=options)
    findings = findings_of(live, serving, "--deep")
    assert [(f["code"], f["path"]) for f in findings] == [
        ("changed", "cap_add"),
        ("changed", "env.HF_TOKEN"),
        ("changed", "mounts./data"),
    ]
    assert "hf-planted-in-env" not in json.dumps(findings)
    recreate(live, serving, *argv, options=("--publish-all",))
    assert [f["code"] for f in findings_of(live, serving, "--deep")] == ["not_published"]
    recreate(live, serving, *argv)
    assert [f["code"] for f in findings_of(live, serving, "--deep")] == ["not_published"]


def test_a_container_with_everything_is_quiet_when_inspected(
    live: LiveDaemon, stack: StackFile, tmp_path: Path
) -> None:
    stack.write(more=stack.args(max_model_len=1024, enable_prefix_caching="false", hf_overrides="{ a = [1, 2.5] }"))
    text = stack.path.read_text().replace('shm_size = "64 MiB"\n', "").replace(
        'gpus = "none"\n',
        f'gpus = "none"\nipc = "host"\nmemory = "256 MiB"\ncpus = 0.5\nrestart = "always"\nextra_args = ["--new-thing", "1"]\n'
        f'volumes = ["{tmp_path}/:/data", "{live.stack}-volume:/scratch", "{tmp_path}:/more:ro"]\n',
    )  # fmt: skip
    stack.path.write_text(
        text.replace(f"[models.{stack.model}.env]\n", f'[models.{stack.model}.env]\nLANG = "C"\nX = ""\n')
    )
    applied(live, stack)
    quiet(live, stack)


def test_a_secret_that_was_changed_in_the_container(live: LiveDaemon, stack: StackFile) -> None:
    stack.write(more=f'[models.{stack.model}.secrets]\nHF_TOKEN = {{ env = "TOKEN" }}\n')
    ran = live.cortexctl("apply", str(stack), "--auto-approve", TOKEN="hf-planted-one")
    assert ran.code == 0, ran.err
    without = live.cortexctl("drift", str(stack), "--deep", "--detailed-exitcode")
    assert without.code == 0, without.out
    assert "1 secret without a value here, not compared)" in without.out
    assert live.cortexctl("drift", str(stack), "--detailed-exitcode", TOKEN="hf-planted-one").code == 0
    pending = live.cortexctl("drift", str(stack), "--detailed-exitcode", TOKEN="hf-planted-two")
    assert pending.code == 2
    assert "secrets.HF_TOKEN   (set, not shown) -> (another value, not shown)" in pending.out
    argv = live.inspect(stack.serving)["Config"]["Cmd"]
    recreate(live, stack, *argv, options=("-p", "127.0.0.1::8000", "-e", "HF_TOKEN=hf-planted-three"))
    findings = findings_of(live, stack, "--deep")
    assert [(f["code"], f["path"]) for f in findings] == [("changed", "secrets.HF_TOKEN")]
    assert "planted" not in without.out + pending.out + json.dumps(findings)


def test_a_container_that_was_adopted(live: LiveDaemon, serving: StackFile) -> None:
    argv = live.inspect(serving.serving)["Config"]["Cmd"]
    assert live.cortexctl("destroy", str(serving), "--auto-approve").code == 0
    live.docker_cli("network", "create", f"{live.stack}-net")
    by_hand = f"{live.stack}-by-hand"
    live.foreign += [by_hand, serving.serving]
    run_by_hand(live, by_hand, *argv, options=("-p", "127.0.0.1::8000"))
    text = serving.path.read_text()
    serving.path.write_text(text.replace('gpus = "none"\n', f'gpus = "none"\nadopt = "{by_hand}"\n'))
    try:
        assert alone(live, serving, "--deep") == ("pending", "to_adopt", "name")
        applied(live, serving)
        live.foreign.remove(by_hand)
        quiet(live, serving)
        live.docker_cli("rename", serving.serving, by_hand)
        assert alone(live, serving) == ("drift", "renamed", "name")
        live.docker_cli("rename", by_hand, serving.serving)
        live.docker_cli("stop", serving.serving)
        assert alone(live, serving) == ("drift", "stopped", "state")
        live.docker_cli("rm", serving.serving)
        live.foreign.remove(serving.serving)
        assert alone(live, serving) == ("drift", "removed", "container")
    finally:
        live.foreign = [
            name for name in live.foreign if name in live.docker_cli("ps", "-a", "--format", "{{.Names}}").split()
        ]


def test_a_duplicate_under_another_name(live: LiveDaemon, serving: StackFile) -> None:
    labels = [w for k, v in live.inspect(serving.serving)["Config"]["Labels"].items() for w in ("--label", f"{k}={v}")]
    live.docker_cli("create", "--name", f"{live.stack}-copy", *labels, STAND_IN, "tiny")
    assert alone(live, serving) == ("drift", "duplicate", "name")
    live.docker_cli("rm", f"{live.stack}-copy")
    quiet(live, serving)


def test_a_foreign_container_on_our_port_and_one_under_our_name(live: LiveDaemon, stack: StackFile) -> None:
    with reserved_port() as port:
        stack.write(publish=f"127.0.0.1:{port}")
        live.run_foreign(f"{live.stack}-theirs", "-p", f"127.0.0.1:{port}:8000")
        live.run_foreign(stack.serving)
        findings = findings_of(live, stack, "--kind", "unmanaged")
        assert {(f["code"], f["container"], f["expected"]) for f in findings if f["code"] != "foreign"} == {
            ("port_taken", f"{live.stack}-theirs", stack.address),
            ("name_taken", stack.serving, stack.address),
        }
        assert alone(live, stack) == ("pending", "new", "container")
        text = live.cortexctl("drift", str(stack)).out
        assert f"it publishes 127.0.0.1:{port}, which {stack.address} needs" in text


def test_a_server_that_hangs_and_one_that_is_dead(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    applied(live, stack)
    argv = live.inspect(stack.serving)["Config"]["Cmd"]
    for fault, state in (("STANDIN_HANG=1", "silent"), ("STANDIN_HEALTH_STATUS=503", "status 503")):
        recreate(live, stack, *argv, options=("-p", "127.0.0.1::8000", "-e", fault))
        findings = findings_of(live, stack, "--health-timeout", "1")
        assert [(f["kind"], f["code"], f["actual"]) for f in findings] == [("unhealthy", "not_serving", state)]
        assert findings_of(live, stack, "--no-health") == []
        assert findings_of(live, stack, "--kind", "drift") == []


def test_a_restart_loop(live: LiveDaemon, serving: StackFile) -> None:
    argv = live.inspect(serving.serving)["Config"]["Cmd"]
    options = ("-p", "127.0.0.1::8000", "-e", "STANDIN_CRASH_AFTER_SECONDS=0.1", "-e", "STANDIN_START_SECONDS=60")
    recreate(live, serving, *argv, options=options, serves=False)
    for _ in range(3):
        live.docker_cli("wait", serving.serving)
    kinds = {f["kind"] for _ in range(3) for f in findings_of(live, serving, "--health-timeout", "1")}
    assert kinds == {"unhealthy"}


def test_the_health_of_an_unpublished_server_is_read_at_its_own_address(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    text = stack.path.read_text().replace('publish = "127.0.0.1"\n', "")
    stack.path.write_text(text)
    applied(live, stack)
    ran = live.cortexctl("drift", str(stack), "--format", "json")
    assert json.loads(ran.out)["health"] == {"enabled": True, "checked": 1, "unchecked": []}
    argv = live.inspect(stack.serving)["Config"]["Cmd"]
    recreate(live, stack, *argv, options=("-e", "STANDIN_START_SECONDS=600"), serves=False)
    findings = findings_of(live, stack)
    assert [(f["code"], f["actual"]) for f in findings] == [("not_serving", "refused")]


def test_an_orphan_and_what_is_pending(live: LiveDaemon, serving: StackFile) -> None:
    serving.write(more=serving.args(max_model_len=512))
    assert alone(live, serving, "--deep") == ("pending", "edited", "args.max_model_len")
    serving.write(more=serving.args(max_model_len=1024))
    quiet(live, serving)
    old = serving.path.read_text()
    serving.path.write_text(old.replace(serving.model, f"{serving.model}x"))
    findings = findings_of(live, serving)
    assert [(f["kind"], f["code"], f["subject"]) for f in findings] == [
        ("pending", "new", f"{serving.address}x"),
        ("orphan", "not_in_stack", serving.address),
    ]
    serving.path.write_text(old.replace(serving.model, f"{serving.model}x").replace('publish = "127.0.0.1"\n', ""))
    applied(live, serving)
    quiet(live, serving)


def test_in_the_middle_of_an_apply_nothing_is_judged(live: LiveDaemon, serving: StackFile) -> None:
    import threading

    serving.write(more=serving.hold + serving.args(max_model_len=512))
    done = threading.Thread(target=applied, args=(live, serving))
    done.start()
    reports = []
    while done.is_alive():
        ran = live.cortexctl("drift", str(serving), "--format", "json", "--kind", "drift", "--kind", "unhealthy")
        reports.append(json.loads(ran.out))
        assert reports[-1]["findings"] == [], reports[-1]
        if reports[-1]["hosts"][0]["busy"]:
            serving.go.touch()
    done.join()
    assert any(report["hosts"][0]["busy"] for report in reports)
    quiet(live, serving)


def test_drift_without_findings_is_two_requests_and_one_for_each_checked_server(
    live: LiveDaemon, serving: StackFile, tmp_path: Path
) -> None:
    """The third request is an inspection. It names the container's process, and the kernel proves that the answering
    server belongs to it.
    """
    two = ["GET /containers/json?all=1", f"GET /volumes/cortexctl-record-{live.stack}"]
    proof = f"GET /containers/{live.inspect(serving.serving)['Id']}/json"
    for options, expected in (["--no-health"], two), ([], [*two, proof]):
        with counting_proxy(tmp_path / f"{len(expected)}.sock", live.docker) as (url, counted):
            ran = live.cortexctl("drift", str(serving), "--detailed-exitcode", *options, DOCKER_HOST=url)
        assert ran.code == 0, ran.out
        assert counted == expected


def test_the_report_is_written_for_a_collector(live: LiveDaemon, serving: StackFile, tmp_path: Path) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    file = tmp_path / "cortexctl.prom"
    ran = live.cortexctl("drift", str(serving), "--format", "prometheus", "--out", str(file))
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    families = {f.name: f for f in text_string_to_metric_families(file.read_text())}
    counts = {s.labels["kind"]: s.value for s in families["cortexctl_drift_findings"].samples}
    assert counts.pop("unmanaged") >= 0
    assert set(counts.values()) == {0.0}
    assert len(counts) == 5
