"""A container decides how long its log is, but not how long it is searched: no pattern gets more text than the bounds.

No clock is used. The patterns are replaced by patterns that record their inputs.
"""

from __future__ import annotations

import itertools
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import pytest

from cortexctl.engines.log_bounds import LONGEST_LINE, MOST_LINES, MOST_TEXT, searched
from cortexctl.engines.vllm import diagnosis, log, progress
from cortexctl.engines.vllm.diagnosis.diagnose import MOST_EVIDENCE, TABLE, diagnose, diagnose_end
from cortexctl.engines.vllm.diagnosis.lines import last_error_line, without_frames
from cortexctl.engines.vllm.memory import startlog
from cortexctl.engines.vllm.progress import LONGEST_SIGN, advanced, stage
from tests.diagnosis_cases import samples

MODULES = [
    *(
        import_module(f"{package.__name__}.{module.name}")
        for package in (diagnosis, log)
        for module in pkgutil.iter_modules(package.__path__)
    ),
    progress,
    startlog,
]


@dataclass
class Inputs:
    """The inputs of all patterns: characters in total, the longest line, and the number of searches."""

    longest: int = 0
    characters: int = 0
    searches: int = 0
    names: set[str] = field(default_factory=set)

    def note(self, name: str, text: str) -> None:
        self.names.add(name)
        self.searches += 1
        self.characters += len(text)
        self.longest = max(self.longest, *map(len, text.split("\n")))


class RecordingPattern:
    """Replaces a pattern and records its inputs."""

    def __init__(self, name: str, pattern: re.Pattern[str], inputs: Inputs) -> None:
        self._name, self._pattern, self._inputs = name, pattern, inputs
        self.groups = pattern.groups

    def search(self, text: str) -> Any:
        self._inputs.note(self._name, text)
        return self._pattern.search(text)

    def finditer(self, text: str) -> Any:
        self._inputs.note(self._name, text)
        return self._pattern.finditer(text)

    def match(self, text: str, begin: int = 0) -> Any:
        self._inputs.note(self._name, text)
        return self._pattern.match(text, begin)

    def sub(self, new: str, text: str, count: int = 0) -> str:
        self._inputs.note(self._name, text)
        return self._pattern.sub(new, text, count=count)


@pytest.fixture
def pattern_inputs(monkeypatch: pytest.MonkeyPatch) -> Inputs:
    """The recorded inputs of all patterns, in all modules that read a log."""
    seen = Inputs()
    for module in MODULES:
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                monkeypatch.setattr(module, name, RecordingPattern(f"{module.__name__}.{name}", value, seen))
    stages = tuple((RecordingPattern(f"stage {text}", pattern, seen), text) for pattern, text in progress._STAGES)
    monkeypatch.setattr(progress, "_STAGES", stages)
    relevant = tuple(value for value in vars(startlog).values() if isinstance(value, RecordingPattern))
    monkeypatch.setattr(startlog, "_RELEVANT", relevant)
    rows = tuple(replace(row, regex=RecordingPattern(row.name, row.regex, seen)) for row in TABLE)
    monkeypatch.setattr(sys.modules["cortexctl.engines.vllm.diagnosis.diagnose"], "TABLE", rows)
    return seen


READERS: dict[str, tuple[Callable[[list[str]], object], int]] = {
    "diagnose": (diagnose, LONGEST_LINE),
    "diagnose_end": (lambda log: diagnose_end(log, 1), LONGEST_LINE),
    "last_error_line": (last_error_line, LONGEST_LINE),
    "without_frames": (without_frames, LONGEST_LINE),
    "stage": (stage, LONGEST_SIGN),
    "advanced": (lambda log: advanced(log[:1], log), LONGEST_SIGN),
    "read_start_log": (startlog.read_start_log, LONGEST_LINE),
}
"""Reader -> the longest line that its patterns may see."""
LOGS = {
    "a line of digits": ["ValueError: " + "1" * 50_000],
    "a line of a megabyte": ["RuntimeError: " + "set x" * 200_000],
    "long lines": ["ERROR: " + "Loading " * 2_000] * 300,
    "many lines": ["RuntimeError: it failed again"] * 60_000,
    "only prefixes": ["chat-1 | 2026-05-01 20:49:35 " * 140] * 300,
    "records": ['{"log": "' + "ValueError: x\\n" * 250 + '"}'] * 300,
    "much of memory": ["vLLM API server version 0.20.0: " + "x" * 9_000] * 300,
}


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("reader", READERS)
def test_no_pattern_sees_a_line_that_is_longer_than_its_bound(pattern_inputs: Inputs, reader: str, log: str) -> None:
    read, longest = READERS[reader]
    read(LOGS[log])
    assert pattern_inputs.searches > 0
    assert pattern_inputs.longest <= longest


