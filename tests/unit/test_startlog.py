"""The memory in the log of a start, read from the lines of every release with lines of its own."""

from __future__ import annotations

import tomllib
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexctl.engines.measurement import StartLog
from cortexctl.engines.vllm.memory.startlog import read_start_log
from tests.log_writers import PREFIXES, RECORDS, Writer, prefixed
from tests.memory import CASES

STARTS: list[dict[str, Any]] = tomllib.loads((CASES / "startlogs.toml").read_text())["start"]


@pytest.mark.parametrize("start", [pytest.param(s, id=s["from"]) for s in STARTS])
def test_every_line_shape_is_read_and_nothing_else(start: dict[str, Any]) -> None:
    log = read_start_log(start["log"].splitlines())
    assert {name: value for name, value in asdict(log).items() if value is not None} == start["said"]


@pytest.mark.parametrize("writer", [*RECORDS, *map(prefixed, PREFIXES[:8])], ids=lambda writer: writer("x"))
def test_the_numbers_are_the_same_whatever_wrote_around_the_lines(writer: Writer) -> None:
    for start in STARTS:
        lines = start["log"].splitlines()
        assert read_start_log([writer(line) for line in lines]) == read_start_log(lines), start["from"]


def logs_its_parts(start: dict[str, Any]) -> bool:
    return {"weights_gib", "non_torch_gib", "transient_gib", "available_kv_gib", "requested_gib"} <= set(start["said"])


@pytest.mark.parametrize("start", [pytest.param(s, id=s["from"]) for s in STARTS if logs_its_parts(s)])
def test_the_logged_parts_sum_to_the_requested_memory(start: dict[str, Any]) -> None:
    log = StartLog(**start["said"])
    parts = (log.weights_gib, log.non_torch_gib, log.transient_gib, log.graphs_gib, log.available_kv_gib)
    outside = 5.27 if "sleep mode" in start["from"] else 0.0  # its allocator's memory is in no part
    assert sum(p or 0.0 for p in parts) == pytest.approx((log.requested_gib or 0.0), abs=0.035 + outside)


@given(st.lists(st.text(max_size=60), max_size=20))
def test_any_text_can_be_read_and_has_no_values(lines: list[str]) -> None:
    assert read_start_log(lines) == StartLog()
