"""Git reads the intended checkout. No file of a commit is read instead of it, and none runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cortexctl.audit.provenance import Revision, revision_of
from cortexctl.files.checkout import Checkout, checkout_of, leads_out
from cortexctl.files.git import GitRefused, file_at, git_at
from tests.forks import ran
from tests.hostile import commit, git, lookalike, repository
from tests.reading import model_text, stack_text

BEFORE = stack_text(model_text() + "[models.tiny.args]\nmax_model_len = 1024\n")
AFTER = BEFORE.replace("1024", "2048")
CHANGE = "1024 -> 2048"


@pytest.fixture(params=["", "stacks/", "a/b/"])
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The stack of a checkout that was changed, in a folder that looks like a repository in which nothing changed."""
    top = repository(tmp_path / "real", {f"{request.param}x.toml": BEFORE})
    stack = top / f"{request.param}x.toml"
    stack.write_text(AFTER)
    lookalike(stack.parent, AFTER, "x.toml", tmp_path / "ran")
    return stack


def test_a_plan_compares_with_the_real_repository_and_nothing_runs(real: Path, tmp_path: Path) -> None:
    for cwd, name in (
        (real.parent, real.name),
        (tmp_path / "real", str(real)),
        (tmp_path, os.path.relpath(real, tmp_path)),
    ):
        done = ran("plan", name, "--against", "git:origin/main", cwd=cwd)
        assert done.returncode == 0, done.stderr
        assert CHANGE in done.stdout
    assert not (tmp_path / "ran").exists()


