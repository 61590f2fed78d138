"""The log of a start: its stage, and whether it progresses. Each line is vLLM's own, with its release."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cortexctl.engines.vllm import progress
from cortexctl.engines.vllm.progress import advanced, stage

CASES = Path(__file__).parent.parent / "cases" / "progress.toml"
LINES: list[dict[str, Any]] = tomllib.loads(CASES.read_text())["line"]
HEALTHY = sorted((CASES.parent / "diagnosis" / "healthy").glob("*.log"))


@pytest.mark.parametrize("case", [pytest.param(c, id=f"{n}-{c['stage']}") for n, c in enumerate(LINES)])
def test_a_line_of_a_start_shows_its_stage(case: dict[str, Any]) -> None:
    assert stage([case["log"]]) == case["stage"]


def test_every_stage_has_a_line() -> None:
    shown = {re.sub(r"\d+%", "{}%", case["stage"]) for case in LINES}
    assert shown == {text for _, text in progress._STAGES}


def test_the_latest_stage_counts() -> None:
    assert stage([case["log"] for case in LINES]) == LINES[-1]["stage"]
    some = "Loading safetensors checkpoint shards:  45% Completed | 5/11 [00:03<00:04,  1.50it/s]"
    assert stage(["Starting to load model x...", some, "something that says nothing", ""]) == "loading weights 45%"


def test_a_log_before_the_first_stage_has_no_stage() -> None:
    assert stage([]) == ""
    assert stage(["INFO 10-21 00:34:40 [__init__.py:216] Automatically detected platform cuda."]) == ""
    eager = "Enforce eager set, disabling torch.compile, CUDAGraphs, and JIT kernel warmup."
    assert stage([f"(APIServer pid=1) WARNING 11-24 13:25:36 [vllm.py:1703] {eager}"]) == ""


def test_a_line_with_braces_is_only_text() -> None:
    assert stage(["Starting to load model {0} {x}"]) == "loading weights"


# whether it progresses

SHARDS = "Loading safetensors checkpoint shards:  {}% Completed | {}/11 [00:{}<00:04,  1.50it/s]"
WAITING = "INFO 11-24 06:00:00 [shm_broadcast.py:542] No available shared memory broadcast block found in 60 seconds."


def test_another_count_of_the_same_stage_is_progress() -> None:
    assert advanced([SHARDS.format(45, 5, "03")], [SHARDS.format(45, 5, "03"), SHARDS.format(54, 6, "04")])


def test_the_same_bar_with_another_clock_is_no_progress() -> None:
    assert not advanced([SHARDS.format(45, 5, "03")], [SHARDS.format(45, 5, "03"), SHARDS.format(45, 5, "59")])


def test_the_same_line_at_another_time_is_no_progress() -> None:
    line = "(EngineCore pid=268) INFO 11-24 06:{}:00 [gpu_model_runner.py:5402] Starting to load model /models/big..."
    assert not advanced([line.format("00")], [line.format("05")])


def test_warnings_of_waiting_are_no_progress() -> None:
    before = [SHARDS.format(45, 5, "03")]
    assert not advanced(before, [*before, WAITING, WAITING])


def test_nothing_yet_is_no_progress_and_the_first_sign_is() -> None:
    assert not advanced([], [])
    assert not advanced([], [WAITING])
    assert advanced([WAITING], [WAITING, "INFO 11-24 06:00:00 [model.py:733] Resolved architecture: LlamaForCausalLM"])


def test_a_shorter_reading_of_a_log_is_no_progress() -> None:
    assert not advanced([SHARDS.format(45, 5, "03")], [])


@pytest.mark.parametrize("path", HEALTHY, ids=lambda p: p.stem)
def test_a_real_start_advances_from_stage_to_stage_and_ends_up(path: Path) -> None:
    log = path.read_text().splitlines()
    stages = [stage(log[:n]) for n in range(len(log) + 1)]
    changes = [n for n in range(1, len(stages)) if stages[n] != stages[n - 1]]
    assert len(changes) > 4
    assert all(advanced(log[: n - 1], log[:n]) for n in changes)
    assert stages[-1] == progress.SERVER_UP
