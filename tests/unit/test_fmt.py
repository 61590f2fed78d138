"""cortexctl fmt. Every folder under tests/cases/fmt is a case: before.toml or before.json, and its formatted text."""

from __future__ import annotations

import os
import pty
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cortexctl.stack.document import UnreadableDocument
from cortexctl.stack.edit import layout
from cortexctl.stack.edit.layout import formatted
from cortexctl.stack.starter import TEMPLATES, starter
from tests.forks import ran

CASES = Path(__file__).parent.parent / "cases" / "fmt"
FOLDERS = sorted(p for p in CASES.iterdir() if p.is_dir())
UGLY = b"a=1\r\nb = [ 1,2 ]   #two"
PRETTY = "a = 1\nb = [1, 2]  # two\n"
BROKEN = "stack = demo\n"


def _files(case: Path) -> tuple[Path, Path]:
    before = next(case.glob("before.*"))
    return before, before.with_stem("after")


@pytest.mark.parametrize("case", FOLDERS, ids=lambda p: p.name)
def test_case(case: Path) -> None:
    before, after = _files(case)
    assert formatted(before.name, before.read_bytes().decode()) == after.read_bytes().decode()


@pytest.mark.parametrize("case", FOLDERS, ids=lambda p: p.name)
def test_a_formatted_case_stays_unchanged(case: Path) -> None:
    after = _files(case)[1]
    assert formatted(after.name, after.read_bytes().decode()) == after.read_bytes().decode()


def test_the_cases_still_contain_what_editors_like_to_fix() -> None:
    assert (CASES / "crlf" / "before.toml").read_bytes().count(b"\r\n") > 5
    assert (CASES / "byte_order_mark" / "before.toml").read_bytes().startswith(b"\xef\xbb\xbf")
    assert b"  \n" in (CASES / "multi_line_strings" / "after.toml").read_bytes()
    assert not (CASES / "no_line_end_at_the_end" / "before.toml").read_bytes().endswith(b"\n")


def test_a_layout_that_changes_a_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("a = 1.0\n", "a = 0x1\n", "a = 1\nb = 2\n", "# c\na = 1\n", "a = \n"):
        monkeypatch.setattr(layout, "_toml", lambda parts, wrong=wrong: wrong)
        with pytest.raises(UnreadableDocument) as refused:
            formatted("stack.toml", "a = 1")
        assert "cannot be formatted without a change of its content" in refused.value.diagnostic.summary
    monkeypatch.setattr(layout, "_json", lambda parts: '{"a": 10}\n')
    with pytest.raises(UnreadableDocument):
        formatted("stack.json", '{"a": 1e1}')


def test_nesting_that_only_the_layout_finds_too_deep_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def deep(parts: object) -> str:
        raise RecursionError

    monkeypatch.setattr(layout, "_toml", deep)
    with pytest.raises(UnreadableDocument, match="nested too deeply to be formatted"):
        formatted("stack.toml", "a = 1")


DEEP = [("x.toml", "a = ", "[", "]"), ("x.toml", "a = ", "{b = ", "}"), ("x.json", "", '{"a":', "}")]


@pytest.mark.parametrize(("name", "start", "opens", "closes"), DEEP)
def test_deep_nesting_is_laid_out_or_refused(name: str, start: str, opens: str, closes: str) -> None:
    middle = "" if opens == "[" else "1"
    formatted(name, start + opens * 100 + middle + closes * 100)
    for depth in (300, 400, 460, 480, 490, 900):
        try:
            formatted(name, start + opens * depth + middle + closes * depth)
        except UnreadableDocument as cause:
            assert "nested too deeply" in str(cause)  # noqa: PT017 - which depths are too deep is Python's affair
    with pytest.raises(UnreadableDocument, match="nested too deeply"):
        formatted(name, start + opens * 100_000 + middle + closes * 100_000)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("stack.toml", "a = ", "not valid TOML"),
        ("stack.toml", "a = 1\na = 2", "not valid TOML"),
        ("stack.toml", "\u00a0", "is empty"),
        ("stack.json", "", "is empty"),
        ("stack.json", "{'a': 1}", "not valid JSON"),
        ("stack.json", '{"a": 1, "a": 2}', "is twice in"),
        ("stack.json", "[1]", "is not a table"),
    ],
)
def test_an_unreadable_text_has_the_same_error_as_in_validate(name: str, text: str, sentence: str) -> None:
    with pytest.raises(UnreadableDocument) as refused:
        formatted(name, text)
    assert refused.value.diagnostic.rule == "CX101"
    assert sentence in refused.value.diagnostic.summary


