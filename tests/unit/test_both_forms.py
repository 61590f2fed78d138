"""TOML and JSON are two forms of the same stack: every case has the same diagnostics, desired state and plan in both.

A case's file is converted to the other form, value by value, and read again in the case's folder.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic
from cortexctl.plan.planfile import plan_to_dict
from cortexctl.stack.load import load_stack
from tests import record_case, record_stack_case
from tests.reading import DOCKER
from tests.record_stack_case import stack_file
from tests.toml_text import toml_text

STACK_CASES = sorted(p for p in record_stack_case.CASES.iterdir() if p.is_dir())
PLAN_CASES = sorted(p for p in record_case.CASES.iterdir() if p.is_dir())

OF_ONE_FORM_ONLY = {
    "empty_file": "no text at all: in JSON even nothing is written {}",
    "json_cut_off": "not JSON, so it has no values",
    "json_key_twice": "a TOML file cannot have a key twice",
    "json_not_an_object": "a TOML file is always a table",
    "json_syntax_error": "not JSON, so it has no values",
    "mistake_brace_not_closed": "not TOML, so it has no values",
    "mistake_braces_over_lines": "not TOML, so it has no values",
    "mistake_json_comma": "not JSON, so it has no values",
    "mistake_json_comment": "not JSON, so it has no values",
    "mistake_json_in_toml": "not TOML, so it has no values",
    "mistake_json_quotes": "not JSON, so it has no values",
    "mistake_json_true": "not JSON, so it has no values",
    "mistake_latin_1": "not UTF-8, so it has no values",
    "mistake_list_item_without_quotes": "not TOML, so it has no values",
    "mistake_list_not_closed": "not TOML, so it has no values",
    "mistake_no_value": "not TOML, so it has no values",
    "mistake_null": "not TOML, so it has no values",
    "mistake_secret_without_quotes": "not TOML, so it has no values",
    "mistake_table_twice": "not TOML, so it has no values",
    "mistake_text_without_quotes": "not TOML, so it has no values",
    "mistake_true_of_python": "not TOML, so it has no values",
    "mistake_typographic_quotes": "not TOML, so it has no values",
    "mistake_utf_16": "not UTF-8, so it has no values",
    "mistake_yaml": "not TOML, so it has no values",
    "mistake_yaml_line": "not TOML, so it has no values",
    "not_utf8": "not text, so it has no values",
    "toml_key_twice": "the parsed values cannot have a key twice",
    "toml_list_not_closed": "not TOML, so it has no values",
    "toml_table_not_closed": "not TOML, so it has no values",
    "toml_value_without_quotes": "not TOML, so it has no values",
}
"""Cases that cannot be written in the other form, and why."""

Loaded = tuple[Desired | None, list[Diagnostic]]


def in_the_other_form(case: Path) -> tuple[str, str]:
    """The name and the text of the case's stack in the other form: JSON for TOML, TOML for JSON."""
    name = stack_file(case)
    text = (case / name).read_text(encoding="utf-8")
    if name == "stack.toml":
        return "stack.json", json.dumps(tomllib.loads(text), indent=2, ensure_ascii=False)
    values = json.loads(text, object_pairs_hook=_once)
    if not isinstance(values, dict):
        raise TypeError("a TOML file is a table")
    return "stack.toml", toml_text(values)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _loader(case: Path) -> Callable[..., Loaded]:
    """A `load_stack` that always reads the case's other form, for every path."""
    name, text = in_the_other_form(case)

    def load(_path: str, **choice: Any) -> Loaded:
        return load_stack(name, text=text, **choice)

    return load


def _texts(diagnostics: list[Diagnostic]) -> list[tuple[str, ...]]:
    """The texts of diagnostics, without their places and order, which differ between the two forms."""
    texts = ((d.rule, d.severity.value, d.summary, d.detail, d.help) for d in diagnostics)
    return sorted(tuple(part.replace("stack.json", "stack.toml") for part in text) for text in texts)


def _bare(desired: Desired | None) -> Desired | None:
    """The desired state without the path and digest of its file."""
    return desired and dataclasses.replace(desired, path="", digest="")


def _in_both_forms(case: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Loaded, Loaded]:
    here = record_stack_case.load_case(case)
    with monkeypatch.context() as patch:
        patch.setattr(record_stack_case, "load_stack", _loader(case))
        return here, record_stack_case.load_case(case)


@pytest.mark.parametrize("case", [c for c in STACK_CASES if c.name not in OF_ONE_FORM_ONLY], ids=lambda p: p.name)
def test_a_stack_case_has_the_same_diagnostics_and_desired_state_in_the_other_form(
    case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here, diagnostics_here), (there, diagnostics_there) = _in_both_forms(case, monkeypatch)
    assert _texts(diagnostics_there) == _texts(diagnostics_here)
    assert _bare(there) == _bare(here)


