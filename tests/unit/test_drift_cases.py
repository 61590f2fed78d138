"""Every folder under tests/cases/drift is a case: a stack, its observed hosts, and the report in every format.

A new case: see tests.record_drift_case.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from cortexctl.operations.results import Durations
from cortexctl.plan.drift.finding import Code, DriftReport, Kind
from cortexctl.render.drift.json_report import drift_json
from cortexctl.render.drift.phrases import MEANINGS, finding_text, next_step
from cortexctl.render.drift.terminal import drift_text
from cortexctl.render.schemas import drift_schema
from cortexctl.render.style import Ink
from tests.record_drift_case import CASES, observation_file, report_of_case, views_of

FOLDERS = sorted(p for p in CASES.iterdir() if p.is_dir())
SCHEMA: dict[str, Any] = json.loads(drift_schema())
VALIDATOR = Draft202012Validator(SCHEMA)

cases = pytest.mark.parametrize("case", FOLDERS, ids=lambda p: p.name)


@cases
def test_case(case: Path) -> None:
    for name, text in views_of(report_of_case(case)).items():
        assert text == (case / name).read_text(), name


@cases
def test_recording_again_changes_nothing(case: Path) -> None:
    assert observation_file(case) == (case / "observed.json").read_text()


@cases
def test_the_json_is_valid_and_two_readings_give_the_same_bytes(case: Path) -> None:
    report = report_of_case(case)
    VALIDATOR.validate(json.loads((case / "report.json").read_text()))
    assert views_of(report) == views_of(report_of_case(case))
    later = json.loads(drift_json(report, Durations(1_800_000_000, 9.0)))
    assert later["digest"] == json.loads((case / "report.json").read_text())["digest"]


@cases
def test_colour_only_adds_colour(case: Path) -> None:
    report = report_of_case(case)
    coloured = drift_text(report, Ink(enabled=True))
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == drift_text(report, Ink(enabled=False))


@cases
def test_the_official_parser_reads_the_metrics_and_they_equal_the_json(case: Path) -> None:
    families = {f.name: f for f in text_string_to_metric_families((case / "report.prom").read_text())}
    assert {f.type for f in families.values()} == {"gauge"}
    assert all(f.documentation for f in families.values())
    report = json.loads((case / "report.json").read_text())
    counts = {s.labels["kind"]: s.value for s in families["cortexctl_drift_findings"].samples}
    assert counts == report["counts"]
    series = families["cortexctl_drift_finding"].samples
    assert all(n == 1 for n in Counter(json.dumps(s.labels, sort_keys=True) for s in series).values()), (
        "no series twice"
    )
    unmanaged = "unmanaged" in (re.findall(r"--kind (\w+)", " ".join(report["selection"])) or ())
    subjects = {f["subject"] for f in report["findings"] if f["kind"] != "unmanaged" or unmanaged}
    assert {s.labels["subject"] for s in series} == subjects
    for family in families.values():
        for sample in family.samples:
            assert (sample.labels["stack"], sample.labels["env"]) == (report["stack"]["name"], report["stack"]["env"])


@cases
def test_no_planted_secret_is_in_any_format(case: Path) -> None:
    report = report_of_case(case)
    for text in (*views_of(report).values(), repr(report)):
        assert "planted" not in text
        assert "hf-old" not in text


@cases
def test_what_is_quiet_is_one_line(case: Path) -> None:
    text = (case / "report.txt").read_text()
    if text.startswith("No "):
        assert text.count("\n") == 1
        assert json.loads((case / "report.json").read_text())["findings"] == [] or "not touched" in text
    else:
        assert not report_of_case(case).busy or "not checked" in text


def test_there_are_cases_for_everything_that_can_be_found() -> None:
    findings = [f for case in FOLDERS for f in json.loads((case / "report.json").read_text())["findings"]]
    assert {f["code"] for f in findings} == set(Code)
    assert {f["kind"] for f in findings} == set(Kind)
    kinds: dict[str, set[str]] = {}
    for f in findings:
        kinds.setdefault(f["code"], set()).add(f["kind"])
    assert {code: names for code, names in kinds.items() if len(names) > 1} == {}, "a code is of one kind"


def test_every_kind_and_code_has_its_text() -> None:
    assert set(MEANINGS) == set(Kind)
    for case in FOLDERS:
        report: DriftReport = report_of_case(case)
        for f in report.findings:
            assert finding_text(f)
            assert next_step(f, report) or f.code is Code.FOREIGN


def test_the_schema_is_the_published_one_and_has_every_kind_and_code(repo: Path) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert (repo / "schemas" / "drift.schema.json").read_text() == drift_schema()
    finding = SCHEMA["$defs"]["finding"]["properties"]
    assert finding["kind"]["enum"] == [k.value for k in Kind]
    assert finding["code"]["enum"] == [c.value for c in Code]
    written = json.loads((CASES / "everything_at_once" / "report.json").read_text())
    assert set(SCHEMA["properties"]) == set(written)
    assert set(finding) == set(written["findings"][0])
    assert set(SCHEMA["$defs"]["host"]["properties"]) == set(written["hosts"][0])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format_version",), "3.0"),
        (("counts", "driftt"), 1),
        (("findings", 0, "kind"), "gone"),
        (("findings", 0, "code"), "gone"),
        (("hosts", 0, "busy"), "alice"),
        (("digest",), "x"),
    ],
)
def test_a_wrong_report_is_not_valid(path: tuple[str | int, ...], value: object) -> None:
    written: Any = json.loads((CASES / "everything_at_once" / "report.json").read_text())
    at = written
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    assert not VALIDATOR.is_valid(written)