@pytest.mark.parametrize("template", sorted(TEMPLATES))
@pytest.mark.parametrize("folder", ["x", "a-much-longer-name-than-that-of-the-template"])
def test_init_writes_a_formatted_file(template: str, folder: str) -> None:
    assert formatted("stack.toml", starter(template, folder)) == starter(template, folder)


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fmt(tmp_path: Path) -> Run:
    """Runs `cortexctl fmt` in an empty folder."""

    def go(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return ran("fmt", *arguments, cwd=tmp_path, stdin=stdin)

    return go


def test_the_stacks_of_this_repository_are_laid_out(fmt: Run, repo: Path) -> None:
    done = fmt("--check", *map(str, sorted((repo / "stacks").glob("*.toml"))))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_file_is_written_and_named_once(fmt: Run, tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_bytes(UGLY)
    done = fmt()
    assert (done.returncode, done.stdout, done.stderr) == (0, "stack.toml\n", "")
    assert (tmp_path / "stack.toml").read_bytes() == PRETTY.encode()
    inode = (tmp_path / "stack.toml").stat().st_ino
    again = fmt()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert (tmp_path / "stack.toml").stat().st_ino == inode, "what need not change is not written"


def test_check_writes_nothing_and_exits_with_3(fmt: Run, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(UGLY)
    (tmp_path / "b.toml").write_text(PRETTY)
    done = fmt("--check", "a.toml", "b.toml")
    assert (done.returncode, done.stdout, done.stderr) == (3, "a.toml\n", "")
    assert (tmp_path / "a.toml").read_bytes() == UGLY
    assert fmt("--check", "b.toml").returncode == 0


def test_a_byte_order_mark_and_carriage_returns_are_changes(fmt: Run, tmp_path: Path) -> None:
    for text in (b"\xef\xbb\xbfa = 1\n", b"a = 1\r\n", b"a = 1"):
        (tmp_path / "stack.toml").write_bytes(text)
        assert fmt("--check").returncode == 3
        assert fmt().returncode == 0
        assert (tmp_path / "stack.toml").read_bytes() == b"a = 1\n"


def test_diff_shows_a_patch_and_writes_nothing(fmt: Run, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"a=1\r\nb = 2\n\n# \xe2\x80\xa8c=3 \nd = 4")
    before = (tmp_path / "a.toml").read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "cortexctl", "fmt", "--diff", "a.toml"], capture_output=True, check=True, cwd=tmp_path
    )
    assert done.stdout == (
        b"--- a.toml\n+++ a.toml\n@@ -1,5 +1,5 @@\n-a=1\r\n+a = 1\n b = 2\n \n"
        b"-# \xe2\x80\xa8c=3 \n-d = 4\n\\ No newline at end of file\n+# \xe2\x80\xa8c=3\n+d = 4\n"
    )
    assert (tmp_path / "a.toml").read_bytes() == before
    assert fmt("--diff", "--check", "a.toml").returncode == 3
    assert fmt("a.toml").returncode == 0
    clean = fmt("--diff", "--check", "a.toml")
    assert (clean.returncode, clean.stdout) == (0, "")


def test_the_diff_is_what_git_applies(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(UGLY)
    patch = subprocess.run(
        [sys.executable, "-m", "cortexctl", "fmt", "--diff", "a.toml"], capture_output=True, check=True, cwd=tmp_path
    )
    subprocess.run(["git", "apply", "-p0", "-"], input=patch.stdout, check=True, cwd=tmp_path)
    assert (tmp_path / "a.toml").read_bytes() == PRETTY.encode()


def test_nothing_hides_in_a_diff_on_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes('a="\x9b31m"\r\n'.encode())
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "cortexctl", "fmt", "--diff", "a.toml"], stdout=theirs, check=True, cwd=tmp_path
    )
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert '-a="\N{REPLACEMENT CHARACTER}31m"\N{SYMBOL FOR CARRIAGE RETURN}' in shown
    assert "\x9b" not in shown


