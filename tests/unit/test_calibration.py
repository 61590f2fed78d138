"""The constants of a card, from the output of a start to a plan's forecast."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from typing import Any

import pytest

from cortexctl.desired.measured_card import MeasuredCard
from cortexctl.desired.stack import Host
from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.calibration import CONFIG, NEEDED, NotCalibrated, read_constants, settings
from cortexctl.engines.vllm.memory.model_facts import read_facts
from cortexctl.engines.vllm.memory.stage import BudgetInputs
from cortexctl.errors import DaemonError
from cortexctl.observed.host_probe import GpuFacts, ProbeOutput
from cortexctl.operations.calibrate import idle_gpu
from cortexctl.operations.gpu_edit import constants_table
from cortexctl.plan.capacity.plan_memory import gpu_of_host
from cortexctl.stack.edit.host_gpus import with_measured
from tests.doctor_cases import CASES, DECLARED, NVIDIA, FakeHosts, examined, facts, script, several
from tests.memory import config_of

MIB = 2**20
L4 = Host("gpu-1", "unix:///none", gpus=1, gpu_name="L4", gpu_memory=23034 * MIB, gpu_capability="8.9")
H200 = Host("gpu-1", "unix:///none", gpus=1, gpu_name="H200", gpu_memory=143771 * MIB, gpu_capability="9.0")
OUTPUT = json.loads((CASES / "calibration" / "h200-vllm-0.26.0.json").read_text())
CARD, LOG = OUTPUT["card"], OUTPUT["log"]
"""What the script printed on an H200, less the lines that name paths and addresses."""
NAMING = [line for line in LOG if "v0.26.0" in line]
MEASURED = MeasuredCard("0.26.0", "580.159.04", 142629 * MIB, 225 * MIB, 32 * MIB, 242 * 1024, 132, 60 * MIB)
TABLE = {
    "driver": "580.159.04",
    "free": "142629 MiB",
    "outside_torch": "225 MiB",
    "workspace": "32 MiB",
    "graph": "242 KiB",
    "multiprocessors": 132,
    "l2": "60 MiB",
}


def printed(**changes: Any) -> str:
    return json.dumps({"card": CARD, "log": LOG, "problem": "", **changes})


def test_the_output_of_a_start_has_the_constants_of_its_card() -> None:
    constants = read_constants(printed())
    assert (constants.release, constants.name) == ("0.26.0", "NVIDIA H200")
    assert constants.free == 142629 * MIB  # rounded down to whole MiB
    assert constants.outside_torch == 225 * MIB
    assert constants.workspace == 32 * MIB
    assert constants.graph == int(0.20 * 2**30 / 54 / 16) // 1024 * 1024  # of 35 and 19 graphs with 16 layers
    assert (constants.multiprocessors, constants.l2) == (132, 60 * MIB)


def test_what_was_not_printed_is_not_known() -> None:
    constants = read_constants(printed(card={}, log=NAMING))
    assert constants.release == "0.26.0"
    assert [constants.free, constants.workspace, constants.graph, constants.multiprocessors, constants.l2] == [None] * 5


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("", "printed no result"),
        ("[1]", "printed no result"),
        ('{"card": 1, "log": []}', "printed no result"),
        (printed(problem="the start failed with exit code 1", log=["x", "ValueError: bad", "y"]), "code 1: ValueError: bad"),
        (printed(problem="the card cannot be read: no driver", card={}, log=[]), "cannot be read: no driver"),
        (printed(log=[line for line in LOG if line not in NAMING]), "does not name vLLM's release"),
    ],
)  # fmt: skip
def test_an_output_without_constants_has_a_reason(output: str, reason: str) -> None:
    with pytest.raises(NotCalibrated, match=reason):
        read_constants(output)


@pytest.mark.parametrize("value", [-1, 2**61, True, "1", None, 1.5, []])
def test_a_number_that_is_no_size_is_dropped(value: object) -> None:
    assert read_constants(printed(card={**CARD, "free": value})).free is None


@pytest.mark.parametrize("gib", [8, 16, 24, 80, 141, 288])
def test_the_share_of_the_card_holds_the_small_model(gib: int) -> None:
    share = json.loads(settings(gib * 2**30))["options"]["gpu_memory_utilization"]
    assert 0.05 <= share <= 0.9
    assert share * gib * 2**30 >= NEEDED * 0.98
    assert json.loads(settings(gib * 2**30))["config"] == dict(CONFIG)


def gpu(index: int, free: int, memory: int = 24 * 2**30, name: str = "A") -> GpuFacts:
    return GpuFacts(index, name, memory, free)


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        ([], "gives no GPU"),
        ([gpu(0, 2**30), gpu(1, 23 * 2**30)], 1),
        ([gpu(0, 2**30), gpu(1, 12 * 2**30)], "the largest free memory is 12 GiB"),
        ([gpu(0, 23 * 2**30), gpu(1, 23 * 2**30, name="B")], "its GPUs differ"),
        ([gpu(0, 4 * 2**30, 4 * 2**30)], "the small model needs 6 GiB"),
        ([GpuFacts(0, "A")], "no GPU is idle"),
    ],
)
def test_only_an_idle_gpu_is_measured(gpus: list[GpuFacts], expected: int | str) -> None:
    chosen = idle_gpu(gpus)
    if isinstance(expected, int):
        assert isinstance(chosen, GpuFacts)
        assert chosen.index == expected
    else:
        assert expected in str(chosen)


def one_gpu(calibration: str | DaemonError) -> FakeHosts:
    return FakeHosts(facts(**NVIDIA), ProbeOutput(script(several(1))), calibration=calibration)


def test_doctor_measures_with_the_image_of_the_hosts_models() -> None:
    hosts = one_gpu(printed())
    report = examined(hosts, gpus=DECLARED.replace("count = 4", "count = 1"), probes=True, calibrates=True)
    [calibration] = report.hosts[0].calibrations
    assert hosts.calibrated == [("gpu-1", "sha256:1", 0)]
    assert calibration.card == MEASURED
    assert not report.has_problem


@pytest.mark.parametrize(
    ("calibration", "reason"),
    [("", "printed no result"), (DaemonError("the daemon does not answer"), "does not answer")],
)
def test_a_failed_calibration_is_a_problem_of_the_host(calibration: str | DaemonError, reason: str) -> None:
    report = examined(one_gpu(calibration), probes=True, calibrates=True)
    assert any(reason in finding.text for finding in report.hosts[0].findings if finding.is_problem)


def test_without_the_option_nothing_is_started() -> None:
    hosts = one_gpu(printed())
    examined(hosts, probes=True)
    assert hosts.calibrated == []


def test_the_constants_are_a_table_of_the_stack() -> None:
    text = '[hosts.a]\ngpus = { count = 1, name = "NVIDIA H200" }  # one\n'
    assert constants_table(MEASURED) == TABLE
    written = with_measured("s.toml", text, "", "a", "0.26.0", TABLE)
    assert tomllib.loads(written)["hosts"]["a"]["gpus"]["measured"] == {"0.26.0": TABLE}
    assert with_measured("s.toml", written, "", "a", "0.26.0", TABLE) == written
    other = with_measured("s.toml", written, "", "a", "0.27.0", {"free": "1 GiB"})
    newer = with_measured("s.toml", other, "", "a", "0.26.0", {"free": "2 GiB", "driver": "590.1"})
    gpus = tomllib.loads(newer)["hosts"]["a"]["gpus"]
    assert gpus["measured"] == {"0.26.0": {"free": "2 GiB", "driver": "590.1"}, "0.27.0": {"free": "1 GiB"}}
    assert gpus["count"] == 1


def test_the_constants_of_a_table_of_its_own() -> None:
    text = "[hosts.a.gpus]\ncount = 1\n\n[models.m]\n"
    written = with_measured("s.toml", text, "", "a", "0.26.0", TABLE)
    assert tomllib.loads(written)["hosts"]["a"]["gpus"] == {"count": 1, "measured": {"0.26.0": TABLE}}
    assert written.startswith(text)


LLAMA = read_facts(config_of("llama-3.1-8b"))


def overhead(card: MeasuredCard | None) -> Budget:
    gpu = gpu_of_host(replace(L4, measured_cards=(card,) if card else ()), "0.26.0")
    return budget(LLAMA, BudgetInputs({"max_model_len": 8192, "enforce_eager": True}, gpu, "0.26.0"))


def test_a_measured_card_beats_the_table() -> None:
    table, measured = overhead(None).tightest, overhead(MEASURED).tightest
    assert (table.non_torch.source, measured.non_torch.source) == ("fitted", "measured here")
    assert measured.non_torch.value == pytest.approx(225 / 1024)
    assert measured.non_torch.high - measured.non_torch.low < table.non_torch.high - table.non_torch.low
    larger = overhead(replace(MEASURED, workspace=232 * MIB)).tightest
    assert larger.transient.value - measured.transient.value == pytest.approx(200 / 1024)


def test_the_constants_of_another_release_are_not_used() -> None:
    assert overhead(replace(MEASURED, release="0.27.0")) == overhead(None)


def test_graphs_beside_the_budget_are_those_of_the_card() -> None:
    gpu = gpu_of_host(replace(H200, measured_cards=(MEASURED,)), "0.26.0")
    full = BudgetInputs({"gpu_memory_utilization": 0.995}, gpu, "0.26.0")
    [note] = [note for note in budget(LLAMA, full).notes if "CUDA graphs need" in note]
    graphs = 242 / 1024 * 32 * (51 + 51) / 1024  # of 32 layers, for all sizes up to 512
    assert f"CUDA graphs need {0.8 * graphs:.1f} to {1.6 * graphs:.1f} GiB" in note
    assert "where 0.2 GiB are free" in note  # 139.29 when idle, less 0.995 of 139.75
