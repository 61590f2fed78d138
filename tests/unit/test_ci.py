"""The published pipelines are run: the action's steps and the template's scripts, in real checkouts, against a
code host on loopback.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from cortexctl.cli.main import COMMANDS
from tests.fakes.forge import GITHUB_BOT, GITLAB_BOT, Fault, Forge, serving
from tests.fakes.sockets import canned_daemon
from tests.hostile import lookalike
from tests.quick_start import quick_programs
from tests.reading import model_text, stack_text

REPO = Path(__file__).parent.parent.parent
ACTION = REPO / ".github" / "actions" / "plan"
MARKER = "<!-- cortexctl-plan:stack.toml: -->"
SECRET = "planted-5f3a91c7"
PROGRAMS = str(Path(sys.executable).parent)
"""Folders of `cortexctl` and `python3`."""
OTHER_USER = {"login": "mallory", "username": "mallory", "type": "User", "id": 666}

BEFORE = stack_text(model_text() + "[models.tiny.args]\nmax_model_len = 1024\n")
AFTER = BEFORE.replace("1024", "2048")
INVALID = BEFORE.replace("max_model_len", "max_modle_len")


def document(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def environ(home: Path, **more: str) -> dict[str, str]:
    """The environment of a new job. From this machine it has only the programs."""
    return {
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "DOCKER_HOST": f"unix://{home}/none.sock",
        "no_proxy": "*",
        **more,
    }


def git(folder: Path, *argv: str) -> str:
    who = ["-c", "user.name=n", "-c", "user.email=n@example.com", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", *who, *argv], cwd=folder, check=True, capture_output=True, text=True, env=environ(folder)
    ).stdout.strip()


def checkout(tmp_path: Path, before: Mapping[str, str], after: Mapping[str, str], *, depth: int = 1) -> Path:
    """The branch `change` of a repository, as a runner checks it out: one commit, and no other branch."""
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "--quiet")
    for branch, files in (("main", before), ("change", after)):
        if branch != "main":
            git(origin, "checkout", "--quiet", "-b", branch)
        for name, text in files.items():
            (origin / name).parent.mkdir(parents=True, exist_ok=True)
            (origin / name).write_text(text, encoding="utf-8")
        git(origin, "add", ".")
        git(origin, "commit", "--quiet", "--allow-empty", "-m", branch)
    shallow = [f"--depth={depth}"] if depth else []
    git(tmp_path, "clone", "--quiet", *shallow, "--branch=change", f"file://{origin}", "work")
    return tmp_path / "work"


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with quick_programs(tmp_path_factory.mktemp("quick")) as programs:
        yield programs


@pytest.fixture(autouse=True)
def start(request: pytest.FixtureRequest, quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the tests of what a start can read or import run the installed program."""
    if request.node.get_closest_marker("real_start") is None:
        monkeypatch.setattr(sys.modules[__name__], "PROGRAMS", f"{quick}:{PROGRAMS}")


@pytest.fixture
def forge() -> Iterator[Forge]:
    with serving() as host:
        yield host


# GitHub


@dataclass
class Ran:
    code: int = 0
    log: str = ""
    summary: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


@dataclass
class GitHubJob:
    """Runs the steps of action.yml as GitHub's runner does."""

    work: Path
    forge: Forge
    environ: dict[str, str] = field(default_factory=dict)
    pull_request: bool = True

    def run(self, **inputs: str) -> Ran:
        action = document(ACTION / "action.yml")
        temp = self.work.parent / "temp"
        temp.mkdir(exist_ok=True)
        files = {n: temp / n for n in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_PATH")}
        for file in files.values():
            file.write_text("")
        known = {f"inputs.{n}": i["default"] for n, i in action["inputs"].items()}
        known["inputs.token"] = self.forge.token
        known |= {f"inputs.{n.replace('_', '-')}": v for n, v in inputs.items()}
        env = environ(self.work.parent) | self._github(temp) | {n: str(f) for n, f in files.items()} | self.environ
        ran = Ran()
        for step in action["runs"]["steps"]:
            if not holds(step.get("if", ""), known, failed=bool(ran.failed)):
                continue
            (temp / "step.sh").write_text(step["run"])
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(temp / "step.sh")],
                cwd=self.work,
                env={**env, **{n: expanded(v, known) for n, v in step.get("env", {}).items()}},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=120,
            )
            ran.log += done.stdout
            if done.returncode:
                ran.failed.append(step["name"])
            for line in files["GITHUB_OUTPUT"].read_text().splitlines():
                name, _, value = line.partition("=")
                known.setdefault(f"steps.{step.get('id')}.outputs.{name}", value)
            env["PATH"] = ":".join([*files["GITHUB_PATH"].read_text().splitlines(), env["PATH"]])
            files["GITHUB_OUTPUT"].write_text("")
            files["GITHUB_PATH"].write_text("")
        ran.code = int(bool(ran.failed))
        ran.summary = files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
        ran.outputs = {n: expanded(o["value"], known) for n, o in action["outputs"].items()}
        return ran

    def _github(self, temp: Path) -> dict[str, str]:
        head = git(self.work, "rev-parse", "HEAD")
        event = {"pull_request": {"number": 7, "head": {"sha": head}}} if self.pull_request else {}
        (temp / "event.json").write_text(json.dumps(event))
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(ACTION),
            "GITHUB_API_URL": self.forge.url,
            "GITHUB_BASE_REF": "main" if self.pull_request else "",
            "GITHUB_EVENT_PATH": str(temp / "event.json"),
            "GITHUB_GRAPHQL_URL": f"{self.forge.url}/graphql",
            "GITHUB_REF": "refs/pull/7/merge" if self.pull_request else "refs/heads/main",
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_RUN_ID": "12",
            "GITHUB_SERVER_URL": "https://forge.example",
            "GITHUB_SHA": head,
            "GITHUB_WORKSPACE": str(self.work),
            "RUNNER_TEMP": str(temp),
        }


def expanded(text: str, known: Mapping[str, str]) -> str:
    """A step that did not run has no outputs, which GitHub writes as nothing."""
    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda m: known.get(m[1], ""), text)


def holds(condition: str, known: Mapping[str, str], *, failed: bool) -> bool:
    """Evaluate a condition of GitHub, as far as action.yml uses the syntax."""
    terms = [t for t in condition.removeprefix("${{ ").removesuffix(" }}").split(" && ") if t]
    if "!cancelled()" not in terms and failed:
        return False
    for term in terms:
        if term == "!cancelled()":
            continue
        name, sign, value = re.fullmatch(r"([\w.-]+) (==|!=) '(.*)'", term).groups()  # type: ignore[union-attr]
        if (known.get(name, "") == value) != (sign == "=="):
            return False
    return True


