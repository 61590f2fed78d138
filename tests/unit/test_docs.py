"""What the documents say of the code is so."""

from __future__ import annotations

import re
from pathlib import Path

from cortexctl.cli.main import COMMANDS


def test_every_rule_has_its_section_and_every_section_its_rule(repo: Path) -> None:
    in_code = set(re.findall(r'"(CX\d{3})"', "".join(p.read_text() for p in (repo / "cortexctl").rglob("*.py"))))
    in_docs = set(re.findall(r"^## (CX\d{3}) ", (repo / "docs" / "rules.md").read_text(), re.MULTILINE))
    assert in_code == in_docs


def test_the_readme_names_every_command_and_no_other(repo: Path) -> None:
    table = re.findall(r"^\| `cortexctl ([a-z]+)", (repo / "README.md").read_text(), re.MULTILINE)
    assert set(table) == set(COMMANDS)


def test_the_readme_shows_what_a_plan_looks_like_now(repo: Path) -> None:
    case = (repo / "tests" / "cases" / "plan" / "readme" / "plan.txt").read_text()
    shown = (repo / "README.md").read_text()
    body = "\n".join(line for line in case.splitlines() if not re.match(r"\s+gpu-1/\d", line))
    assert body.strip() in shown
