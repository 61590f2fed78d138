"""What the documents say of the code is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

from cortexctl.cli.main import COMMANDS
from cortexctl.desired.hook import Point
from cortexctl.hooks.runner import FACTS
from cortexctl.render.schemas import events_schema

IN_ORDER = (Point.PRE_APPLY, Point.PRE_STOP, Point.POST_HEALTHY, Point.ON_FAILURE, Point.POST_APPLY)


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


def test_the_hooks_guide_names_every_fact_and_every_point(repo: Path) -> None:
    guide = (repo / "docs" / "guides" / "hooks.md").read_text()
    assert {name.lower() for name in re.findall(r"`CORTEXCTL_([A-Z]+)`", guide)} == set(FACTS)
    assert re.findall(r"^\| `([a-z]+_[a-z]+)` \|", guide, re.MULTILINE) == [p.value for p in IN_ORDER]


def test_the_audit_guide_names_every_type_of_event(repo: Path) -> None:
    guide = (repo / "docs" / "guides" / "audit.md").read_text()
    types = {t for t in json.loads(events_schema())["$defs"] if t not in {"reason", "outcome"}}
    assert types <= set(re.findall(r"`(\w+)`", guide))


def test_every_line_of_the_security_page_names_tests_that_there_are(repo: Path) -> None:
    page = (repo / "docs" / "security.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("|") and line not in {"| | test |", "| --- | --- |"}]
    assert len(lines) > 20
    for line in lines:
        *_, tests, _ = line.split("|")
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", tests)
        assert named, f"no test holds: {line}"
        assert tests.count("`") == 2 * len(named), f"this is no name of a test: {tests}"
        for file, test in named:
            texts = [p.read_text() for p in (repo / "tests").rglob(file)]
            assert any(re.search(rf"^def {test}\(", text, re.MULTILINE) for text in texts), f"{file} has no {test}"


def test_readme_and_guide_lead_to_the_security_page(repo: Path) -> None:
    assert "(docs/security.md)" in (repo / "README.md").read_text()
    assert "(../security.md)" in (repo / "docs" / "guides" / "pull-requests.md").read_text()
