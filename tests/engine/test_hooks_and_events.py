"""Hooks, events and the audit log of applies on a real daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cortexctl.desired.hook import Point
from cortexctl.render.schemas import events_schema
from tests.engine.conftest import StackFile
from tests.fakes.receiver import receiver
from tests.live import REPO, LiveDaemon
from tests.waiting import AT_MOST

pytestmark = pytest.mark.engine

VALIDATOR = Draft202012Validator(json.loads(events_schema()))
NOTE = """\
import os, urllib.request
variables = {k[10:].lower(): v for k, v in os.environ.items() if k.startswith("CORTEXCTL_")}
status = ""
if variables.get("endpoint"):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    status = str(opener.open(variables["endpoint"] + "/health", timeout=5).status)
with open("notes", "a") as notes:
    notes.write(" ".join([variables["on"], variables["address"], variables["outcome"], status]).strip() + "\\n")
with open("env", "a") as seen:
    seen.write(repr(dict(os.environ)) + "\\n")
"""


def hooks(tmp_path: Path, **more: str) -> str:
    """One hook of each kind, which writes a note. `more`: point -> TOML."""
    (tmp_path / "note.py").write_text(NOTE)
    command = json.dumps([sys.executable, "note.py"])
    return "".join(
        f'[hooks.{p.value}]\non = "{p.value}"\ncommand = {command}\n{more.get(p.value, "")}\n' for p in Point
    )


def notes(tmp_path: Path) -> list[str]:
    """The notes of the hooks since the last call."""
    lines = (tmp_path / "notes").read_text().splitlines()
    (tmp_path / "notes").unlink()
    return lines


def events_of(text: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        VALIDATOR.validate(line)
    assert len({line["run"] for line in lines}) == 1
    return lines


def kinds(lines: list[dict[str, Any]], *wanted: str) -> list[str]:
    all_kinds = [" ".join(str(line[k]) for k in ("type", "on", "status") if k in line) for line in lines]
    return [kind for kind in all_kinds if kind.startswith(wanted)]


def test_hooks_of_every_kind_run_in_their_order(live: LiveDaemon, stack: StackFile, tmp_path: Path) -> None:
    all_hooks, address = hooks(tmp_path), stack.address
    stack.write(more=all_hooks)
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    assert notes(tmp_path) == ["pre_apply", f"post_healthy {address}  200", "post_apply  done"]

    stack.write(more=all_hooks + stack.args(max_model_len=512))
    done = live.cortexctl("apply", str(stack), "--auto-approve", "--events", "json")
    assert done.code == 0, done.err
    assert notes(tmp_path) == [
        "pre_apply", f"pre_stop {address}  200", f"post_healthy {address}  200", "post_apply  done",
    ]  # fmt: skip
    lines = events_of(done.out)
    assert kinds(lines, "hook", "lock", "drain", "result") == [
        "lock held", "hook pre_apply started", "hook pre_apply done",
        "hook pre_stop started", "hook pre_stop done", "drain started", "drain done",
        "hook post_healthy started", "hook post_healthy done",
        "hook post_apply started", "hook post_apply done", "lock released", "result",
    ]  # fmt: skip
    assert "hook post_healthy post_healthy   ok" in done.err
    assert f"Stack {live.stack}" in done.err, "the text for people is on stderr"

    live.cortexctl("destroy", str(stack), "--auto-approve")
    assert notes(tmp_path) == ["pre_apply", f"pre_stop {address}  200", "post_apply  done"]


def test_a_failing_rollout_is_reported_from_start_to_end(live: LiveDaemon, stack: StackFile, tmp_path: Path) -> None:
    all_hooks, address = hooks(tmp_path), stack.address
    stack.write(more=all_hooks)
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    first = live.inspect(stack.serving)["Id"]
    notes(tmp_path)
    stack.write(COMPLETION_STATUS="500", more=all_hooks)
    file = tmp_path / "events.jsonl"
    failed = live.cortexctl("apply", str(stack), "--auto-approve", "--events", str(file))
    assert failed.code == 1
    assert "generation 1 serves again" in failed.out, "with a file for events, stdout is unchanged"
    assert notes(tmp_path) == [
        "pre_apply", f"pre_stop {address}  200", f"on_failure {address} rolled back 200", "post_apply  failed",
    ]  # fmt: skip
    lines = events_of(file.read_text())
    assert kinds(lines, "step_failed", "rollback", "diagnostic", "result") == [
        "step_failed", "rollback started", "rollback done", "diagnostic", "result",
    ]  # fmt: skip
    assert "its first request failed" in lines[-2]["summary"]
    assert lines[-1]["changes"][0]["outcome"] == "rolled back"
    assert live.inspect(stack.serving)["Id"] == first

    shown = live.cortexctl("history", str(stack))
    assert shown.code == 0, shown.err
    blocks = shown.out.split("\n\n")
    assert "failed in" in blocks[0]
    assert f"{address}   replace   rolled back" in blocks[0]
    assert f"{address}   create   generation 1   done" in blocks[1]
    as_json = json.loads(live.cortexctl("history", str(stack), "--format", "json", "--limit", "1").out)
    assert [run["run"] for run in as_json] == [lines[0]["run"]]


def test_a_gate_that_a_hook_refuses_brings_the_old_one_back(live: LiveDaemon, stack: StackFile, tmp_path: Path) -> None:
    stack.write()
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    first = live.inspect(stack.serving)["Id"]
    refusal = '[hooks.try]\non = "post_healthy"\ncommand = ["sh", "-c", "echo it is too slow; exit 1"]\n'
    stack.write(more=refusal + stack.args(max_model_len=512))
    failed = live.cortexctl("apply", str(stack), "--auto-approve")
    assert failed.code == 1
    assert "the hook try (post_healthy) failed: exit code 1" in failed.out
    assert "| it is too slow" in failed.out
    assert live.containers() == {stack.serving: "running"}
    assert live.inspect(stack.serving)["Id"] == first
    assert live.cortexctl("lock", "status", str(stack)).out == "here: free\n"


def test_a_pre_stop_that_hangs_is_stopped_and_the_old_one_keeps_serving(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    began = live.inspect(stack.serving)["State"]["StartedAt"]
    hang = '[hooks.hang]\non = "pre_stop"\ncommand = ["sleep", "600"]\ntimeout = "1s"\n'
    stack.write(more=hang + stack.args(max_model_len=512))
    failed = live.cortexctl("apply", str(stack), "--auto-approve")
    assert failed.code == 1
    assert "it did not finish in 1 s" in failed.out
    assert live.containers() == {stack.serving: "running"}
    assert live.inspect(stack.serving)["State"]["StartedAt"] == began, "it was never stopped"


def test_a_pre_apply_that_refuses_changes_nothing(live: LiveDaemon, stack: StackFile) -> None:
    no = '[hooks.ticket]\non = "pre_apply"\ncommand = ["sh", "-c", "echo no ticket; exit 2"]\n'
    stack.write(more=no)
    refused = live.cortexctl("apply", str(stack), "--auto-approve", "--events", "json")
    assert refused.code == 4
    assert "| no ticket" in refused.err
    assert live.everything() == {"containers": [], "networks": [], "volumes": []}
    lines = events_of(refused.out)
    assert (lines[-1]["type"], lines[-1]["outcome"], lines[-1]["exit_code"]) == ("result", "refused", 4)
    assert "refused in" in live.cortexctl("history", str(stack)).out


def test_a_planted_secret_is_nowhere(live: LiveDaemon, stack: StackFile, tmp_path: Path) -> None:
    planted, url_secret = "planted-hf-value", "planted-path"
    secrets = f'[models.{stack.model}.secrets]\nHF_TOKEN = {{ env = "CXT_TOKEN" }}\n\n'
    leak = '[hooks.leak]\non = "pre_stop"\nrequired = false\nsecrets = ["HF_TOKEN"]\n'
    leak += 'command = ["sh", "-c", "echo I know $HF_TOKEN; exit 1"]\n'
    with receiver() as at:
        more = hooks(tmp_path) + secrets + leak + '[hooks.report]\non = "post_apply"\nurl = { env = "CXT_URL" }\n'
        env: dict[str, Any] = {
            "CXT_TOKEN": planted,
            "CXT_URL": f"{at.url}/{url_secret}",
            "CORTEXCTL_NOTIFY_SECRET": "planted-key",
        }
        out = []
        for number, extra in enumerate(("", stack.args(max_model_len=512), "")):
            status = {"COMPLETION_STATUS": "500"} if number == 2 else {}
            stack.write(more=more + extra, **status)
            saved, events = str(tmp_path / "plan.json"), str(tmp_path / f"events-{number}")
            for command in (("plan", str(stack), "--out", saved), ("apply", saved, "--events", events)):
                done = live.cortexctl(*command, timeout=AT_MOST, **env)
                out.append(done.out + done.err)
            out.append(Path(saved).read_text() + Path(events).read_text())
            out.append(json.dumps(live.inspect(stack.serving)["Config"]["Labels"]))
        out.append(live.cortexctl("history", str(stack), "--format", "json", timeout=AT_MOST, **env).out)
    assert "I know ***" in "".join(out), "the leak was tried"
    assert at.got[0].path == f"/{url_secret}"
    everywhere = "".join(out) + (tmp_path / "stack.audit.jsonl").read_text() + (tmp_path / "env").read_text()
    everywhere += "".join(str(got.body) + str(got.headers) for got in at.got)
    for value in (planted, url_secret, "planted-key"):
        assert value not in everywhere


def test_labels_name_the_revision_and_the_author(live: LiveDaemon, stack: StackFile, tmp_path: Path) -> None:
    stack.write()
    for arguments in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert live.cortexctl("apply", str(stack), "--auto-approve", "--audit-log", "none", GITHUB_ACTOR="ada").code == 0
    marks = live.inspect(stack.serving)["Config"]["Labels"]
    assert (marks["cortexctl.revision"], marks["cortexctl.author"]) == (commit.strip(), "ada")
    assert not (tmp_path / "stack.audit.jsonl").exists()
    assert live.cortexctl("plan", str(stack), "--detailed-exitcode").code == 0
    assert live.cortexctl("drift", str(stack), "--deep", "--detailed-exitcode").code == 0
    history = live.cortexctl("history", str(stack))
    assert "There is no audit log at" in history.err
    assert f"{stack.address}   generation 1   running   run {marks['cortexctl.run']}   by ada" in history.out


def test_a_log_that_cannot_be_written_is_a_warning(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    done = live.cortexctl("apply", str(stack), "--auto-approve", "--audit-log", "/proc/no-such/log")
    assert done.code == 0
    assert "Warning: the audit log is not written: /proc/no-such/log: its folder does not exist; create it" in done.err


def test_a_reader_that_goes_stops_nothing(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    apply = subprocess.Popen(
        [sys.executable, "-m", "cortexctl", "apply", str(stack), "--auto-approve", "--events", "json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=REPO,
        env={**os.environ, "DOCKER_HOST": live.docker},
    )
    assert apply.stdout is not None
    assert json.loads(apply.stdout.readline())["type"] == "planned_change"
    apply.stdout.close()
    assert apply.wait(timeout=AT_MOST) == 0
    assert live.containers() == {stack.serving: "running"}