@pytest.mark.parametrize(
    ("text", "formatted_text"),
    [
        ("a=1 #é", "a = 1  # é\n"),
        ("a = 1\n", "a = 1\n"),
        ('\ufeff \n{"a":1}', '{\n  "a": 1\n}\n'),
        ("", ""),
    ],
    ids=["TOML", "TOML that needs no change", "JSON after a byte order mark", "nothing"],
)
def test_stdin_is_written_to_stdout_in_its_layout(fmt: Run, text: str, formatted_text: str) -> None:
    done = fmt("-", stdin=text)
    assert (done.returncode, done.stdout) == (0, formatted_text)


def test_stdin_is_checked_under_the_name_of_a_dash(fmt: Run) -> None:
    done = fmt("-", "--check", stdin="a=1")
    assert (done.returncode, done.stdout) == (3, "-\n")


def test_stdin_is_shown_as_a_diff(fmt: Run) -> None:
    assert "-a=1\n+a = 1\n" in fmt("-", "--diff", stdin="a=1\n").stdout


def test_an_error_in_stdin_has_its_position_and_nothing_is_written(fmt: Run) -> None:
    done = fmt("-", stdin=BROKEN)
    assert (done.returncode, done.stdout) == (1, "")
    assert "--> stdin.toml:1:9" in done.stderr


def test_stdin_is_not_formatted_together_with_files(fmt: Run) -> None:
    done = fmt("-", "a.toml")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be combined with files" in done.stderr


def test_a_broken_file_stays_and_the_others_are_formatted(fmt: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text(BROKEN)
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'\n")
    (tmp_path / "a.toml").write_bytes(UGLY)
    (tmp_path / "b.json").write_text("{}")
    for extra in ([], ["--check"]):
        done = fmt("broken.toml", "latin.toml", "nowhere.toml", ".", "a.toml", "b.json", *extra)
        assert done.returncode == 1, "an error counts for more than a change"
        assert "Error[CX101] not valid TOML" in done.stderr
        assert re.search(r"--> broken\.toml:1:9\n +\|\n1 \| stack = demo\n +\| +\^\n", done.stderr)
        assert "latin.toml is not UTF-8 text" in done.stderr
        assert "there is no file nowhere.toml" in done.stderr
        assert "cortexctl init" in done.stderr
        assert ". is a folder" in done.stderr
        assert "Traceback" not in done.stderr
        assert (tmp_path / "broken.toml").read_text() == BROKEN
        assert done.stdout == ("" if extra else "a.toml\nb.json\n")
    assert (tmp_path / "a.toml").read_text() == PRETTY


def test_a_secret_beside_a_fault_is_not_shown(fmt: Run, tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text('api_key = "OPENLYWRITTEN\n')
    done = fmt()
    assert done.returncode == 1
    assert "OPENLYWRITTEN" not in done.stderr


def test_the_mode_and_a_link_stay_and_nothing_is_left_behind(fmt: Run, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "stack.toml").write_bytes(UGLY)
    (real / "stack.toml").chmod(0o640)
    (tmp_path / "link.toml").symlink_to("real/stack.toml")
    assert fmt("link.toml").stdout == "link.toml\n"
    assert (tmp_path / "link.toml").is_symlink()
    assert (real / "stack.toml").read_text() == PRETTY
    assert stat.S_IMODE((real / "stack.toml").stat().st_mode) == 0o640
    assert sorted(p.name for p in real.iterdir()) == ["stack.toml"]


def test_a_write_that_fails_leaves_the_old_text_and_the_others_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It runs within this process, because a full disk is not available otherwise."""
    from cortexctl.cli.main import run

    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_bytes(UGLY)
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == "a.toml":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    monkeypatch.chdir(tmp_path)
    assert run(["fmt", "a.toml", "b.toml"]) == 1
    assert "cannot write a.toml: No space left on device" in capsys.readouterr().err
    assert (tmp_path / "a.toml").read_bytes() == UGLY
    assert (tmp_path / "b.toml").read_text() == PRETTY
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.toml", "b.toml"]


def test_the_hook_runs_a_command_that_there_is(repo: Path) -> None:
    hook = (repo / ".pre-commit-hooks.yaml").read_text()
    assert "id: cortexctl-fmt\n" in hook
    assert "entry: cortexctl fmt\n" in hook
    pattern = re.search(r"files: (.+)", hook)
    assert pattern is not None
    assert [
        bool(re.search(pattern[1], f)) for f in ("stack.toml", "prod/stack.json", "mystack.toml", "package.json")
    ] == [
        True,
        True,
        False,
        False,
    ]
