"""What a start says of memory, read from the lines of every release that says it in its own way."""

from __future__ import annotations

import tomllib
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexctl.engines.vllm.memory.startlog import StartLog, read_start_log
from tests.memory import CASES

STARTS: list[dict[str, Any]] = tomllib.loads((CASES / "startlogs.toml").read_text())["start"]


@pytest.mark.parametrize("start", [pytest.param(s, id=s["from"]) for s in STARTS])
def test_every_line_shape_is_read_and_nothing_else(start: dict[str, Any]) -> None:
    found = read_start_log(start["log"].splitlines())
    assert {name: value for name, value in asdict(found).items() if value is not None} == start["said"]


def says_its_parts(start: dict[str, Any]) -> bool:
    return {"weights_gib", "non_torch_gib", "transient_gib", "available_kv_gib", "requested_gib"} <= set(start["said"])


@pytest.mark.parametrize("start", [pytest.param(s, id=s["from"]) for s in STARTS if says_its_parts(s)])
def test_the_parts_that_were_said_make_up_what_was_requested(start: dict[str, Any]) -> None:
    found = StartLog(**start["said"])
    parts = (found.weights_gib, found.non_torch_gib, found.transient_gib, found.graphs_gib, found.available_kv_gib)
    outside = 5.27 if "sleep mode" in start["from"] else 0.0  # its allocator's memory is in no part
    assert sum(p or 0.0 for p in parts) == pytest.approx((found.requested_gib or 0.0), abs=0.035 + outside)


@given(st.lists(st.text(max_size=60), max_size=20))
def test_any_text_is_read_and_tells_nothing(lines: list[str]) -> None:
    assert read_start_log(lines) == StartLog()
