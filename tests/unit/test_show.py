"""`show`, and the formats of `plan` and `validate`, from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cortexctl.plan.planfile import digest_of, plan_to_json
from cortexctl.render.plan.html import plan_html
from cortexctl.render.plan.markdown import LEAST_BYTES, plan_markdown
from tests.reading import model_text, stack_text
from tests.views import case, large_plan, rich_plan

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs cortexctl in an empty folder, in a locale that has no UTF-8."""
    known = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR", "DOCKER_HOST"}}

    def go(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cortexctl", *arguments],
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=60,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            env={**known, "DOCKER_HOST": f"unix://{tmp_path}/none.sock", "PYTHONIOENCODING": "ascii"},
        )

    return go


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    (tmp_path / "plan.json").write_text(plan_to_json(rich_plan()), encoding="utf-8")
    return tmp_path / "plan.json"


def test_every_format_of_a_saved_plan(run: Run, saved: Path) -> None:
    plan = rich_plan()
    shown = run("show", "plan.json")
    assert shown.returncode == 0
    assert shown.stderr == ""
    assert shown.stdout.startswith("This plan has 1 error and cannot be applied. The errors")
    assert "Stack inference-prod (stacks/prod.toml)" in shown.stdout
    assert "vllm-model-llama-70b, SIGKILL after" not in shown.stdout
    assert "vllm-model-llama-70b, SIGKILL after" in run("show", "plan.json", "--explain").stdout
    assert run("show", "plan.json", "--format", "json").stdout == saved.read_text(encoding="utf-8")
    assert run("show", "plan.json", "--format", "markdown").stdout == plan_markdown(plan)
    assert run("show", "plan.json", "--format", "html").stdout == plan_html(plan)


def test_the_next_command_is_to_apply_that_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text(plan_to_json(case("replace_argument")), encoding="utf-8")
    for output_format in ("text", "markdown", "html"):
        assert "cortexctl apply good.json" in run("show", "good.json", "--format", output_format).stdout
    assert not run("show", "good.json").stdout.startswith("This plan has")


def test_a_budget_is_respected_and_is_only_for_markdown(run: Run, tmp_path: Path) -> None:
    (tmp_path / "large.json").write_text(plan_to_json(large_plan(300)), encoding="utf-8")
    shown = run("show", "large.json", "--format", "markdown", "--max-bytes", "7000").stdout
    assert len(shown.encode()) <= 7000
    wrong = run("show", "large.json", "--max-bytes", "7000")
    assert wrong.returncode == 1
    assert "--max-bytes needs --format markdown" in wrong.stderr
    assert run("show", "large.json", "--format", "markdown", "--max-bytes", str(LEAST_BYTES - 1)).returncode == 1


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[]", "it is not a plan saved by cortexctl plan --out"),
        ("stack = 'x'", "it is not a plan saved by cortexctl plan --out"),
        ('{"format_version": "9.0"}', "its format is 9.0; this cortexctl reads 2.0"),
        ('{"format_version": "2.0", "changes": 3}', "it was changed after it was created"),
        (json.dumps({"format_version": "2.0", "digest": digest_of({"format_version": "2.0"})}), "it is damaged"),
        (b"\xff\xfe\x00", "it is not text"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_is_not_a_plan_is_refused_in_one_sentence(
    run: Run, tmp_path: Path, text: str | bytes | None, error: str
) -> None:
    if text is not None:
        (tmp_path / "x.json").write_bytes(text.encode() if isinstance(text, str) else text)
    shown = run("show", "x.json")
    assert shown.returncode == 1
    assert shown.stdout == ""
    assert error in shown.stderr
    assert "Traceback" not in shown.stderr


def test_plan_has_the_same_formats(run: Run, tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(stack_text(model_text()))
    marks = {
        "text": "Stack demo",
        "json": '{\n  "format_version"',
        "markdown": "<!-- cortexctl:plan",
        "html": "<!doctype html>",
    }
    for output_format, mark in marks.items():
        done = run("plan", "--format", output_format, "--out", f"{output_format}.json")
        assert done.stdout.startswith(mark)
        assert "CX401" in done.stdout
        assert done.returncode == 1
        again = run("show", f"{output_format}.json", "--format", output_format).stdout
        assert (
            again.removeprefix("This plan has 1 error and cannot be applied. The errors are listed below.\n\n")
            == done.stdout
        )


def test_validate_in_every_format(run: Run, tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(stack_text(model_text(gpuz="1")))
    sarif = run("validate", "--format", "sarif")
    assert sarif.returncode == 1
    result = json.loads(sarif.stdout)["runs"][0]["results"][0]
    assert result["ruleId"] == "CX102"
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "stack.toml"
    assert json.loads(run("validate", "--format", "json").stdout)["error_count"] == 1
    assert run("validate").stdout.startswith("Error[CX102]")


def test_the_schema_of_a_plan_is_printed(run: Run, repo: Path) -> None:
    assert run("schema", "plan").stdout == (repo / "schemas" / "plan.schema.json").read_text()
