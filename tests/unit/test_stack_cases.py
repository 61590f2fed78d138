"""Every folder under tests/cases/stack is a case: the diagnostics of its stack.toml or stack.json are diagnostics.txt.

A new case: write the stack, then
    python -m tests.record_stack_case NAME
and read what it wrote.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.record_stack_case import CASES, ENVIRON, diagnostics_of, load_case, stack_file

FOLDERS = sorted(p for p in CASES.iterdir() if p.is_dir())
SHOWN_SECRET = "OPENLYWRITTEN"

NAMES_OUR_VERSION = {"CX110", "CX236"}
"""Their words depend on the release, and on the machine: test_stack_valid and test_first_use have them."""


def _golden(case: Path) -> str:
    return (case / "diagnostics.txt").read_text(encoding="utf-8")


def _blocks(text: str) -> list[str]:
    return [b for b in re.split(r"\n(?=(?:Error|Warning)\[)", text) if b.strip()]


def _under_carets(block: str) -> str:
    """The text above the carets of a shown diagnostic, column for column."""
    lines = block.split("\n")
    row = next(i for i, line in enumerate(lines) if re.fullmatch(r" +\| +\^+", line))
    snippet, carets = lines[row - 1], lines[row]
    return snippet[carets.index("^") : carets.rindex("^") + 1]


@pytest.mark.parametrize("case", FOLDERS, ids=lambda p: p.name)
def test_case(case: Path) -> None:
    assert diagnostics_of(case) == _golden(case)


@pytest.mark.parametrize("case", FOLDERS, ids=lambda p: p.name)
def test_a_stack_with_an_error_is_not_planned_and_one_with_warnings_is(case: Path) -> None:
    desired, diagnostics = load_case(case)
    assert diagnostics, "a case shows at least one diagnostic"
    assert (desired is None) == any(d.is_error for d in diagnostics)


@pytest.mark.parametrize("case", FOLDERS, ids=lambda p: p.name)
def test_no_diagnostic_names_a_folder_of_this_machine(case: Path) -> None:
    assert str(CASES) not in _golden(case)
    assert all(span.startswith(stack_file(case)) for span in re.findall(r"^ *--> (.+)$", _golden(case), re.MULTILINE))


@pytest.mark.parametrize("case", FOLDERS, ids=lambda p: p.name)
def test_no_secret_is_ever_shown(case: Path) -> None:
    shown = _golden(case)
    assert SHOWN_SECRET not in shown
    assert "correct horse" not in shown
    assert not any(value in shown for value in ENVIRON.values() if value)


def test_there_are_cases_with_secrets_in_the_open() -> None:
    """Or the test above would show nothing."""
    written = {
        c.name for c in FOLDERS if SHOWN_SECRET in (c / stack_file(c)).read_text(encoding="utf-8", errors="replace")
    }
    assert {"secret_in_the_open", "env_like_a_secret", "owned_arguments", "json_secret_in_the_open"} <= written


@pytest.mark.parametrize("case", FOLDERS, ids=lambda p: p.name)
def test_a_snippet_is_a_line_of_the_file(case: Path) -> None:
    """Only what looks like a secret is hidden, by as many stars; tabs are shown as one blank."""
    lines = (case / stack_file(case)).read_bytes().decode("utf-8", errors="replace").replace("\t", " ").split("\n")
    for number, text in re.findall(r"^(\d+) \| (.*)$", _golden(case), re.MULTILINE):
        line = lines[int(number) - 1]
        assert len(text) == len(line)
        assert all(shown in {really, "*"} for shown, really in zip(text, line, strict=True))


@pytest.mark.parametrize(
    ("case", "message", "under"),
    [
        ("non_ascii_before_the_fault", 'unknown key "revison"', "revison"),
        ("non_ascii_before_the_fault", "served_names.2", "3"),
        ("non_ascii_before_the_fault", "OMP_NUM_THREADS", "1"),
        ("non_ascii_before_what_is_refused", "source.path must be", '"../maïs"'),
        ("non_ascii_before_what_is_refused", "/œuvre is mounted twice", '"été:/œuvre"'),
        ("non_ascii_before_what_is_refused", "HF_HUB_OFFLINE", "HF_HUB_OFFLINE"),
        ("non_ascii_before_what_is_refused", "swap_space is gone", "swap_space"),
        ("tabs_before_the_fault", 'unknown key "revison"', "revison"),
        ("tabs_before_the_fault", "models.tiny.gpus", '"all"'),
        ("tabs_before_the_fault", "max_model_len", '"long"'),
        ("places_in_inline_tables", "hosts.gpu-1.network", "7"),
        ("places_in_inline_tables", "models.tiny.source.path", "1"),
        ("places_in_inline_tables", "max_num_seqs", '"many"'),
        ("places_in_inline_tables", "gate.smoke.max_tokens", '"four"'),
        ("places_of_dotted_keys", "hosts.gpu-1.network", "7"),
        ("places_of_dotted_keys", "models.tiny.source.path", "1"),
        ("places_of_dotted_keys", "max_num_seqs", '"many"'),
        ("places_of_dotted_keys", "gate.smoke.max_tokens", '"four"'),
        ("places_of_dotted_keys", 'unknown key "prmpt"', "tiny.gate.smoke.prmpt"),
        ("places_in_arrays", "served_names.1", "8"),
        ("places_in_arrays", "volumes.1", '"c"'),
        ("places_in_arrays", "volumes.3", '"f"'),
        ("places_of_array_tables", "volumes.1", "models.tiny.volumes"),
        ("places_in_an_environment", "models.tiny.gpus", '"all"'),
        ("places_in_an_environment", 'unknown key "publsh"', "publsh"),
        ("places_in_an_environment", "max_model_len", '"long"'),
        ("places_in_an_environment", '"source" is missing', "env.staging.models.other"),
        ("places_in_a_profile", "shm_size", '"big"'),
        ("places_in_a_profile", "max_num_seqs", '"many"'),
        ("doubtful", "enforce_eager", "true"),
        ("unknown_hosts", '"gpu-3"', '"gpu-3"'),
        ("unknown_hosts", '"lab"', '"lab"'),
        ("json_wrong_types", "models_dir", '["/var/cortex/models"]'),
        ("json_wrong_types", "models.tiny.image", '{"name": "vllm/vllm-openai", "tag": "v0.32.0"}'),
        ("json_wrong_types", "tensor_parallel_size", "2.5"),
        ("json_wrong_types", "max_tokens", "[4]"),
        ("json_unknown_keys", 'unknown key "tp"', '"tp"'),
        ("json_unknown_host", "there is no such host", '"gpu-2"'),
        ("json_missing_keys", '"image" is missing', '"tiny"'),
    ],
)
def test_the_carets_mark_the_fault(case: str, message: str, under: str) -> None:
    block = next(b for b in _blocks(_golden(CASES / case)) if message in b.split("\n")[0])
    assert _under_carets(block) == under


def test_the_carets_of_array_tables_mark_the_faulty_element() -> None:
    """Both elements have the same text, so only the line distinguishes them."""
    first, second = _blocks(_golden(CASES / "places_of_array_tables"))
    assert "--> stack.toml:11:" in first
    assert "--> stack.toml:14:" in second


@pytest.mark.parametrize(
    ("toml", "in_json"),
    [
        ("no_models", "json_no_models"),
        ("secret_in_the_open", "json_secret_in_the_open"),
        ("missing_in_a_model", "json_missing_keys"),
        ("wrong_types", "json_wrong_types"),
        ("unknown_keys_near", "json_unknown_keys"),
        ("arguments_gone", "json_arguments_gone"),
    ],
)
def test_the_same_fault_has_the_same_message_in_toml_and_json(toml: str, in_json: str) -> None:
    one, other = ({block.split("\n")[0] for block in _blocks(_golden(CASES / name))} for name in (toml, in_json))
    assert one & other


def test_every_rule_of_a_stack_file_has_a_case(repo: Path) -> None:
    sources = [
        *(repo / "cortexctl" / "stack").rglob("*.py"),
        *(repo / "cortexctl" / "engines" / "vllm" / "command").glob("check*.py"),
    ]
    known = {rule for s in sources for rule in re.findall(r'"(CX\d{3})"', s.read_text(encoding="utf-8"))}
    shown = {rule for case in FOLDERS for rule in re.findall(r"\[(CX\d{3})\]", _golden(case))}
    assert known - NAMES_OUR_VERSION == shown


def test_every_case_but_the_unreadable_ones_has_values() -> None:
    """A typing error in a case must not turn it into one about syntax."""
    unreadable = set()
    for case in FOLDERS:
        text = (case / stack_file(case)).read_bytes()
        try:
            data: Any = json.loads(text) if stack_file(case) == "stack.json" else tomllib.loads(text.decode())
        except ValueError:
            unreadable.add(case.name)
            continue
        assert data is not None
    assert unreadable == {
        "json_cut_off",
        "json_syntax_error",
        "mistake_brace_not_closed",
        "mistake_braces_over_lines",
        "mistake_json_comma",
        "mistake_json_comment",
        "mistake_json_in_toml",
        "mistake_json_quotes",
        "mistake_json_true",
        "mistake_latin_1",
        "mistake_list_item_without_quotes",
        "mistake_list_not_closed",
        "mistake_no_value",
        "mistake_null",
        "mistake_secret_without_quotes",
        "mistake_table_twice",
        "mistake_text_without_quotes",
        "mistake_true_of_python",
        "mistake_typographic_quotes",
        "mistake_utf_16",
        "mistake_yaml",
        "mistake_yaml_line",
        "not_utf8",
        "toml_key_twice",
        "toml_list_not_closed",
        "toml_table_not_closed",
        "toml_value_without_quotes",
    }
