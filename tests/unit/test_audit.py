"""The audit log: its entries, their author and revision, and how it is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cortexctl.audit.audit_log import AuditLog, read_log
from cortexctl.audit.provenance import Identity, Revision, identity_of, revision_of
from cortexctl.errors import LockHeld
from cortexctl.instance import labels
from cortexctl.operations.results import RunFacts
from cortexctl.render.apply.audit_records import change_records, end_record, start_record
from cortexctl.render.history import about, addresses_in, history_text, runs_of
from cortexctl.render.style import Ink
from tests.fakes.container import FakeContainer
from tests.fakes.world import World
from tests.reading import desired_from, model_text, stack_text

PLAIN = Ink(enabled=False)
FACTS = RunFacts(
    "run2", "demo", "", {"user": "ops", "machine": "box", "actor": "", "job": ""}, "0123abcd" * 5 + "-dirty"
)


def write(path: Path, length: int) -> None:
    text = model_text(secrets='{ HF_TOKEN = { env = "T" } }') + f"[models.tiny.args]\nmax_model_len = {length}\n"
    path.write_text(stack_text(text, hosts='[hosts.here]\nmodels_dir = "/m"\n'))


def records_of_a_failure(tmp_path: Path) -> list[dict[str, Any]]:
    """Of a replacement whose candidate dies: start, change, end."""
    world = World("demo", "here")
    world.secrets.values = {"T": "hf-planted"}
    path = tmp_path / "stack.toml"
    write(path, 1024)
    world.apply(world.plan(desired_from(path, {"T": "hf-planted"})))

    def crash(container: FakeContainer) -> None:
        if "2048" in container.command:
            container.state, container.exit_code = "exited", 1
            container.log.append("ValueError: hf-planted is not a token")

    world.daemon().behaviours.append(crash)
    write(path, 2048)
    plan = world.plan(desired_from(path, {"T": "hf-planted"}))
    result = world.apply(plan)
    at = 1_700_000_000.0
    changes = list(change_records(FACTS, result, {"here/tiny": 12.3456}, at + 13))
    return [start_record(FACTS, plan, at), *changes, end_record(FACTS, result, 13.0, at + 13)]


def test_a_run_is_its_start_its_changes_and_its_end(tmp_path: Path) -> None:
    start, change, end = records_of_a_failure(tmp_path)
    assert start["who"]["user"] == "ops"
    assert len(start["plan_digest"]) == 64
    assert start["changes"] == [{"address": "here/tiny", "action": "replace"}]
    assert change["generation"] == {"before": 1, "after": 1}, "the old one is back"
    assert (change["outcome"], change["seconds"]) == ("rolled back", 12.346)
    assert change["reasons"] == [{"code": "changed", "detail": "args.max_model_len"}]
    assert "exited with code 1" in change["failure"]
    assert (end["outcome"], end["exit_code"], end["time"]) == ("failed", 1, "2023-11-14T22:13:33.000Z")
    assert {r["run"] for r in (start, change, end)} == {"run2"}
    assert "hf-planted" not in json.dumps([start, change, end])


def test_history_shows_the_newest_first_and_one_block_a_run(tmp_path: Path) -> None:
    first = records_of_a_failure(tmp_path)
    again = [{**r, "run": "run3"} for r in first[:1]]
    text = history_text(runs_of([*first, *again]), PLAIN)
    blocks = text.split("\n\n")
    assert "no end is recorded" in blocks[0]
    assert "here/tiny   replace   was planned" in blocks[0]
    assert blocks[1].splitlines()[:4] == [
        "2023-11-14 22:13:20 UTC   apply demo   failed in 13s, exit code 1",
        "  ops on box   run run2   revision 0123abcd0123 with uncommitted changes",
        "  -/+ here/tiny   replace   rolled back in 12s",
        "      args.max_model_len changed",
    ]


def test_history_is_narrowed_by_environment_and_address(tmp_path: Path) -> None:
    records = records_of_a_failure(tmp_path)
    assert addresses_in(runs_of(records)) == {"here/tiny"}
    assert len(about(runs_of(records), ["here/tiny"])) == 1
    assert about(runs_of(records), ["here/other"]) == []
    assert runs_of(records, env="prod") == []


@pytest.mark.parametrize(
    "broken",
    [{}, {"run": 1}, {"run": "x", "record": "end"}, {"run": "x", "record": "start", "changes": [1]},
     {"run": "x", "record": "start", "who": []}, {"run": "x", "record": "change", "reasons": "a"},
     {"run": "x", "record": "start", "changes": 5}, {"run": "x", "record": "start", "changes": [{"address": []}]},
     {"run": "x", "record": "change", "address": {}}],
)  # fmt: skip
def test_a_line_that_is_not_a_record_is_skipped(broken: dict[str, Any]) -> None:
    assert runs_of([broken]) == []


def test_an_address_that_appears_nowhere_is_named_with_those_that_do(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(r) + "\n" for r in records_of_a_failure(tmp_path)))
    argv = [sys.executable, "-m", "cortexctl", "history", "--audit-log", str(log), "--address"]
    done = {
        address: subprocess.run([*argv, address], capture_output=True, text=True, check=False, timeout=60)
        for address in ("here/tiny", "here/tinny")
    }
    assert done["here/tiny"].returncode == 0
    assert "here/tiny   replace" in done["here/tiny"].stdout
    assert done["here/tinny"].returncode == 1
    assert f"the audit log {log} has no here/tinny; known: here/tiny" in done["here/tinny"].stderr


def test_a_refusal_is_an_end(tmp_path: Path) -> None:
    start = records_of_a_failure(tmp_path)[0]
    end = end_record(FACTS, LockHeld("here: somebody applies"), 0.5, 1_700_000_001)
    assert (end["outcome"], end["exit_code"]) == ("refused", 4)
    assert "      here: somebody applies" in history_text(runs_of([start, end]), PLAIN)


def test_hostile_text_does_not_act_on_a_terminal(tmp_path: Path) -> None:
    start = records_of_a_failure(tmp_path)[0]
    nasty = {
        **start,
        "stack": "\x1b[2J",
        "who": {"user": "\x1b]0;x\x07", "machine": "m"},
        "changes": [{"address": "\r\n", "action": "\x1b"}],
    }
    assert "\x1b" not in history_text(runs_of([nasty]), PLAIN)


# the file


def test_lines_of_several_runs_are_only_added(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with AuditLog(path) as one, AuditLog(path) as two:
        for number in range(50):
            one.write({"from": 1, "n": number})
            two.write({"from": 2, "n": number})
    with AuditLog(path) as three:
        three.write({"from": 3})
    lines = list(read_log(path))
    assert len(lines) == 101
    assert lines[-1] == {"from": 3}


def test_a_line_that_was_cut_off_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": \n[3]\n\xff\xfe\n{"n": 2}\n')
    assert list(read_log(path)) == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("where", ["no-folder/a.jsonl", "folder", "pipe"])
def test_a_log_that_cannot_be_written_is_a_problem_and_no_error(tmp_path: Path, where: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with AuditLog(tmp_path / where) as log:
        log.write({"n": 1})
    assert log.problem.startswith(str(tmp_path / where))
    assert ("its folder does not exist; create it" in log.problem) == where.startswith("no")


def test_a_full_disk_is_a_problem_and_no_error() -> None:
    with AuditLog(Path("/dev/full")) as log:
        log.write({"n": 1})
    assert log.problem == "/dev/full: No space left on device"


# the author and the revision


def test_who_is_a_person_or_a_job() -> None:
    assert identity_of("ops", "box", {}) == Identity("ops", "box")
    assert identity_of("ops", "box", {}).author == "ops@box"
    github = {
        "GITHUB_SERVER_URL": "https://forge",
        "GITHUB_REPOSITORY": "a/b",
        "GITHUB_RUN_ID": "7",
        "GITHUB_ACTOR": "ada",
    }
    assert identity_of("runner", "vm", github) == Identity("runner", "vm", "ada", "https://forge/a/b/actions/runs/7")
    assert identity_of("runner", "vm", github).author == "ada"
    gitlab = {"CI_JOB_URL": "https://forge/j/1", "GITLAB_USER_LOGIN": "bob"}
    assert identity_of("root", "c", gitlab) == Identity("root", "c", "bob", "https://forge/j/1")


def git(folder: Path, *argv: str) -> str:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    whose = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    done = subprocess.run(["git", *whose, *argv], cwd=folder, env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_revision_is_the_commit_and_whether_the_folder_is_as_it_has_it(tmp_path: Path) -> None:
    stack = tmp_path / "stacks" / "prod.toml"
    stack.parent.mkdir()
    stack.write_text("a")
    assert revision_of(stack) == Revision(), "no git"
    git(tmp_path, "init", "-q")
    assert revision_of(stack) == Revision(), "no commit"
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "x")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert revision_of(stack) == Revision(commit, dirty=True), "the stack is not tracked"
    log = stack.parent / "prod.audit.jsonl"
    log.write_text("1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "y")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert str(revision_of(stack)) == commit
    log.write_text("1\n2\n")
    assert revision_of(stack, str(log)) == Revision(commit), "the log changes with every apply"
    (tmp_path / "elsewhere").write_text("x")
    assert revision_of(stack, str(log)) == Revision(commit)
    stack.write_text("b")
    assert str(revision_of(stack, str(log))) == f"{commit}-dirty"
    assert revision_of(tmp_path / "nowhere" / "s.toml") == Revision()


def test_revision_and_author_are_compared_by_nothing(tmp_path: Path) -> None:
    world = World("demo", "here")
    path = tmp_path / "stack.toml"
    write(path, 1024)
    world.secrets.values = {"T": "x"}
    desired = desired_from(path, {"T": "x"})
    world.apply(world.plan(desired))
    world.daemon().by_name("vllm-model-tiny").labels.update({labels.REVISION: "abc-dirty", labels.AUTHOR: "ada"})
    assert world.plan(desired).effective == ()