@pytest.mark.parametrize("name", sorted(OF_ONE_FORM_ONLY))
def test_only_cases_without_an_equal_in_the_other_form_are_left_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list must not hide cases that fail for other reasons."""
    case = record_stack_case.CASES / name
    assert case.is_dir(), "the list names a case that is gone"
    assert not _is_equal_in_both_forms(case, monkeypatch)


def _is_equal_in_both_forms(case: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    try:
        here, there = _in_both_forms(case, monkeypatch)
    except (ValueError, TypeError):
        return False  # it has no other form
    return _texts(here[1]) == _texts(there[1])


@pytest.mark.parametrize("case", PLAN_CASES, ids=lambda p: p.name)
def test_a_plan_case_plans_the_same_in_json(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = record_case.plan_of_case(case)
    monkeypatch.setattr(record_case, "desired_from", functools.partial(_desired_in_json, case))
    there = record_case.plan_of_case(case)
    assert there.stack_path == "stack.json"
    assert there.stack_digest != here.stack_digest
    assert _whatever_the_file(there) == _whatever_the_file(here)


def _desired_in_json(case: Path, _path: Path, secrets: Mapping[str, str], env: str) -> Desired:
    desired, diagnostics = _loader(case)(
        "", default_docker=DOCKER, secret_value=lambda _source, key: secrets[key], env=env
    )
    assert desired is not None, [f"{d.rule} {d.summary}" for d in diagnostics]
    return desired


def _whatever_the_file(plan: Any) -> dict[str, Any]:
    """The plan as JSON values, without the name and digest of its file, and without places in it."""
    document = plan_to_dict(plan)
    document["stack"] = {"name": document["stack"]["name"], "env": document["stack"]["env"]}
    diagnostics = [{**d, "range": None} for d in document["diagnostics"]]
    document["diagnostics"] = sorted(diagnostics, key=lambda d: (d["rule"], d["summary"]))
    return {key: value for key, value in document.items() if key != "digest"}


WRITABLE = [c for c in (*STACK_CASES, *PLAN_CASES) if c.name not in OF_ONE_FORM_ONLY]


@pytest.mark.parametrize("case", WRITABLE, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_what_is_compared_has_the_same_values(case: Path) -> None:
    """A fault of the writer in these tests would compare other values, or hide a fault of the reader."""
    name, text = in_the_other_form(case)
    written = (case / stack_file(case)).read_text(encoding="utf-8")
    values = tomllib.loads(written) if name == "stack.json" else json.loads(written)
    assert (json.loads(text) if name == "stack.json" else tomllib.loads(text)) == values
    assert tomllib.loads(toml_text(values)) == values


ODD = [
    ("cpus", math.inf),
    ("cpus", math.nan),
    ("cpus", 1),
    ("cpus", True),
    ("cpus", 10**400),
    ("replicas", 1.0),
    ("replicas", -0.0),
    ("gpus", [0.0]),
    ("gpus", [True]),
    ("gpus", []),
    ("args", {"max_model_len": 1e6}),
    ("args", {"gpu_memory_utilization": 1}),
    ("args", {"hf_overrides": {"a": math.inf}}),
    ("args", {"hf_overrides": {"1": [1, 1.0, True, "1", {}, []]}}),
    ("args", {"hf_overrides": {"": {"a.b": 1e-7, "é": '☃ \x7f\t"\\'}}}),
    ("env", {"A": "{{ '{{' }} a\nb"}),
    ("env", {"": "x"}),
    ("extra_args", ["--quux", ""]),
    ("served_names", ["", "a"]),
    ("gate", {"smoke": {"prompt": "\u2028"}}),
    ("secrets", {"TOKEN": {"env": 1}}),
    ("publish", 8000),
]


@pytest.mark.parametrize(("key", "value"), ODD, ids=str)
def test_a_value_at_the_edge_of_what_is_taken_is_taken_or_refused_in_both_forms(key: str, value: Any) -> None:
    model = {"image": "image:v0.32.0", "source": {"path": "p"}, "gpus": "none", key: value}
    values = {"stack": "demo", "hosts": {"here": {"models_dir": "/m"}}, "models": {"tiny": model}}
    toml, in_json = (
        load_stack(path, default_docker=DOCKER, secret_value=lambda _source, _key: "x", text=text)
        for path, text in (("stack.toml", toml_text(values)), ("stack.json", json.dumps(values)))
    )
    assert _texts(in_json[1]) == _texts(toml[1])
    assert _bare(in_json[0]) == _bare(toml[0])


@pytest.mark.parametrize("place", ["source", "env"])
def test_half_a_character_is_refused_in_json_as_it_is_in_toml(place: str) -> None:
    half = {"path": "a\ud800"}
    model = {"image": "image:v0.32.0", "source": {"path": "p"}, "gpus": "none", place: half}
    values = {"stack": "demo", "hosts": {"here": {"models_dir": "/m"}}, "models": {"tiny": model}}
    in_toml, in_json = toml_text(values).replace("\ud800", "\\ud800"), json.dumps(values)
    assert "\\ud800" in in_toml
    assert "\\ud800" in in_json
    assert load_stack("stack.toml", default_docker=DOCKER, secret_value=None, text=in_toml)[0] is None
    assert load_stack("stack.json", default_docker=DOCKER, secret_value=None, text=in_json)[0] is None