@pytest.fixture
def changed(tmp_path: Path, forge: Forge) -> GitHubJob:
    return GitHubJob(checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": AFTER}), forge)


@pytest.mark.real_start
def test_the_first_run_comments_and_the_next_one_updates_it(changed: GitHubJob, forge: Forge) -> None:
    forge.add("Nice.", **OTHER_USER)
    first = changed.run()
    assert first.code == 0, first.log
    assert len(forge.comments) == 2
    body = forge.bodies[1]
    assert body.startswith(
        f"{MARKER}\n\n<!-- cortexctl:plan stack=demo env= -->\n\n### cortexctl plan: demo — 1 to replace"
    )
    assert "planned against stack git:origin/main" in body
    assert re.search(r"<sub>commit [0-9a-f]{12} · \[job\]\(https://forge\.example/o/r/actions/runs/12\)</sub>\n$", body)
    plan = Path(first.outputs.pop("plan-file"))
    assert first.outputs == {
        "changes": "true",
        "exit-code": "2",
        "comment-url": "https://forge.example/o/r/pull/7#issuecomment-2",
    }
    assert json.loads(plan.read_text())["basis"] == "stack git:origin/main"
    assert plan.with_name("plan.html").read_text().startswith("<!doctype html>")
    assert "### cortexctl plan: demo — 1 to replace" in first.summary
    assert "~ args.max_model_len   1024 -> 2048" in first.log
    (sarif,) = forge.sarifs
    assert (sarif["ref"], sarif["commit_sha"]) == ("refs/pull/7/merge", git(changed.work, "rev-parse", "HEAD"))
    assert sarif["sarif"]["runs"][0]["automationDetails"] == {"id": "cortexctl/stack.toml/"}
    assert sarif["sarif"]["runs"][0]["results"] == []

    (changed.work / "stack.toml").write_text(AFTER.replace("2048", "4096"))
    second = changed.run()
    assert second.code == 0, second.log
    assert forge.bodies[0] == "Nice."
    assert "1024 -> 4096" in forge.bodies[1]
    assert forge.writes == ["POST /repos/o/r/issues/7/comments", "PATCH /repos/o/r/issues/comments/2"]
    assert {r.token for r in forge.requests} == {forge.token}
    assert forge.token not in first.log + second.log


def test_without_changes_no_comment_is_created_unless_requested(tmp_path: Path, forge: Forge) -> None:
    job = GitHubJob(checkout(tmp_path, {"stack.toml": BEFORE}, {"README.md": "x"}), forge)
    ran = job.run()
    assert (ran.code, ran.outputs["changes"], ran.outputs["exit-code"]) == (0, "false", "0")
    assert ran.outputs["comment-url"] == ""
    assert "No changes." in ran.summary
    assert forge.comments == []
    assert job.run(comment="always").code == 0
    assert "— no changes" in forge.bodies[0]


def test_an_invalid_stack_is_explained_under_the_request_and_fails(tmp_path: Path, forge: Forge) -> None:
    job = GitHubJob(checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": INVALID}), forge)
    forge.add(f"{MARKER}\n\n1 to replace, as of the last push")
    ran = job.run()
    assert ran.failed == ["Verdict"], ran.log
    assert ran.outputs["plan-file"] == ""
    assert (ran.outputs["changes"], ran.outputs["exit-code"]) == ("false", "1")
    body = forge.bodies[0]
    assert "### cortexctl plan: no plan" in body
    assert "to replace" not in body
    for place in (body, ran.summary, ran.log):
        assert "max_modle_len = 1024\n   | ^^^^^^^^^^^^^" in place
    (sarif,) = forge.sarifs
    (result,) = sarif["sarif"]["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "stack.toml"
    assert "::error title=cortexctl plan::There is no plan that can be applied" in ran.log


def test_a_mistake_in_another_environment_is_reported_beside_the_plan(tmp_path: Path, forge: Forge) -> None:
    wrong = AFTER + "\n[env.prod.models.tiny.args]\nmax_modle_len = 1\n"
    ran = GitHubJob(checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": wrong}), forge).run()
    assert ran.failed == ["Verdict"]
    for place in (forge.bodies[0], ran.summary):
        assert "— 1 to replace" in place
        assert "**The stack is not valid.** cortexctl validate says:\n\n```text\nError[CX" in place
    assert (ran.outputs["changes"], ran.outputs["exit-code"]) == ("true", "1")


def test_a_plan_that_is_refused_is_shown_and_fails(tmp_path: Path, forge: Forge) -> None:
    job = GitHubJob(checkout(tmp_path, {"stack.toml": BEFORE}, {"README.md": "x"}), forge)
    ran = job.run(mode="live")  # there is no daemon
    assert ran.failed == ["Verdict"]
    assert "**CX401**" in forge.bodies[0]
    assert Path(ran.outputs["plan-file"]).exists()
    assert "this plan is refused: 1 error below" in ran.summary


def test_a_request_from_a_fork_has_its_plan_in_the_summary(changed: GitHubJob, forge: Forge) -> None:
    refusal = "Resource not accessible by integration"
    forge.faults += [Fault("POST", "/comments$", 403, refusal), Fault("POST", "/sarifs$", 403, refusal)]
    ran = changed.run()
    assert ran.code == 0, ran.log
    assert forge.comments == []
    assert ran.log.count("::notice title=cortexctl plan::") == 2
    assert f"the comment may not be written (HTTP 403 {refusal})" in ran.log
    assert "— 1 to replace" in ran.summary
    assert ran.outputs["comment-url"] == ""


def test_a_comment_that_fails_does_not_keep_the_findings_back(changed: GitHubJob, forge: Forge) -> None:
    head = git(changed.work, "rev-parse", "HEAD")
    changed.environ["GITHUB_SHA"] = "0" * 40  # the merge; a workflow may check out the head of the request instead
    forge.faults += [
        Fault("POST", "/comments$", 422, "Validation Failed"),
        Fault("POST", "/sarifs$", 404, "Not Found"),  # code scanning is off
    ]
    ran = changed.run()
    assert ran.failed == ["Comment"]
    assert [(s["ref"], s["commit_sha"]) for s in forge.sarifs] == [("refs/pull/7/head", head)]
    assert "::notice title=cortexctl plan::the findings were not sent to code scanning (HTTP 404 Not Found)" in ran.log


def test_a_new_stack_and_a_new_environment_are_planned_as_creations(tmp_path: Path, forge: Forge) -> None:
    more = BEFORE + "\n[env.prod.models.tiny.args]\nmax_model_len = 1\n"
    files = {"stack.toml": more, "new/other.toml": BEFORE}
    job = GitHubJob(checkout(tmp_path, {"stack.toml": BEFORE}, files), forge)
    assert job.run(stack="new/other.toml").outputs["exit-code"] == "2"
    assert job.run(env="prod").outputs["exit-code"] == "2"
    assert [b.splitlines()[0] for b in forge.bodies] == [
        "<!-- cortexctl-plan:new/other.toml: -->",
        "<!-- cortexctl-plan:stack.toml:prod -->",
    ]
    assert ["1 to create" in b for b in forge.bodies] == [True, True]
    assert [s["sarif"]["runs"][0]["automationDetails"]["id"] for s in forge.sarifs] == [
        "cortexctl/new/other.toml/",
        "cortexctl/stack.toml/prod/",
    ]


def snapshot(work: Path) -> None:
    """Write a snapshot of a host without containers."""
    with canned_daemon(work.parent / "daemon.sock") as url:
        env = environ(work.parent, HF_TOKEN="any", CORTEXCTL_VAR_key="any") | {"DOCKER_HOST": url}
        subprocess.run(["cortexctl", "observe", "--out", "snapshot.json"], cwd=work, check=True, env=env)


def test_a_snapshot_is_planned_against_without_secrets_or_hosts(tmp_path: Path, forge: Forge) -> None:
    text = BEFORE + '[models.tiny.secrets]\nHF_TOKEN = { env = "HF_TOKEN" }\n'
    work = checkout(tmp_path, {"stack.toml": text}, {"README.md": "x"})
    snapshot(work)
    ran = GitHubJob(work, forge).run(mode="observed", snapshot="snapshot.json")
    assert (ran.code, ran.outputs["exit-code"]) == (0, "2"), ran.log
    assert "planned against snapshot snapshot.json" in forge.bodies[0]


@pytest.mark.parametrize("mode", ["live", "observed"])
def test_no_secret_gets_out(tmp_path: Path, forge: Forge, mode: str) -> None:
    secrets = (
        '[models.tiny.secrets]\nHF_TOKEN = { env = "HF_TOKEN" }\nKEY = { var = "key" }\n[vars.key]\nsecret = true\n'
    )
    work = checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": AFTER + secrets})
    forge.token = f"{SECRET}-token"
    env = {"HF_TOKEN": SECRET, "CORTEXCTL_VAR_key": f"{SECRET}-key"}
    snapshot(work)
    ran = GitHubJob(work, forge, env).run(mode=mode, snapshot="snapshot.json")
    plan = Path(ran.outputs["plan-file"])
    if mode != "live":  # where the host is unreachable
        assert '"HF_TOKEN"' in plan.read_text()
    assert forge.bodies
    assert forge.sarifs
    written = "".join(p.read_text() for p in plan.parent.iterdir())
    for place in (ran.log, ran.summary, str(ran.outputs), str(forge.bodies), str(forge.sarifs), written):
        assert SECRET not in place


HOSTILE = "@org/team $(touch pwned) `touch pwned` ::error::x | <img src=x> --> \n/merge\n::set-output name=changes::no"


@pytest.mark.real_start
def test_hostile_texts_do_nothing(tmp_path: Path, forge: Forge) -> None:
    names = json.dumps([HOSTILE, "tiny"])
    after = {"stack.toml": AFTER.replace("[models.tiny.args]", f"served_names = {names}\n[models.tiny.args]")}
    job = GitHubJob(checkout(tmp_path, {"stack.toml": BEFORE}, after), forge)
    harmless(job.run(), job, forge)


@pytest.mark.parametrize("name", ["env", "stack", "mode", "against", "snapshot", "args", "max_bytes"])
def test_hostile_inputs_do_nothing(changed: GitHubJob, forge: Forge, name: str) -> None:
    value = {"max_bytes": "a[$(touch pwned)]", "args": "--target '$(touch pwned)' * ;touch pwned"}.get(name, HOSTILE)
    more = {"mode": "observed"} if name == "snapshot" else {}
    if name == "max_bytes":  # with an invalid stack it is calculated with, which for bash is a way to run it
        (changed.work / "stack.toml").write_text(INVALID)
    ran = changed.run(**{name: value}, **more)
    assert ran.outputs["exit-code"] == "1", ran.log
    harmless(ran, changed, forge)


def harmless(ran: Ran, job: GitHubJob, forge: Forge) -> None:
    assert not list(job.work.parent.rglob("pwned"))
    assert ran.outputs["changes"] in {"true", "false"}
    obeyed, word = [], ""
    for line in ran.log.splitlines():
        if word:
            word = "" if line == f"::{word}::" else word
        elif line.startswith("::stop-commands::"):
            word = line.removeprefix("::stop-commands::")
        elif line.lstrip().startswith("::") or "##[" in line:
            obeyed.append(line)
    assert not word
    assert obeyed in (
        [],
        ["::error title=cortexctl plan::There is no plan that can be applied: the job's summary has the reason"],
    )
    for text in (ran.summary, *forge.bodies):
        fence = ""
        for line in text.splitlines():
            start = re.match(r"`{3,}", line)
            if fence or start:
                fence = "" if line == fence else fence or (start[0] if start else "")
            else:
                assert "@org/team" not in re.sub(r"`[^`]*`", "", line)
                assert "<img" not in line
            assert not line.lstrip().startswith("/"), line
        assert not fence


def test_a_job_without_a_request_has_no_base_to_compare_with(changed: GitHubJob, forge: Forge) -> None:
    changed.pull_request = False
    ran = changed.run()
    assert ran.failed == ["Verdict"]
    assert "this is not a pull request, so there is nothing to compare with" in ran.summary
    assert "no comment is written: this job does not run for a pull request" in ran.log


def test_a_base_that_cannot_be_fetched_is_named_with_the_fix(changed: GitHubJob, forge: Forge) -> None:
    git(changed.work, "remote", "set-url", "origin", "file:///nowhere")
    ran = changed.run()
    assert ran.failed == ["Verdict"]
    assert "origin/main cannot be compared with (fatal: '/nowhere'" in forge.bodies[0]
    assert "let the checkout fetch all history" in forge.bodies[0]


def test_a_base_that_is_here_does_without_fetching(tmp_path: Path, forge: Forge) -> None:
    work = checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": AFTER}, depth=0)
    git(work, "remote", "set-url", "origin", "file:///nowhere")
    ran = GitHubJob(work, forge).run(comment="false", sarif="false")
    assert ran.outputs["exit-code"] == "2"
    assert forge.requests == []


def test_an_old_base_is_fetched_again_and_a_whole_clone_stays_whole(tmp_path: Path, forge: Forge) -> None:
    work = checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": AFTER}, depth=0)
    git(tmp_path / "origin", "checkout", "--quiet", "main")
    git(tmp_path / "origin", "merge", "--quiet", "change")
    old = forge.add(f"{MARKER}\n\n1 to replace")
    assert GitHubJob(work, forge).run().outputs["exit-code"] == "0"
    assert "— no changes" in old["body"], "although no comment would be created"
    assert git(work, "rev-parse", "--is-shallow-repository") == "false"


def test_args_are_split_as_a_shell_does_and_values_of_variables_reach_validate(tmp_path: Path, forge: Forge) -> None:
    text = "[vars.long]\n\n" + BEFORE.replace('path = "tiny"', 'path = "{{ vars.long }}"').removeprefix(
        'stack = "demo"\n'
    )
    files = {"stack.toml": f'stack = "demo"\n{text}'}
    job = GitHubJob(checkout(tmp_path, files, {"README.md": "x"}), forge)
    ran = job.run(args="--var 'long=two words' --target \"here/*\"")
    assert ran.outputs["exit-code"] == "0", ran.log
    assert "partial plan (--target here/*)" in ran.log
    assert forge.sarifs[0]["sarif"]["runs"][0]["results"] == []
    assert "close the quotes" in job.run(args="--var 'long").summary


def test_without_cortexctl_the_comment_reports_it(changed: GitHubJob, forge: Forge, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "python3").symlink_to(Path(sys.executable).resolve())
    for name in ("bash", "git", "cat", "mktemp", "mkdir", "rm", "cp", "dirname", "basename", "grep"):
        (bare / name).symlink_to(shutil.which(name) or name)
    changed.environ["PATH"] = str(bare)
    ran = changed.run()
    assert ran.failed == ["Verdict"], ran.log
    assert "cortexctl is not installed: set `version`" in forge.bodies[0]


# The scripts by themselves


@dataclass
class Commenting:
    """Runs comment.py for one of the two code hosts."""

    kind: str
    forge: Forge
    tmp_path: Path

    def run(self, *more: str, **changes: str) -> subprocess.CompletedProcess[str]:
        (self.tmp_path / "plan.md").write_text("### the plan\n")
        (self.tmp_path / "event.json").write_text(
            '{"pull_request": {"number": 7, "head": {"sha": "abcdef0123456789"}}}'
        )
        argv = [f"--forge={self.kind}", "--stack=stack.toml", f"--body={self.tmp_path / 'plan.md'}", *more]
        return subprocess.run(
            ["python3", str(ACTION / "comment.py"), *argv],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=environ(self.tmp_path) | self.environ | changes,
        )

    @property
    def environ(self) -> dict[str, str]:
        if self.kind == "gitlab":
            return gitlab_environ(self.forge)
        return {
            "GITHUB_API_URL": self.forge.url,
            "GITHUB_EVENT_PATH": str(self.tmp_path / "event.json"),
            "GITHUB_GRAPHQL_URL": f"{self.forge.url}/graphql",
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_RUN_ID": "12",
            "GITHUB_SERVER_URL": "https://forge.example",
            "GITHUB_TOKEN": self.forge.token,
        }

    @property
    def ours(self) -> dict[str, Any]:
        return GITLAB_BOT if self.kind == "gitlab" else GITHUB_BOT


def gitlab_environ(forge: Forge) -> dict[str, str]:
    return {
        "CI": "true",
        "CI_API_V4_URL": f"{forge.url}/api/v4",
        "CI_COMMIT_SHA": "abcdef0123456789",
        "CI_JOB_URL": "https://forge.example/o/r/-/jobs/12",
        "CI_MERGE_REQUEST_IID": "7",
        "CI_MERGE_REQUEST_PROJECT_ID": "3",
        "CI_MERGE_REQUEST_PROJECT_URL": "https://forge.example/o/r",
        "CORTEXCTL_GITLAB_TOKEN": forge.token,
    }


@pytest.fixture(params=["github", "gitlab"])
def commenting(request: pytest.FixtureRequest, forge: Forge, tmp_path: Path) -> Commenting:
    return Commenting(request.param, forge, tmp_path)


def test_a_comment_is_created_once_and_then_updated(commenting: Commenting, forge: Forge) -> None:
    assert commenting.run("--only-update").returncode == 0
    assert forge.comments == []
    done = commenting.run()
    assert done.returncode == 0, done.stdout + done.stderr
    (body,) = forge.bodies
    assert body.startswith(f"{MARKER}\n\n### the plan\n\n<sub>commit abcdef012345 · [job](https://forge.example/")
    assert commenting.run().returncode == 0
    assert len(forge.writes) == 1, "the same text is not written again"
    forge.comments[0]["body"] = f"{MARKER}\n\nanother plan"
    assert commenting.run("--only-update").returncode == 0
    assert forge.bodies == [body]


def test_comments_of_others_are_left_alone(commenting: Commenting, forge: Forge) -> None:
    others = [
        (f"{MARKER}\n\nput your plan here", OTHER_USER),
        (f"> {MARKER}\n\nwhat does this mean?", commenting.ours),
        ("<!-- cortexctl-plan:stack.toml:prod -->\n\nplan", commenting.ours),
        ("<!-- cortexctl-plan:other.toml: -->\n\nplan", commenting.ours),
    ]
    for body, author in others:
        forge.add(body, **author)
    assert commenting.run().returncode == 0
    assert forge.bodies[:-1] == [body for body, _ in others]
    assert len(forge.writes) == 1
    assert commenting.run("--env=prod").returncode == 0
    assert "### the plan" in forge.bodies[2]


def test_all_pages_of_comments_are_read(commenting: Commenting, forge: Forge) -> None:
    forge.page = 3
    for number in range(7):
        forge.add(f"comment {number}", **OTHER_USER)
    ours = forge.add(f"{MARKER}\n\nold")
    forge.add("thanks", **OTHER_USER)
    assert commenting.run().returncode == 0
    assert "### the plan" in ours["body"]
    assert len(forge.comments) == 9


def test_a_request_to_a_busy_forge_is_repeated_and_nothing_is_written_twice(
    commenting: Commenting, forge: Forge
) -> None:
    collection = "/(comments|notes)$"
    forge.faults += [
        Fault("GET", collection, 502, "Bad Gateway"),
        Fault("GET", collection, 429, "Too Many Requests", {"Retry-After": "0"}),
        Fault("POST", collection, 504, "Gateway Timeout", {"Retry-After": "0"}, done=True),
    ]
    done = commenting.run()
    assert done.returncode == 0, done.stdout
    assert len(forge.comments) == 1


def test_a_limit_is_waited_for(forge: Forge, tmp_path: Path) -> None:
    message = "You have exceeded a secondary rate limit."
    forge.faults.append(Fault("POST", "/comments$", 403, message, {"Retry-After": "0"}, times=2))
    done = Commenting("github", forge, tmp_path).run()
    assert done.returncode == 0
    assert len(forge.comments) == 1


def test_a_host_that_stays_busy_fails_the_job_in_one_sentence(commenting: Commenting, forge: Forge) -> None:
    forge.faults.append(Fault("GET", "/(comments|notes)$", 503, "Unavailable", {"Retry-After": "0"}, times=99))
    done = commenting.run()
    assert done.returncode == 1
    assert done.stdout == (
        "Error: the comment could not be written (HTTP 503 Unavailable): run the job again when the code host answers\n"
    )


@pytest.mark.parametrize("status", [401, 404, 422, 301])
def test_what_the_host_refuses_fails_the_job_without_the_token(
    commenting: Commenting, forge: Forge, status: int
) -> None:
    headers = {"Location": f"{forge.url}/elsewhere/comments"}
    forge.faults.append(Fault("GET", "/(comments|notes)$", status, "No\n::error::x", headers, times=99))
    done = commenting.run(GITHUB_ACTIONS="true")
    assert done.returncode == 1
    assert f"the comment could not be written (HTTP {status} No%0A::error::x)" in done.stdout
    assert forge.token not in done.stdout + done.stderr
    assert not [r for r in forge.requests if "elsewhere" in r.path]


def test_without_a_token_or_a_request_no_api_is_called(commenting: Commenting, forge: Forge) -> None:
    name = "CORTEXCTL_GITLAB_TOKEN" if commenting.kind == "gitlab" else "GITHUB_TOKEN"
    done = commenting.run(**{name: ""})
    assert done.returncode == 0
    assert done.stdout.startswith("Notice: no comment is written: ")
    assert "as it is in a " in done.stdout
    assert forge.requests == []


def test_if_the_author_is_unknown_only_a_comment_of_a_bot_is_updated(forge: Forge, tmp_path: Path) -> None:
    forge.faults.append(Fault("POST", "/graphql$", 403, "Resource not accessible by integration", times=9))
    forge.add(f"{MARKER}\n\nput your plan here", **OTHER_USER)
    ours = forge.add(f"{MARKER}\n\nold")
    assert Commenting("github", forge, tmp_path).run().returncode == 0
    assert "### the plan" in ours["body"]
    assert "### the plan" not in forge.bodies[0]


def test_a_person_with_a_token_finds_the_own_comment(forge: Forge, tmp_path: Path) -> None:
    forge.viewer = "alice"
    bots = forge.add(f"{MARKER}\n\nby the bot")
    ours = forge.add(f"{MARKER}\n\nby alice", login="alice", type="User")
    assert Commenting("github", forge, tmp_path).run().returncode == 0
    assert "### the plan" in ours["body"]
    assert "### the plan" not in bots["body"]


def test_no_two_stacks_share_a_marker(forge: Forge, tmp_path: Path) -> None:
    long = "x" * 300
    names = [("a:b", "c"), ("a", "b:c"), ("a --> b", ""), ("a\n", ""), ("a", ""), (long, "1"), ("y" + long, "1")]
    for stack, env in names:
        done = Commenting("github", forge, tmp_path).run(f"--stack={stack}", f"--env={env}")
        assert done.returncode == 0
    marks = [b.splitlines()[0] for b in forge.bodies]
    assert len(set(marks)) == len(names)
    assert all(re.fullmatch(r"<!-- cortexctl-plan:[\w/.~%-]+:[\w%]* -->", m) for m in marks), marks
    assert all(len(m) < 200 for m in marks)


def test_an_error_text_is_quoted_and_has_no_effect() -> None:
    text = (
        "Error: x\n/merge\n  /close\n````\n</details>\x1b[31m\u202e\t@org\n"
        + "".join(f"{n}\n" for n in range(500))
        + "y" * 999
    )
    done = subprocess.run(
        ["python3", str(ACTION / "refusal.py"), "**Its output:**"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[:3] == ["**Its output:**", "", "`````text"]
    assert lines[-1] == "`````"
    assert not any(line.lstrip(" ").startswith("/") for line in lines)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", done.stdout)
    assert "Error: x" in lines
    assert any("lines are left out" in line for line in lines)
    assert lines[-2].startswith("yyy")
    assert len(done.stdout) < 20_000


@pytest.mark.parametrize(
    ("what", "requirement"),
    [
        ("1.2.3", "cortexctl==1.2.3"),
        ("git+ssh://x/y@z; touch pwned", "git+ssh://x/y@z; touch pwned"),
        ("action", str(REPO)),
    ],
)
def test_one_requirement_is_installed_into_its_own_environment(tmp_path: Path, what: str, requirement: str) -> None:
    fake = tmp_path / "bin" / "python3"
    fake.parent.mkdir()
    fake.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" >>"$HOME/argv"\n'
        'if [ "$3" = venv ]; then mkdir -p "$4/bin" && cp "$0" "$4/bin/python"; fi\n'
    )
    fake.chmod(0o755)
    env = environ(tmp_path) | {"PATH": f"{fake.parent}:{os.environ['PATH']}"}
    subprocess.run(
        ["bash", str(ACTION / "install.sh"), what, str(tmp_path / "venv")], check=True, env=env, cwd=tmp_path
    )
    assert (tmp_path / "argv").read_text().endswith(f"--disable-pip-version-check\n--\n{requirement}\n")
    assert not list(tmp_path.rglob("pwned"))


# Files of a request that try to run a program or to change the plan


SHIFTED = ("json", "os", "secrets", "shlex", "sys", "venv", "pip", "ensurepip", "re", "site", "sitecustomize")


def hostile(tmp_path: Path, inside: str) -> tuple[Path, Path]:
    """A checkout whose request changes a stack, and adds a fake repository beside it in which nothing
    changed, modules for Python to import, and links. And what exists as soon as any of it runs.
    """
    pwned = tmp_path / "pwned"
    folder = tmp_path / "folder"
    folder.mkdir()
    lookalike(folder, AFTER, "x.toml", pwned)
    work = checkout(tmp_path, {f"{inside}x.toml": BEFORE}, {f"{inside}x.toml": AFTER})
    (work / inside).mkdir(exist_ok=True)
    shutil.copytree(folder, work / inside, dirs_exist_ok=True)
    for name in SHIFTED:
        (work / f"{name}.py").write_text(f"open({str(pwned)!r}, 'w')\n")
    git(work, "add", "--force", ".")
    git(work, "commit", "--quiet", "-m", "hostile")
    return work, pwned


@pytest.mark.parametrize("inside", ["stacks/", pytest.param("", marks=pytest.mark.real_start), "a/b/"])
def test_a_lookalike_of_a_repository_runs_nothing_and_hides_nothing(tmp_path: Path, forge: Forge, inside: str) -> None:
    work, pwned = hostile(tmp_path, inside)
    for against in ("", "git:origin/main", f"git:{git(tmp_path / 'origin', 'rev-parse', 'main')}"):
        ran = GitHubJob(work, forge).run(stack=f"{inside}x.toml", against=against)
        assert not pwned.exists(), against
        assert (ran.code, ran.outputs["exit-code"]) == (0, "2"), ran.log
        (change,) = json.loads(Path(ran.outputs["plan-file"]).read_text())["changes"]
        assert change["replace_paths"] == ["args.max_model_len"]


def test_a_lookalike_hides_no_removal(tmp_path: Path, forge: Forge) -> None:
    both = BEFORE + model_text("other")
    work = checkout(tmp_path, {"stacks/x.toml": both}, {"stacks/x.toml": BEFORE})
    lookalike(work / "stacks", BEFORE, "x.toml", tmp_path / "pwned")
    ran = GitHubJob(work, forge).run(stack="stacks/x.toml")
    assert "1 to remove" in ran.summary
    assert ran.outputs["changes"] == "true"
    assert not (tmp_path / "pwned").exists()


@pytest.mark.real_start
def test_a_merge_request_runs_nothing_either(tmp_path: Path, forge: Forge) -> None:
    work, pwned = hostile(tmp_path, "stacks/")
    away = tmp_path / "away"
    away.mkdir()
    (away / "plan.md").write_text("mine")
    (work / "cortexctl-plan").symlink_to(away)
    env = {"CI_PROJECT_DIR": str(work)}
    done = GitLabJob("cortexctl:plan", work, forge, env).run(CORTEXCTL_STACK="stacks/x.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not pwned.exists()
    assert [f.name for f in away.iterdir()] == ["plan.md"]
    assert (away / "plan.md").read_text() == "mine"
    assert (work / "cortexctl-plan" / "plan.json").is_file()


def test_the_folder_of_the_plan_is_no_link(tmp_path: Path, forge: Forge) -> None:
    """The script called alone does not write through a link that a request put in place of the folder."""
    work = checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": AFTER})
    away = tmp_path / "away"
    away.mkdir()
    (away / "plan.json").write_text("mine")
    (work / "out").symlink_to(away)
    env = environ(tmp_path, CORTEXCTL_AGAINST="git:origin/main")
    subprocess.run(["bash", str(ACTION / "plan.sh"), "out"], cwd=work, env=env, check=False, capture_output=True)
    assert (away / "plan.json").read_text() == "mine"
    assert (work / "out" / "plan.json").is_file()


def test_a_tag_called_like_the_base_branch_is_not_the_base(tmp_path: Path, forge: Forge) -> None:
    work = checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": AFTER}, depth=0)
    git(work, "tag", "origin/main", "HEAD")
    ran = GitHubJob(work, forge).run()
    assert ran.outputs["exit-code"] == "1"
    assert "write one of refs/tags/origin/main, refs/remotes/origin/main" in ran.summary
    named = GitHubJob(work, forge).run(against="git:refs/remotes/origin/main")
    assert named.outputs["exit-code"] == "2"


def test_a_stack_outside_the_workspace_is_compared_with_nothing(tmp_path: Path, forge: Forge) -> None:
    work = checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": AFTER})
    (tmp_path / "x").mkdir()
    other = checkout(tmp_path / "x", {"stack.toml": AFTER}, {"stack.toml": AFTER})
    (work / "s").symlink_to(other)
    for stack in ("s/stack.toml", str(other / "stack.toml")):
        ran = GitHubJob(work, forge).run(stack=stack)
        assert ran.outputs["exit-code"] == "1"
        assert "is in no checkout that git can be asked about" in ran.summary


def test_a_checkout_in_a_folder_of_the_workspace_is_the_one(tmp_path: Path, forge: Forge) -> None:
    work = checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": AFTER})
    ran = GitHubJob(work, forge, {"GITHUB_WORKSPACE": str(tmp_path)}).run()
    assert ran.outputs["exit-code"] == "2", ran.log


@pytest.mark.parametrize("target", ["token", "/proc/self/environ", "/dev/zero", "pipe", ""])
@pytest.mark.parametrize("mode", ["against", "observed", "live"])
def test_a_stack_that_is_a_link_shows_nothing_of_this_machine(
    tmp_path: Path, forge: Forge, target: str, mode: str
) -> None:
    work = checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": AFTER})
    snapshot(work)
    (tmp_path / "token").write_text(f"{SECRET}-text {SECRET}\n")
    os.mkfifo(tmp_path / "pipe")
    (work / "stack.toml").unlink()
    (work / "stack.toml").symlink_to(tmp_path / target)
    ran = GitHubJob(work, forge, {"PLANTED": SECRET}).run(mode=mode, snapshot="snapshot.json")
    assert ran.outputs["exit-code"] == "1"
    folder = tmp_path / "temp"
    written = "".join(p.read_text() for p in folder.rglob("*") if p.is_file())
    for place in (ran.log, ran.summary, str(forge.bodies), str(forge.sarifs), written):
        assert SECRET not in place


def test_a_request_runs_no_command_of_its_stack(tmp_path: Path, forge: Forge) -> None:
    secrets = f'[models.tiny.secrets]\nT = {{ command = ["sh", "-c", "touch {tmp_path}/pwned; echo {SECRET}"] }}\n'
    work = checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": AFTER + secrets})
    snapshot_of(work, BEFORE)
    for more in (
        {"mode": "against"},
        {"mode": "observed", "snapshot": "snapshot.json"},
        {"mode": "live", "args": "--no-commands"},
    ):
        GitHubJob(work, forge).run(**more)
        assert not (tmp_path / "pwned").exists(), more


def snapshot_of(work: Path, text: str) -> None:
    """Write a snapshot that was taken with another stack."""
    (work.parent / "other.toml").write_text(text)
    with canned_daemon(work.parent / "daemon.sock") as url:
        env = environ(work.parent) | {"DOCKER_HOST": url}
        out = str(work / "snapshot.json")
        subprocess.run(["cortexctl", "observe", "../other.toml", "--out", out], cwd=work, check=True, env=env)


@pytest.mark.real_start
def test_installing_imports_nothing_of_the_checkout(tmp_path: Path) -> None:
    for name in SHIFTED:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')\n")
    missing = str(tmp_path / "no-such-thing")
    done = subprocess.run(
        ["bash", str(ACTION / "install.sh"), missing, str(tmp_path / "venv")],
        cwd=tmp_path, env=environ(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert (tmp_path / "venv" / "bin" / "pip").exists(), done.stderr
    assert not (tmp_path / "pwned").exists()


# Properties of the files


def test_every_input_is_declared_and_used() -> None:
    action = document(ACTION / "action.yml")
    used = set(re.findall(r"inputs\.([\w-]+)", json.dumps(action["runs"])))
    assert used == set(action["inputs"])
    assert all({"description", "default"} <= set(i) for i in action["inputs"].values())
    ids = {s["id"] for s in action["runs"]["steps"] if "id" in s}
    assert set(re.findall(r"steps\.(\w+)\.", json.dumps(action))) == ids


def test_no_script_holds_an_expression_and_every_script_stops_at_an_error() -> None:
    for step in document(ACTION / "action.yml")["runs"]["steps"]:
        assert "${{" not in step["run"]
        assert step["run"].startswith("set -euo pipefail\n")
        assert step["shell"] == "bash"
        assert ("inputs.token" in str(step["env"])) == (step["name"] in {"Comment", "Annotate"})
    workflow = document(REPO / "docs" / "ci" / "github-workflow.yml")
    assert not [s for j in workflow["jobs"].values() for s in j["steps"] if "${{" in s.get("run", "")]


def scripts() -> Iterator[tuple[str, str]]:
    for file in sorted(ACTION.glob("*.sh")):
        yield file.name, file.read_text()
    for step in document(ACTION / "action.yml")["runs"]["steps"]:
        yield step["name"], f"#!/usr/bin/env bash\n{step['run']}"
    for name, job in gitlab_jobs().items():
        yield name, "#!/usr/bin/env bash\n" + "\n".join([*job["before_script"], *job["script"]])


def test_scripts_are_sound(tmp_path: Path) -> None:
    for number, (name, text) in enumerate(scripts()):
        file = tmp_path / f"{number}.sh"
        file.write_text(text)
        for check in (["bash", "-n"], *([["shellcheck"]] if shutil.which("shellcheck") else [])):
            done = subprocess.run([*check, str(file)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{name}\n{done.stdout}{done.stderr}"


def test_the_scripts_need_nothing_but_python() -> None:
    own = {f.stem for f in ACTION.glob("*.py")}
    for file in ACTION.glob("*.py"):
        tree = ast.parse(file.read_text())
        named = {n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names}
        named |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert {n.split(".")[0] for n in named} <= set(sys.stdlib_module_names) | own


def test_the_example_workflow_has_the_least_rights_and_pins_what_it_uses() -> None:
    workflow = document(REPO / "docs" / "ci" / "github-workflow.yml")
    assert workflow["permissions"] == {}
    (on,) = (v for k, v in workflow.items() if k in {"on", True})  # which YAML 1.1 reads as true
    assert set(on) == {"pull_request", "push"}, "never pull_request_target"
    jobs = workflow["jobs"]
    assert jobs["plan"]["permissions"] == {"contents": "read", "pull-requests": "write", "security-events": "write"}
    assert {str(j["permissions"]) for n, j in jobs.items() if n != "plan"} == {"{'contents': 'read'}"}
    assert jobs["plan"]["concurrency"]["cancel-in-progress"] is True
    assert jobs["apply"]["concurrency"]["cancel-in-progress"] is False
    assert jobs["apply"]["environment"] == "production"
    assert all("environment" in j for j in jobs.values() if "secrets." in json.dumps(j))
    assert all(j["timeout-minutes"] for j in jobs.values())
    steps = [s for j in jobs.values() for s in j["steps"]]
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", s["uses"]) for s in steps if "uses" in s)
    declared = set(document(ACTION / "action.yml")["inputs"])
    ours = [s for s in steps if "actions/plan@" in s.get("uses", "")]
    assert len(ours) == 2
    assert all(set(s["with"]) <= declared for s in ours)


# GitLab


def gitlab_jobs() -> dict[str, dict[str, Any]]:
    """The jobs of the template, with what they extend and its variables laid under them, as GitLab does."""
    template = document(REPO / "docs" / "ci" / "gitlab-ci.yml")

    def whole(name: str) -> dict[str, Any]:
        job = template[name]
        under = whole(job["extends"]) if "extends" in job else {"variables": template["variables"]}
        return {**under, **job, "variables": {**under["variables"], **job.get("variables", {})}}

    return {name: whole(name) for name in template if name.startswith("cortexctl:")}


@dataclass
class GitLabJob:
    name: str
    work: Path
    forge: Forge
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, **variables: str) -> subprocess.CompletedProcess[str]:
        job = gitlab_jobs()[self.name]
        base = git(self.work.parent / "origin", "rev-parse", "main")
        env = environ(self.work.parent) | gitlab_environ(self.forge) | {"CI_MERGE_REQUEST_DIFF_BASE_SHA": base}
        env |= {**job["variables"], "CORTEXCTL_HOME": str(REPO)} | self.environ | variables
        text = "\n".join(["set -eo pipefail", *job["before_script"], *job["script"]])
        return subprocess.run(
            ["bash", "-c", text],
            cwd=self.work,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.mark.real_start
def test_a_merge_request_gets_its_plan_as_a_note(tmp_path: Path, forge: Forge) -> None:
    job = GitLabJob("cortexctl:plan", checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": AFTER}), forge)
    done = job.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert forge.bodies[0].startswith(MARKER)
    assert "— 1 to replace" in forge.bodies[0]
    assert "~ args.max_model_len   1024 -> 2048" in done.stdout
    assert "The comment: https://forge.example/o/r/-/merge_requests/7#note_1" in done.stdout
    folder = job.work / "cortexctl-plan"
    assert {"plan.json", "plan.html", "plan.md", "summary.md", "code-quality.json"} <= {
        p.name for p in folder.iterdir()
    }
    assert json.loads((folder / "code-quality.json").read_text()) == []
    git(job.work, "checkout", "--quiet", "FETCH_HEAD")
    assert job.run().returncode == 0
    assert "— no changes" in forge.bodies[0]
    assert len(forge.writes) == 2
    assert forge.token not in done.stdout + done.stderr


def test_merged_results_are_compared_with_the_head_of_the_target(tmp_path: Path, forge: Forge) -> None:
    job = GitLabJob("cortexctl:plan", checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": AFTER}), forge)
    head = git(job.work, "rev-parse", "HEAD")
    assert job.run(CI_MERGE_REQUEST_TARGET_BRANCH_SHA=head).returncode == 0
    assert forge.comments == []


def test_an_invalid_stack_fails_a_merge_request_with_its_place(tmp_path: Path, forge: Forge) -> None:
    work = checkout(tmp_path, {"stack.toml": BEFORE}, {"a b/stück.toml": INVALID})
    done = GitLabJob("cortexctl:plan", work, forge).run(CORTEXCTL_STACK="a b/stück.toml", HF_TOKEN=SECRET)
    assert done.returncode == 1
    assert "no plan" in forge.bodies[0]
    (issue,) = json.loads((work / "cortexctl-plan" / "code-quality.json").read_text())
    line = 1 + INVALID[: INVALID.index("max_modle_len")].count("\n")
    assert issue["location"] == {"path": "a b/stück.toml", "lines": {"begin": line}}
    assert (issue["check_name"], issue["severity"]) == ("CX102", "major")
    written = "".join(p.read_text() for p in (work / "cortexctl-plan").iterdir())
    assert SECRET not in done.stdout + done.stderr + forge.bodies[0] + written


@pytest.mark.real_start
def test_hostile_variables_do_nothing(tmp_path: Path, forge: Forge) -> None:
    job = GitLabJob("cortexctl:plan", checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": AFTER}), forge)
    done = job.run(CORTEXCTL_ENV=HOSTILE)
    assert done.returncode == 1
    assert not list(tmp_path.rglob("pwned"))
    assert not [line for line in forge.bodies[0].splitlines() if line.lstrip().startswith("/")]


def test_without_a_token_the_plan_is_in_the_artefacts(tmp_path: Path, forge: Forge) -> None:
    work = checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": AFTER})
    done = GitLabJob("cortexctl:plan", work, forge).run(CORTEXCTL_GITLAB_TOKEN="")
    assert done.returncode == 0
    assert forge.requests == []
    assert (work / "cortexctl-plan" / "plan.html").exists()


@pytest.fixture
def recorded(tmp_path: Path, forge: Forge) -> GitLabJob:
    """A job where `cortexctl` only writes its arguments to a file, and exits with $ENDS."""
    fake = tmp_path / "bin" / "cortexctl"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$HOME/argv"\necho said\nexit "${ENDS:-0}"\n')
    fake.chmod(0o755)
    work = checkout(tmp_path, {"stack.toml": BEFORE}, {"stack.toml": AFTER})
    return GitLabJob("", work, forge, {"PATH": f"{fake.parent}:{os.environ['PATH']}"})


def test_the_saved_plan_is_applied_and_nothing_else(recorded: GitLabJob, tmp_path: Path) -> None:
    jobs = gitlab_jobs()
    apply, before = jobs["cortexctl:apply"], jobs["cortexctl:plan-to-apply"]
    assert (apply["needs"], before["variables"]["CORTEXCTL_MODE"]) == (["cortexctl:plan-to-apply"], "live")
    assert [r.get("when") for r in apply["rules"]] == ["manual"]
    assert apply["rules"][0]["if"] == before["rules"][0]["if"]
    assert "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH" in apply["rules"][0]["if"]
    recorded.name = "cortexctl:apply"
    assert recorded.run(ENDS="4").returncode == 4, "stale: a person reads why"
    assert (tmp_path / "argv").read_text().split() == ["apply", "cortexctl-plan/plan.json"]


def test_drift_is_checked_on_a_schedule(recorded: GitLabJob, tmp_path: Path) -> None:
    recorded.name = "cortexctl:drift"
    done = recorded.run(CORTEXCTL_NOTIFY_URL="https://hook.example/a b", CORTEXCTL_ENV="prod", ENDS="2")
    assert (done.returncode, done.stdout) == (2, "said\n")
    argv = (tmp_path / "argv").read_text().splitlines()
    options = ["--format=markdown", "--detailed-exitcode", "--env=prod", "--notify=https://hook.example/a b"]
    assert argv == ["drift", *options, "--", "stack.toml"]
    assert recorded.run().returncode == 0
    assert (tmp_path / "argv").read_text().splitlines() == ["drift", *options[:2], "--", "stack.toml"]
    if "drift" in COMMANDS:
        offered = subprocess.run(
            [sys.executable, "-m", "cortexctl", "drift", "--help"], capture_output=True, text=True, check=True
        )
        assert all(o.split("=")[0] in offered.stdout for o in options)


def test_one_commit_gives_the_tool_and_the_scripts(recorded: GitLabJob, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    scripts = mirror / ".github" / "actions" / "plan"
    scripts.mkdir(parents=True)
    (scripts / "install.sh").write_text('echo "installs $1"; mkdir -p "$2/bin"; cp "$(command -v cortexctl)" "$2/bin/"')
    git(mirror, "init", "--quiet")
    git(mirror, "add", ".")
    git(mirror, "commit", "--quiet", "-m", "trusted")
    commit = git(mirror, "rev-parse", "HEAD")
    (scripts / "install.sh").write_text("echo another; exit 1")
    git(mirror, "commit", "--quiet", "-a", "-m", "not yet reviewed")
    git(mirror, "config", "uploadpack.allowAnySHA1InWant", "true")
    recorded.name = "cortexctl:drift"
    done = recorded.run(CORTEXCTL_HOME="", CORTEXCTL_GIT=f"file://{mirror}", CORTEXCTL_REF=commit)
    assert (done.returncode, done.stdout) == (0, "installs action\nsaid\n"), done.stderr


def test_the_guide_names_every_input_output_and_variable(repo: Path) -> None:
    guide = (repo / "docs" / "guides" / "pull-requests.md").read_text()
    action = document(ACTION / "action.yml")
    for name in (*action["inputs"], *action["outputs"]):
        assert f"`{name}`" in guide, name
    template = document(repo / "docs" / "ci" / "gitlab-ci.yml")
    for name in set(re.findall(r"CORTEXCTL_[A-Z_]+", guide)) - {"CORTEXCTL_VAR_NAME"}:
        assert name in template["variables"] or name in {"CORTEXCTL_GITLAB_TOKEN", "CORTEXCTL_NOTIFY_URL"}, name
