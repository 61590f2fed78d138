"""Whatever precedes or wraps the lines of a log, in any order, the diagnosis is the same as without it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cortexctl.engines.vllm.diagnosis.diagnose import diagnose
from cortexctl.engines.vllm.diagnosis.lines import last_error_line
from cortexctl.engines.vllm.log.line import read_line
from cortexctl.engines.vllm.progress import stage
from tests.diagnosis_cases import CASES, lines_of, samples, strip_prefix
from tests.log_writers import RECORDS, WARNERS, WRITERS, Writer

SAMPLES = samples()
RUNS = sorted((CASES / "runs").glob("*.log"))


def written(line: str, writers: list[Writer]) -> str:
    """The innermost writer is the last."""
    for writer in reversed(writers):
        line = writer(line)
    return line


@given(case=st.sampled_from(SAMPLES), writers=st.lists(st.sampled_from(WRITERS), max_size=5))
@example(case=SAMPLES[0], writers=list(RECORDS[:4]))
def test_any_stack_of_writers_leaves_the_diagnosis_unchanged(case: dict[str, Any], writers: list[Writer]) -> None:
    lines = lines_of(case)
    assert diagnose([written(line, writers) for line in lines]) == diagnose(lines)


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer("x"))
def test_every_writer_alone_leaves_every_message_unchanged(writer: Writer) -> None:
    for line in dict.fromkeys(line for case in SAMPLES for line in lines_of(case)):
        (plain,), (read,) = read_line(line), read_line(writer(line))
        assert (read.text, read.level) in {(plain.text, level) for level in (plain.level, "error")}, line


@given(run=st.sampled_from(RUNS), writers=st.lists(st.sampled_from(WRITERS[:32]), max_size=3))
def test_a_whole_log_is_read_as_without_its_prefixes(run: Any, writers: list[Writer]) -> None:
    log = run.read_text().split("\n")
    around = [written(line, writers) for line in log]
    assert diagnose(around) == diagnose(log)
    assert last_error_line(around) == last_error_line(log)
    assert stage(around) == stage(log)


@given(
    case=st.sampled_from([case for case in SAMPLES if "\n" not in case["log"]]),
    around=st.lists(st.sampled_from(WRITERS[:32]), max_size=3),
    warner=st.sampled_from(WARNERS),
)
def test_a_warning_of_any_logger_is_no_evidence(case: dict[str, Any], around: list[Writer], warner: Writer) -> None:
    assert diagnose([written(strip_prefix(case["log"]), [*around, warner])]) is None
