"""Plans, events and the audit log are for their owner's eyes: they name hosts, people, and commands that apply runs."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cortexctl.audit.audit_log import AuditLog
from cortexctl.cli.run_output import run_output
from cortexctl.files.private import open_private, write_private
from cortexctl.plan.planfile import digest_of, plan_from_json
from tests.forks import ran
from tests.reading import model_text, stack_text


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@contextmanager
def open_umask() -> Iterator[None]:
    """What protects a file must not be the caller's umask. No process is started under it: it would keep it."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def write_plan(option: str) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        (file.parent / "stack.toml").write_text(stack_text(model_text()))
        done = ran("plan", "--against", "none", option, str(file), cwd=file.parent)
        assert done.returncode == 0, done.stderr

    return write


def write_audit_log(file: Path) -> None:
    with open_umask(), AuditLog(file) as log:
        log.write({"a": 1})
    assert not log.problem


def write_events(file: Path) -> None:
    with open_umask(), run_output(str(file), ""):
        pass


WRITERS = {"out": write_plan("--out"), "audit log": write_audit_log, "events": write_events}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize(
    ("before", "after"),
    [(None, 0o600), (0o600, 0o600), (0o644, 0o600), (0o666, 0o600), (0o640, 0o600), (0o755, 0o600), (0o200, 0o200)],
    ids=lambda m: "new" if m is None else oct(m),
)
def test_only_the_owner_reads_it(tmp_path: Path, write: Callable[[Path], None], before: int | None, after: int) -> None:
    file = tmp_path / "file.json"
    if before is not None:
        file.write_text("old\n" * 10_000)
        file.chmod(before)
    write(file)
    assert mode(file) == after
    text = file.read_text() if os.access(file, os.R_OK) else ""
    assert text.startswith("old") == (write is write_audit_log and before is not None and bool(text))


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_file_that_is_not_regular_keeps_its_mode(tmp_path: Path, write: Callable[[Path], None]) -> None:
    before = mode(Path("/dev/null"))
    (tmp_path / "file.json").symlink_to("/dev/null")
    write(tmp_path / "file.json")
    assert mode(Path("/dev/null")) == before


def test_a_file_of_another_user_is_appended_to_and_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner of a plan can change it between its approval and its apply. The mode of a shared log was chosen by its owner."""
    file = tmp_path / "file"
    file.write_text("theirs")
    file.chmod(0o660)
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="belongs to another user"):
        write_private(file, "ours")
    assert file.read_text() == "theirs"

    def refused(_file: int, _mode: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "fchmod", refused)
    os.close(open_private(file, add=True))
    assert mode(file) == 0o660


def hooked(tmp_path: Path) -> Path:
    """A saved plan that runs a program, made without a host."""
    hook = '[hooks.before]\non = "pre_apply"\ncommand = ["true"]\n'
    (tmp_path / "stack.toml").write_text(stack_text(model_text()) + hook)
    done = ran("plan", "--against", "none", "--out", "plan.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path / "plan.json"


def test_a_plans_digest_finds_accidents_and_no_attacker(tmp_path: Path) -> None:
    file = hooked(tmp_path)
    document = json.loads(file.read_text())
    document["hooks"][0]["command"] = ["false"]
    file.write_text(json.dumps(document))
    assert "it was changed after it was created" in ran("apply", str(file), cwd=tmp_path).stderr
    file.write_text(json.dumps({**document, "digest": digest_of(document)}))
    assert plan_from_json(file.read_text()).hooks[0].command == ("false",)


def test_a_plan_for_review_is_not_applied(tmp_path: Path) -> None:
    done = ran("apply", str(hooked(tmp_path)), cwd=tmp_path)
    assert done.returncode == 4
    assert "was planned for review, against stack none" in done.stderr