def test_variables_of_git_lead_nowhere_else(real: Path, tmp_path: Path) -> None:
    other = repository(tmp_path / "other", {"x.toml": AFTER})
    for index in ("", str(other / ".git" / "index")):
        env = {**os.environ, "GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other), "GIT_INDEX_FILE": index}
        done = ran("plan", real.name, "--against", "git:main", cwd=real.parent, env=env)
        assert CHANGE in done.stdout, done.stderr
    env = {**os.environ, "GIT_SSH_COMMAND": f"touch {tmp_path}/ran", "GIT_EXTERNAL_DIFF": f"touch {tmp_path}/ran"}
    assert CHANGE in ran("plan", real.name, "--against", "git:main", cwd=real.parent, env=env).stdout
    assert not (tmp_path / "ran").exists()


def test_a_lookalike_alone_is_no_checkout(tmp_path: Path) -> None:
    folder = tmp_path / "stacks"
    folder.mkdir()
    (folder / "x.toml").write_text(BEFORE)
    lookalike(folder, AFTER, "x.toml", tmp_path / "ran")
    done = ran("plan", "x.toml", "--against", "git:main", cwd=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"Error: --against git:main: {folder} is not in a git checkout"
    assert revision_of(folder / "x.toml") == Revision()
    assert not (tmp_path / "ran").exists()


def test_a_broken_git_entry_does_not_let_a_lookalike_answer(tmp_path: Path) -> None:
    """Git skips a .git that is not a repository, and would then read the look-alike beside or above it."""
    folder = tmp_path / "stacks"
    (folder / ".git").mkdir(parents=True)
    (folder / "x.toml").write_text(BEFORE)
    lookalike(folder, AFTER, "x.toml", tmp_path / "ran")
    repository(tmp_path, {"y": "z"})
    done = ran("plan", "x.toml", "--against", "git:main", cwd=folder)
    assert done.returncode == 1
    assert f"git cannot read {folder}: " in done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_worktree_is_a_checkout_of_its_own(tmp_path: Path) -> None:
    top = repository(tmp_path / "real", {"stacks/x.toml": BEFORE})
    git(top, "worktree", "add", "--quiet", "-b", "change", str(tmp_path / "tree"))
    stack = tmp_path / "tree" / "stacks" / "x.toml"
    commit(tmp_path / "tree", {"stacks/x.toml": AFTER})
    lookalike(stack.parent, AFTER, "x.toml", tmp_path / "ran")
    done = ran("plan", "stacks/x.toml", "--against", "git:main", cwd=tmp_path / "tree")
    assert CHANGE in done.stdout, done.stderr
    assert revision_of(stack) == Revision(git(tmp_path / "tree", "rev-parse", "HEAD"))
    assert revision_of(top / "stacks" / "x.toml") == Revision(git(top, "rev-parse", "HEAD"))
    assert not (tmp_path / "ran").exists()


def test_a_worktree_of_a_bare_repository_is_one_too(tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(repository(tmp_path / "real", {"x.toml": BEFORE})), "bare.git")
    git(tmp_path / "bare.git", "worktree", "add", "--quiet", str(tmp_path / "tree"), "main")
    (tmp_path / "tree" / "x.toml").write_text(AFTER)
    assert CHANGE in ran("plan", "x.toml", "--against", "git:main", cwd=tmp_path / "tree").stdout
    assert revision_of(tmp_path / "tree" / "x.toml") == Revision(
        git(tmp_path / "tree", "rev-parse", "HEAD"), dirty=True
    )


def test_a_repository_whose_work_tree_is_elsewhere_is_refused(tmp_path: Path) -> None:
    top = repository(tmp_path / "real", {"x.toml": BEFORE})
    (tmp_path / "elsewhere").mkdir()
    git(top, "config", "core.worktree", str(tmp_path / "elsewhere"))
    with pytest.raises(GitRefused, match="git uses another folder for the checkout"):
        git_at(checkout_of(top / "x.toml"))
    done = ran("plan", "x.toml", "--against", "git:main", cwd=top)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("key", ["clean", "process"])
def test_the_revision_of_an_apply_runs_no_program_of_the_config(tmp_path: Path, key: str) -> None:
    """The user's own config may name filters. The attributes of a commit cannot run them."""
    top = repository(tmp_path / "real", {"s/x.toml": BEFORE, ".gitattributes": "*.toml filter=own.x\n"})
    git(top, "config", f"filter.own.x.{key}", f"touch {tmp_path}/ran; cat")
    git(top, "config", "filter.own.x.required", "true")
    git(top, "config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
    stack = top / "s" / "x.toml"
    head = git(top, "-c", "core.fsmonitor=false", "rev-parse", "HEAD")
    os.utime(stack, (1, 1))  # git has to compare the text
    assert revision_of(stack) == Revision(head)
    stack.write_text(AFTER)
    assert revision_of(stack) == Revision(head, dirty=True)
    assert not (tmp_path / "ran").exists()


def test_the_file_of_a_revision_is_as_it_was_committed(tmp_path: Path) -> None:
    top = repository(tmp_path / "real", {"x.toml": BEFORE, ".gitattributes": "*.toml diff=own filter=own\n"})
    git(top, "config", "diff.own.textconv", f"touch {tmp_path}/ran; echo other")
    git(top, "config", "filter.own.smudge", f"touch {tmp_path}/ran; echo other")
    assert file_at(git_at(checkout_of(top / "x.toml")), "main", "x.toml", 10**6) == BEFORE.encode()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("revision", "path", "why"),
    [
        ("", "x.toml", "it names no revision"),
        ("--output=x", "x.toml", "a revision cannot begin with a minus"),
        ("none", "x.toml", "there is no revision none in"),
        ("main:x.toml", "x.toml", "there is no revision main:x.toml in"),
        ("main", "y.toml", "y.toml does not exist in that revision"),
        ("main", "d", "d is a folder in that revision"),
        ("main", "out", "out is a link in that revision to a file that the revision does not have"),
        ("main", "lost", "lost is a link in that revision to a file that the revision does not have"),
        ("main", "x.toml", "x.toml is larger in that revision than a stack can be"),
        ("main", "a\nb", "a path that contains a line break is not supported"),
        ("both", "x.toml", "the name is ambiguous; write one of refs/tags/both, refs/heads/both"),
        ("both~0", "x.toml", "the name is ambiguous; write one of refs/tags/both, refs/heads/both"),
    ],
)
def test_an_error_names_what_a_revision_lacks(tmp_path: Path, revision: str, path: str, why: str) -> None:
    top = tmp_path / "real"
    top.mkdir()
    (top / "out").symlink_to("/etc/hostname")
    (top / "lost").symlink_to("nowhere")
    repository(top, {"x.toml": BEFORE, "d/y": ""})
    git(top, "tag", "both")
    git(top, "branch", "both")
    with pytest.raises(GitRefused) as refused:
        file_at(git_at(checkout_of(top / "x.toml")), revision, path, 10)
    assert str(refused.value).startswith(why)


def test_a_link_is_followed_in_the_revision_and_not_here(tmp_path: Path) -> None:
    """If the request changes the target of the link, the change is between the two files."""
    top = tmp_path / "real"
    (top / "s").mkdir(parents=True)
    (top / "stack.toml").symlink_to("s/one.toml")
    repository(top, {"s/one.toml": BEFORE, "s/two.toml": AFTER})
    (top / "stack.toml").unlink()
    (top / "stack.toml").symlink_to("s/two.toml")
    assert CHANGE in ran("plan", "--against", "git:main", cwd=top).stdout


def test_a_tag_called_like_the_base_branch_does_not_stand_for_it(tmp_path: Path) -> None:
    top = repository(tmp_path / "real", {"x.toml": BEFORE})
    commit(top, {"x.toml": AFTER})
    git(top, "tag", "origin/main")
    done = ran("plan", "x.toml", "--against", "git:origin/main", cwd=top)
    assert done.returncode == 1
    assert "write one of refs/tags/origin/main, refs/remotes/origin/main" in done.stderr
    assert CHANGE in ran("plan", "x.toml", "--against", "git:refs/remotes/origin/main", cwd=top).stdout


def test_a_link_in_a_checkout_belongs_to_it_wherever_it_leads(tmp_path: Path) -> None:
    top, other = (repository(tmp_path / name, {"s/x.toml": BEFORE}) for name in ("real", "other"))
    (top / "away").symlink_to(other)
    (top / "out.toml").symlink_to(other / "s" / "x.toml")
    (top / "in.toml").symlink_to("s/x.toml")
    (tmp_path / "mine").symlink_to(top)
    for name, out in (("away/s/x.toml", True), ("out.toml", True), ("in.toml", False), ("s/x.toml", False)):
        assert checkout_of(top / name) == Checkout(top, is_git=True), name
        assert leads_out(top / name) is out, name
    assert not leads_out(tmp_path / "mine" / "s" / "x.toml"), "a link to a checkout is the user's own"
    assert checkout_of(tmp_path / "x") == Checkout(tmp_path, is_git=False)


def test_the_error_without_git_is_one_sentence(tmp_path: Path) -> None:
    top = repository(tmp_path / "real", {"x.toml": BEFORE})
    done = ran("plan", "x.toml", "--against", "git:main", cwd=top, env={**os.environ, "PATH": str(tmp_path)})
    assert done.stderr == f"Error: --against git:main: git cannot read {top}: git is not installed\n"