@pytest.mark.parametrize("log", LOGS)
def test_all_rows_of_the_table_see_no_more_than_their_share_of_a_log(pattern_inputs: Inputs, log: str) -> None:
    diagnose(LOGS[log])
    rows = {row.name for row in TABLE}
    assert rows <= pattern_inputs.names, "every row of the table was searched"
    of_the_table = len(rows) * MOST_EVIDENCE
    line_by_line = 8 * MOST_TEXT  # which lines are evidence: a few patterns, once a line
    assert pattern_inputs.characters <= of_the_table + line_by_line
    assert pattern_inputs.searches <= len(rows) + 8 * MOST_LINES


def test_of_a_log_with_more_than_the_bound_the_end_counts(pattern_inputs: Inputs) -> None:
    last = "ValueError: Unknown quantization method: fp3. Must be one of ['fp8', 'awq']."
    diagnosis = diagnose([*["RuntimeError: " + "x" * 900] * 50_000, last])
    assert diagnosis is not None
    assert diagnosis.evidence == (last,)
    assert pattern_inputs.longest <= LONGEST_LINE


def test_both_ends_of_a_long_line_count() -> None:
    message = "ValueError: Unknown quantization method: fp3. Must be one of ['fp8', 'awq']."
    for line in (message + " y" * 100_000, "y " * 100_000 + message):
        diagnosis = diagnose([line])
        assert diagnosis is not None
        assert diagnosis.pattern == "quantisation-unknown"


def test_a_start_whose_lines_about_memory_come_long_before_the_end_of_its_log_is_read() -> None:
    begin = [
        "INFO vLLM API server version 0.20.0",
        "INFO Model loading took 15.0 GiB memory and 5.42 seconds",
        "INFO GPU KV cache size: 460,496 tokens",
    ]
    start = startlog.read_start_log(itertools.chain(begin, itertools.repeat("INFO a request came", 100_000)))
    assert (start.weights_gib, start.kv_cache_tokens) == (15.0, 460_496)


def test_many_servers_without_relevant_lines_are_not_each_read_to_the_end(pattern_inputs: Inputs) -> None:
    """Else a log of n such lines takes n * n steps."""
    startlog.read_start_log(["vLLM API server version 0.20.0"] * 4_000)
    patterns = len(startlog._RELEVANT)
    assert pattern_inputs.searches <= 4_000 * patterns + startlog.MOST_STARTS * 4_000 * 2 * patterns


# ---- the patterns themselves


def classes_of(pattern: re.Pattern[str]) -> Iterator[str]:
    """The negated character classes of a pattern, as written."""
    yield from (match[0] for match in re.finditer(r"(?<!\\)\[\^(?:\\.|[^\]\\])*\]", pattern.pattern))


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in TABLE])
def test_no_row_runs_on_over_the_ends_of_lines(row: Any) -> None:
    """The rows search all lines at once: a row without a bound would search to the end of the log again for each line."""
    for written in classes_of(row.regex):
        assert not re.match(written, "\n"), written
    assert not row.regex.flags & re.DOTALL
    assert not re.search(r"(?<!\\)\\[sDW][*+]", row.regex.pattern)


@pytest.mark.parametrize("number", ["9" * 3_900, "9" * 400, "0", "9" * 300 + ".5", "1" * 5_000])
@pytest.mark.parametrize("case", [pytest.param(c, id=f"{c['pattern']}-{n}") for n, c in enumerate(samples())])
def test_a_number_of_any_length_breaks_nothing(case: dict[str, Any], number: str) -> None:
    """In place of each number of each sample of the table, because some rows calculate with the numbers that they match."""
    lines = re.sub(r"\d+(?:\.\d+)?", number, case["log"]).split("\n")
    diagnose(lines)
    diagnose([re.sub(r"(?<=[ (=])\d+(?:\.\d+)?", number, line) for line in case["log"].split("\n")])
    startlog.read_start_log(lines)


def test_only_the_end_of_a_log_is_searched() -> None:
    assert searched(["a", "b"]) == ["a", "b"]
    assert searched([]) == []
    many = [str(n) for n in range(MOST_LINES + 5)]
    assert searched(many) == many[5:]
    long = searched(["x" * 10_000] * 2_000)
    assert sum(map(len, long)) <= MOST_TEXT
    assert len(long) >= MOST_TEXT // LONGEST_LINE
