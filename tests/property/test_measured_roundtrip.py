"""The measurements of a start read back unchanged, and anything else is refused in one way."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.measurement import Measurement, Predicted, Started, StartLog, from_json, to_json
from cortexctl.engines.vllm.memory.measured import started

numbers = st.none() | st.floats(-1e6, 1e6)
values: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(
    ["max_model_len", "dtype", "speculative_config", "hf_overrides", "new_option", "compilation_config"]
)
starts = st.builds(
    started,
    st.text(),
    st.text(),
    st.none() | st.sampled_from(["0.8.5", "0.33.0", "nightly"]),
    st.none() | st.builds(Gpu, st.text(), st.floats(1, 300)),
    st.dictionaries(names, values),
    st.dictionaries(st.sampled_from(["VLLM_USE_V1", "OTHER"]), st.text()),
)
logs = st.builds(
    StartLog,
    **{f.name: st.none() | st.just("0.33.0") if f.name == "vllm_version" else numbers for f in fields(StartLog)},
)
measurements = st.builds(
    Measurement,
    starts,
    logs,
    st.text(),
    st.text(),
    numbers,
    st.none() | st.builds(Predicted, st.integers(0), st.floats(0, 1e6), st.floats(-10, 1e3)),
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["format", "started", "log", "said", "at", "x"]), inner)
    ),
)


@given(measurements)
def test_a_written_measurement_reads_back(m: Measurement) -> None:
    assert from_json(json.loads(json.dumps(to_json(m)))) == m


@given(measurements)
def test_a_file_of_an_earlier_release_is_read(m: Measurement) -> None:
    """It has another key for the values of the log."""
    document = to_json(m)
    document["said"] = document.pop("log")
    assert from_json(json.loads(json.dumps(document))) == m


@given(starts)
def test_a_start_keeps_its_key(start: Started) -> None:
    read = from_json(json.loads(json.dumps(to_json(Measurement(start, StartLog(), "")))))
    assert read.started.key == start.key


@given(json_values)
def test_anything_else_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="not a measurement"):
        from_json({**data, "format": 1} if isinstance(data, dict) else data)
