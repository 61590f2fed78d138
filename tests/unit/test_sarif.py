"""Diagnostics for code hosts: SARIF 2.1.0, as far as annotations need it (tests/fixtures/sarif-subset.json)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cortexctl.diagnostics import Kind, SourceSpan, error, warning
from cortexctl.render.rules import RULES
from cortexctl.render.sarif import sarif_json
from tests.reading import read
from tests.views import NASTY

STACK_CASES = sorted(p for p in (Path(__file__).parent.parent / "cases" / "stack").iterdir() if p.is_dir())
SPAN = SourceSpan("stacks/prod stück.toml", 41, 17, 22, "max_model_len = 32768")


@pytest.fixture(scope="module")
def essentials() -> Draft202012Validator:
    schema = json.loads((Path(__file__).parent.parent / "fixtures" / "sarif-subset.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def run_of(text: str) -> dict[str, Any]:
    run: dict[str, Any] = json.loads(text)["runs"][0]
    return run


def test_rules_are_called_as_the_documentation_calls_them(repo: Path) -> None:
    headings = re.findall(r"^## (CX\d{3}) (.*)$", (repo / "docs" / "reference" / "rules.md").read_text(), re.MULTILINE)
    assert dict(headings) == RULES


def test_every_rule_has_a_kind() -> None:
    assert [rule for rule in RULES if error(rule, "").kind is Kind.OTHER] == []


def test_a_result_has_its_line_and_columns(essentials: Draft202012Validator) -> None:
    diagnostics = [
        error("CX302", "not a value", SPAN, detail="it takes auto", help="choose another"),
        warning("CX209", "moves"),
    ]
    document = json.loads(sarif_json(diagnostics, "stacks/prod.toml"))
    essentials.validate(document)
    first, second = document["runs"][0]["results"]
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "stacks/prod%20st%C3%BCck.toml"
    assert place["region"] == {"startLine": 41, "startColumn": 17, "endColumn": 22}
    assert place["contextRegion"]["snippet"]["text"] == "max_model_len = 32768"
    assert first["message"]["text"] == "not a value. it takes auto. Help: choose another."
    assert (first["level"], second["level"]) == ("error", "warning")
    assert second["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "stacks/prod.toml"
    rules = document["runs"][0]["tool"]["driver"]["rules"]
    assert [r["id"] for r in rules] == ["CX209", "CX302"]
    assert all(rules[r["ruleIndex"]]["id"] == r["ruleId"] for r in document["runs"][0]["results"])
    assert rules[0]["shortDescription"]["text"] == "A moving image"
    assert rules[0]["defaultConfiguration"]["level"] == "warning"


def test_a_good_stack_has_a_run_without_results(essentials: Draft202012Validator) -> None:
    document = json.loads(sarif_json([], "stack.toml"))
    essentials.validate(document)
    assert document["runs"][0]["results"] == []


@pytest.mark.parametrize("folder", STACK_CASES, ids=lambda p: p.name)
def test_every_bad_stack_of_the_cases(folder: Path, essentials: Draft202012Validator) -> None:
    file = next(p for p in (folder / "stack.toml", folder / "stack.json", *sorted(folder.iterdir())) if p.exists())
    _, diagnostics = read(file)
    text = sarif_json(diagnostics, str(file))
    assert text == sarif_json(diagnostics, str(file))
    essentials.validate(json.loads(text))
    assert len(run_of(text)["results"]) == len(diagnostics)


@pytest.mark.parametrize("nasty", NASTY, ids=lambda t: repr(t[:20]))
def test_nasty_text(nasty: str, essentials: Draft202012Validator) -> None:
    span = replace(SPAN, path=nasty or "x", line_text=nasty)
    text = sarif_json([error("CX302", nasty, span, detail=nasty, help=nasty)], nasty)
    text.encode("utf-8")
    essentials.validate(json.loads(text))


def test_the_same_finding_keeps_its_fingerprint_when_lines_move() -> None:
    one, other = (
        run_of(sarif_json([error("CX302", "not a value", s)], ""))["results"][0]["partialFingerprints"]
        for s in (SPAN, replace(SPAN, line=50))
    )
    assert one == other


def test_the_subset_refuses_an_invalid_document(essentials: Draft202012Validator) -> None:
    good = json.loads(sarif_json([error("CX302", "x", SPAN)], ""))
    mutations: list[Callable[[Any], object]] = [
        lambda d: d.update(version="2.0.0"),
        lambda d: d.pop("runs"),
        lambda d: d["runs"][0].pop("tool"),
        lambda d: d["runs"][0]["results"][0].pop("message"),
        lambda d: d["runs"][0]["results"][0].update(level="fatal"),
        lambda d: d["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"].update(startLine=0),
        lambda d: d["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"].update(uri="a b"),
        lambda d: d["runs"][0]["results"][0].update(unknown=1),
    ]
    for break_it in mutations:
        bad = json.loads(json.dumps(good))
        break_it(bad)
        assert not essentials.is_valid(bad)
