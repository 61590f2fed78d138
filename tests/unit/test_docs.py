"""The documents are current and match the code."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import click

from cortexctl.cli.main import COMMANDS, cli
from cortexctl.desired.hook import Point
from cortexctl.hooks.runner import FACTS
from cortexctl.render.schemas import events_schema
from tools.picture import CASE, PICTURE, picture
from tools.reference import NOTES, anchor, pages

IN_ORDER = (Point.PRE_APPLY, Point.PRE_STOP, Point.POST_HEALTHY, Point.ON_FAILURE, Point.POST_APPLY)


def test_every_rule_has_its_section_and_every_section_its_rule(repo: Path) -> None:
    in_code = set(re.findall(r'"(CX\d{3})"', "".join(p.read_text() for p in (repo / "cortexctl").rglob("*.py"))))
    in_docs = set(re.findall(r"^## (CX\d{3}) ", (repo / "docs" / "reference" / "rules.md").read_text(), re.MULTILINE))
    assert in_code == in_docs


def test_the_reference_is_current(repo: Path) -> None:
    """Fails where `make reference` was forgotten after a change of an option, of the stack file, of a schema or a rule."""
    for file, text in pages().items():
        assert (repo / "docs" / "reference" / file).read_text() == text, f"{file}: run make reference"


def test_the_reference_has_a_section_for_every_command_and_for_no_other(repo: Path) -> None:
    page = (repo / "docs" / "reference" / "commands.md").read_text()
    assert re.findall(r"^## cortexctl ([a-z]+)$", page, re.MULTILINE) == list(COMMANDS)
    assert set(NOTES) == set(COMMANDS)


def test_the_picture_of_the_readme_is_current(repo: Path) -> None:
    assert "(docs/images/plan.svg)" in (repo / "README.md").read_text()
    assert PICTURE.read_text() == picture(), "run make reference"


def test_the_picture_shows_the_whole_plan_of_the_readme(repo: Path) -> None:
    case = (repo / "tests" / "cases" / "plan" / "readme" / "plan.txt").read_text()
    body = [line for line in case.splitlines() if not re.match(r"\s+(gpu-1/\d|Steps for the whole host)", line)]
    rows: dict[str, list[str]] = {}
    for text in ET.parse(PICTURE).iter("{http://www.w3.org/2000/svg}text"):
        rows.setdefault(text.attrib["y"], []).append(text.text or "")
    shown = ["".join(parts) for parts in rows.values()]
    assert [line.replace(" ", "") for line in shown[1:]] == [line.replace(" ", "") for line in body if line]


def test_the_stack_of_the_readme_is_the_one_of_the_picture(repo: Path) -> None:
    shown = re.findall(r"```toml\n(.*?)```", (repo / "README.md").read_text(), re.DOTALL)
    assert [tomllib.loads(text) for text in shown] == [tomllib.loads((CASE / "stack.toml").read_text())]


def test_the_readme_is_short(repo: Path) -> None:
    lines = (repo / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    assert max(map(len, lines)) <= 155


def documents(repo: Path) -> list[Path]:
    """Every page that people read."""
    return [*(repo / "docs").rglob("*.md"), *(repo / name for name in ("README.md", "CONTRIBUTING.md"))]


def test_every_link_leads_to_a_file_and_to_a_heading_that_exist(repo: Path) -> None:
    for page in documents(repo):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if re.match(r"[a-z]+://", target):
                continue
            file, _, heading = target.partition("#")
            linked = page.parent / file if file else page
            assert linked.exists(), f"{page.name} links to {target}"
            if heading:
                titles = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
                assert heading in map(anchor, titles), f"{page.name} links to {target}"


def test_the_index_names_every_page(repo: Path) -> None:
    index = repo / "docs" / "README.md"
    linked = {(index.parent / t).resolve() for t in re.findall(r"\]\(([^)#\s]+)\)", index.read_text())}
    assert set((repo / "docs").rglob("*.md")) - {index} <= linked


def command_lines(page: Path) -> Iterator[list[str]]:
    """The arguments of every call of cortexctl in a page's blocks of shell code."""
    for block in re.findall(
        r"(?:```sh\n(.*?)```|^((?:    cortexctl .*\n)+))", page.read_text(), re.DOTALL | re.MULTILINE
    ):
        for line in "".join(block).replace("\\\n", " ").splitlines():
            for call in re.findall(r"(?:^|[|;&]) *(cortexctl [^|;>&]*)", re.sub(r"(^| )#.*", "", line)):
                yield shlex.split(call)[1:]


def parsed(argv: list[str]) -> None:
    """Parse a command line without running it. Raises click.ClickException if cortexctl would refuse it."""
    command: click.Command = cli
    while True:
        try:
            context = command.make_context("cortexctl", list(argv))
        except click.exceptions.Exit:  # --help, --version
            return
        if not isinstance(command, click.Group):
            return
        argv = [*context._protected_args, *context.args]
        _, inner, argv = command.resolve_command(context, argv)
        assert inner is not None
        command = inner


def test_every_command_line_of_the_documents_is_one_that_cortexctl_takes(repo: Path) -> None:
    seen = 0
    for page in documents(repo):
        for argv in command_lines(page):
            try:
                parsed(argv)
            except click.ClickException as cause:
                raise AssertionError(f"{page.name}: cortexctl {shlex.join(argv)}: {cause.format_message()}") from None
            seen += 1
    assert seen > 60


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
        assert tests.count("`") == 2 * len(named), f"not the name of a test: {tests}"
        for file, test in named:
            texts = [p.read_text() for p in (repo / "tests").rglob(file)]
            assert any(re.search(rf"^def {test}\(", text, re.MULTILINE) for text in texts), f"{file} has no {test}"


def test_readme_and_guide_lead_to_the_security_page(repo: Path) -> None:
    assert "(docs/security.md)" in (repo / "README.md").read_text()
    assert "(../security.md)" in (repo / "docs" / "guides" / "pull-requests.md").read_text()


def test_every_path_that_contributing_names_exists(repo: Path) -> None:
    page = (repo / "CONTRIBUTING.md").read_text()
    named = [p for p in re.findall(r"`([a-z][\w./-]+)`", page) if "/" in p or p.endswith((".py", ".md", ".toml"))]
    assert len(named) > 50
    for path in named:
        assert (repo / path).exists() or (repo / "cortexctl" / path).exists(), f"there is no {path}"
