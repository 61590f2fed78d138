"""`plan --against`: one desired stack against another, without a host."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.forks import ran

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]

STACK = """stack = "demo"

[hosts.here]
docker = "unix:///run/none.sock"
models_dir = "/models"

[models.tiny]
image = "image:v0.32.0"
source = { path = "tiny" }
gpus = "none"
args = { max_model_len = 2048 }
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def go(*argv: str) -> Done:
        return ran(*argv, cwd=tmp_path)

    return go


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with the stack on `main`, and a folder that a badly passed option would write to."""
    (tmp_path / "stack.toml").write_text(STACK)
    (tmp_path / "out:.").mkdir()
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for argv in (["init", "-qb", "main"], ["add", "stack.toml"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *argv], cwd=tmp_path, check=True)
    return tmp_path


def test_what_a_pull_request_changes(run: Run, repository: Path) -> None:
    (repository / "stack.toml").write_text(STACK.replace("2048", "4096"))
    done = run("plan", "--against", "git:main")
    assert done.returncode == 0, done.stderr
    assert "args.max_model_len   2048 -> 4096" in done.stdout
    assert "against stack git:main" in done.stdout


def test_a_revision_is_never_taken_for_an_option_of_git(run: Run, repository: Path) -> None:
    done = run("plan", "--against", "git:--output=out")
    assert done.returncode == 1
    assert "a revision cannot begin with a minus" in done.stderr
    assert list((repository / "out:.").iterdir()) == []


def test_a_renamed_host_is_two_hosts(run: Run, repository: Path) -> None:
    (repository / "stack.toml").write_text(STACK.replace("hosts.here", "hosts.there"))
    done = run("plan", "--against", "git:main", "--format", "markdown")
    assert done.returncode == 0, done.stderr
    assert "1 to create" in done.stdout
    assert "1 to remove" not in done.stdout, "apply does not read it"
    assert "here is no longer in the stack, so cortexctl cannot read it; its containers stay: here/tiny" in done.stdout


def test_a_retired_host_is_emptied(run: Run, repository: Path) -> None:
    more = 'retired = true\nmodels_dir = "/m"\n\n[hosts.there]\n'
    (repository / "stack.toml").write_text(STACK.replace("[hosts.here]\n", f"[hosts.here]\n{more}", 1))
    done = run("plan", "--against", "git:main", "--format", "markdown")
    assert done.returncode == 0, done.stderr
    assert "1 to remove, 1 to create" in done.stdout
    assert "no longer in the stack" not in done.stdout


def test_problems_of_the_other_revision_name_that_revision(run: Run, repository: Path) -> None:
    (repository / "stack.toml").write_text(STACK.replace("2048", '"many"'))
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@e", "commit", "-qam", "x"], cwd=repository, check=True
    )
    (repository / "stack.toml").write_text(STACK)
    done = run("plan", "--against", "git:main")
    assert done.returncode == 1
    assert "--> git:main:stack.toml:11:" in done.stderr
    assert "git:main:stack.toml: 1 problem" in done.stderr


def test_a_variable_that_only_the_new_revision_has(run: Run, repository: Path) -> None:
    new = STACK.replace("2048", '"{{ vars.length }}"').replace("[hosts", '[vars.length]\ntype = "int"\n\n[hosts', 1)
    (repository / "stack.toml").write_text(new)
    done = run("plan", "--against", "git:main", "--var", "length=4096")
    assert done.returncode == 0, done.stderr
    assert "2048 -> 4096" in done.stdout
    assert run("validate", "--var", "lenght=4096").returncode == 1


def test_a_stack_that_was_not_there_before(run: Run, repository: Path) -> None:
    done = run("plan", "--against", "none")
    assert done.returncode == 0, done.stderr
    assert "here/tiny   create" in done.stdout
    assert "1 host " in done.stdout


def test_no_changes_against_another_stack_do_not_say_that_the_hosts_match(run: Run, repository: Path) -> None:
    done = run("plan", "--against", "git:main", "--target", "tiny", "--format", "markdown")
    assert "This is a partial plan: --target tiny; for review only, planned against stack git:" in done.stdout
