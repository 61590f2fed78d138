"""Learning from starts: after an apply, from a given log, and the use in `fit` and `status`."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from cortexctl.apply.recording import StepTimes
from cortexctl.cli.main import run
from cortexctl.engines.gpu_models import gpu_of
from cortexctl.engines.measurement import Measurement, Predicted, StartLog, same_start
from cortexctl.engines.vllm.memory.measured import started
from cortexctl.engines.vllm.memory.startlog import read_start_log
from cortexctl.errors import DaemonRefused, UsageError
from cortexctl.operations.equal_starts import started_as
from cortexctl.operations.learn import learn_from_apply
from cortexctl.operations.notes import Note, warning
from cortexctl.operations.status_results import FleetStatus, InstanceStatus
from cortexctl.render.status import status_json, status_text
from cortexctl.render.style import Ink
from cortexctl.store import measurements
from tests.fakes.container import FakeContainer
from tests.fakes.world import World
from tests.memory import CASES, CONFIGS
from tests.reading import desired_from, model_text, stack_text

HOSTS = """[hosts.here]
models_dir = "{models}"
gpus = {{ count = 1, name = "H100", memory = "81559 MiB" }}

[hosts.there]
docker = "unix:///run/there.sock"
models_dir = "{models}"
gpus = {{ count = 1, name = "H100", memory = "81559 MiB" }}

"""
LOG = """\
(EngineCore pid=7) INFO 10-06 17:00:11 [model_runner.py:407] Model loading took 15.0 GiB memory and 5.42 seconds
(EngineCore pid=7) INFO 10-06 17:00:33 [gpu_worker.py:692] Available KV cache memory: 56.21 GiB
(EngineCore pid=7) INFO 10-06 17:00:33 [kv_cache_utils.py:2464] GPU KV cache size: 460,496 tokens
(EngineCore pid=7) INFO 10-06 17:00:33 [kv_cache_utils.py:2465] Maximum concurrency for 131,072 tokens per request: 3.51x
""".splitlines()
SECRET = "planted-value"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of models, with the config of one in it."""
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes((CONFIGS / "llama-3.1-8b.json").read_bytes())
    return folder.parent


class Learner:
    """A stack on two fake hosts whose containers log like vLLM."""

    def __init__(self, tmp_path: Path, models: Path) -> None:
        self.path = tmp_path / "stack.toml"
        args = "[models.tiny.args]\nmax_model_len = 131072\n\n"
        secrets = '[models.tiny.secrets]\nHF_TOKEN = { env = "HF_TOKEN" }\n\n'
        model = model_text(hosts='["*"]', gpus="[0]", env='{ EXTRA = "1" }') + args + secrets
        self.path.write_text(stack_text(model, hosts=HOSTS.format(models=models)))
        self.desired = desired_from(self.path, {"HF_TOKEN": SECRET})
        self.world = World("demo", "here", "there")
        self.world.secrets.values["HF_TOKEN"] = SECRET
        self.log: list[str] = LOG
        for daemon in self.world.daemons.by_host.values():
            daemon.behaviours.append(self._speaks)

    def _speaks(self, container: FakeContainer) -> None:
        container.log += self.log

    def apply(self) -> tuple[Note, ...]:
        plan = self.world.plan(self.desired)
        result = self.world.apply(plan)
        assert result.exit_code == 0
        times = {c.address: StepTimes(start=142.4) for c in plan.changes}
        return learn_from_apply(plan, result, times, self.world.daemons, 1_790_000_000.0)

    def measured(self) -> Measurement | None:
        instance = self.desired.instances[0]
        return same_start(measurements.read_all(), started_as(self.desired.host("here"), instance.spec))


@pytest.fixture
def learner(tmp_path: Path, models: Path) -> Learner:
    return Learner(tmp_path, models)


def test_an_apply_saves_the_measurements_of_its_starts(learner: Learner) -> None:
    learner.apply()
    measured = learner.measured()
    assert measured is not None
    assert (measured.log.weights_gib, measured.log.kv_cache_tokens, measured.start_seconds) == (15.0, 460496, 142.4)
    assert (measured.at, measured.host) == ("2026-09-21T14:13:20.000Z", "here")
    assert measured.predicted is not None
    assert measured.predicted.kv_cache_tokens == pytest.approx(460496, rel=0.05)


def test_the_same_start_on_two_hosts_is_read_and_kept_once(learner: Learner) -> None:
    learner.apply()
    assert [m.host for m in measurements.read_all()] == ["here"]


def test_no_secret_is_kept(learner: Learner) -> None:
    learner.apply()
    saved = "".join(f.read_text() for f in measurements.folder().iterdir())
    assert "max_model_len" in saved
    assert SECRET not in saved
    assert "EXTRA" not in saved


def test_a_start_without_measurements_saves_nothing(learner: Learner) -> None:
    learner.log = ["INFO: Application startup complete."]
    learner.apply()
    assert measurements.read_all() == []


def test_a_model_that_is_elsewhere_is_learnt_from_without_a_prediction(learner: Learner, models: Path) -> None:
    (models / "tiny" / "config.json").unlink()
    learner.apply()
    measured = learner.measured()
    assert measured is not None
    assert (measured.log.kv_cache_tokens, measured.predicted) == (460496, None)


def test_an_error_while_learning_is_a_note_and_no_failure(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> list[str]:
        raise DaemonRefused("here: no space left on device", status=500)

    for daemon in learner.world.daemons.by_host.values():
        monkeypatch.setattr(daemon, "logs", refuses)
    notes = learner.apply()
    assert notes == (warning("no measurements from the start of here/tiny: here: no space left on device"),)


def test_a_cache_that_cannot_be_written_fails_nothing(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (note,) = learner.apply()
    assert "no measurements from the start of here/tiny: cannot create" in note.text
    assert measurements.read_all() == []


def of(tokens: int, **args: int) -> Measurement:
    start = started("m", "", "0.33.0", gpu_of("H100"), args, {})
    return Measurement(start, StartLog(kv_cache_tokens=tokens), f"2026-10-06T{tokens:09}")


def test_a_later_start_replaces_the_earlier_one() -> None:
    measurements.keep(of(1))
    measurements.keep(of(2))
    assert [m.log.kv_cache_tokens for m in measurements.read_all()] == [2]


def test_the_oldest_measurements_are_removed_above_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "RETAINED", 3)
    for i in range(5):
        measurements.keep(of(i, max_model_len=100 + i))
        os.utime(measurements.folder() / f"{of(i, max_model_len=100 + i).started.key}.json", (i, i))
    measurements.keep(of(9, max_model_len=999))
    assert sorted(m.log.kv_cache_tokens or 0 for m in measurements.read_all()) == [3, 4, 9]


def test_runs_at_once_leave_whole_files() -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: measurements.keep(of(i, max_model_len=1 + i % 3)), range(60)))
    assert len(measurements.read_all()) == 3


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 2, "log": {}}', "\0"])
def test_a_damaged_file_is_ignored_with_a_warning(text: str) -> None:
    measurements.keep(of(1))
    (measurements.folder() / "damaged.json").write_text(text)
    skipped: list[str] = []
    assert [m.log.kv_cache_tokens for m in measurements.read_all(skipped.append)] == [1]
    (why,) = skipped
    assert "damaged.json is ignored" in why


def test_a_relative_cache_folder_is_ignored_and_a_missing_home_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert measurements.folder() == Path("/home/somebody/.cache/cortexctl/measured")

    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(UsageError, match="there is no folder for measurements"):
        measurements.folder()
    assert measurements.read_all() == []


Fit = Callable[..., str]
FLAGS = (
    "--config",
    str(CONFIGS / "llama-3.1-8b.json"),
    "--gpu",
    "H100:79.25",
    "--vllm-version",
    "0.33.0",
    "--arg",
    "max_model_len=131072",
)


@pytest.fixture
def fit(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Fit:
    """The stdout of `fit`, or its stderr if it fails."""
    monkeypatch.setenv("NO_COLOR", "1")

    def go(*argv: str, code: int = 0) -> str:
        assert run(["fit", *argv]) == code
        output = capsys.readouterr()
        return output.err if code else output.out

    return go


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "start.log"
    path.write_text("\n".join(LOG) + "\n")
    return path


def test_fit_learns_from_a_log_and_knows_it_the_next_time(fit: Fit, log: Path) -> None:
    before = json.loads(fit(*FLAGS, "--format", "json"))["kv_cache_tokens"]
    learnt = json.loads(fit(*FLAGS, "--learn", str(log), "--format", "json"))["kv_cache_tokens"]
    after = json.loads(fit(*FLAGS, "--format", "json"))
    assert before["source"] == "fitted"
    assert (
        learnt
        == after["kv_cache_tokens"]
        == {"value": 460496, "low": 460496, "high": 460496, "source": "measured here"}
    )
    assert (after["weights_gib"]["value"], after["weights_gib"]["source"]) == (15.0, "measured here")
    assert json.loads(fit(*FLAGS, "--no-measured", "--format", "json"))["kv_cache_tokens"] == before


def test_the_text_of_fit_names_the_measured_values_and_their_start(fit: Fit, log: Path) -> None:
    fit(*FLAGS, "--learn", str(log))
    shown = fit(*FLAGS, "--arg", "max_num_seqs=64")
    assert "- weights             15.00 GiB  measured here" in shown
    assert ": weights, from a start with max_num_seqs unset" in shown


def test_a_search_goes_without(fit: Fit, log: Path) -> None:
    fit(*FLAGS, "--learn", str(log))
    shown = fit(*FLAGS, "--auto", "--target-len", "8192", "--format", "json")
    assert "measured here" not in shown


@pytest.mark.parametrize(
    ("flags", "text", "problem"),
    [
        (FLAGS, "INFO: nothing of memory", "has no line about weights or the KV cache"),
        (FLAGS[:4] + FLAGS[6:], "\n".join(LOG), "the release of a log must be known to learn from it"),
        (
            FLAGS,
            "vLLM API server version 0.32.0\n" + "\n".join(LOG),
            "is a log of vLLM 0.32.0, but the arguments are for 0.33.0",
        ),
        (FLAGS[:6], "\n".join(LOG).replace("131,072", "8,192"), "with max_model_len 8192, but the arguments give"),
    ],
    ids=["another log", "no release", "another release", "another length"],
)
def test_a_log_that_is_not_of_these_arguments_is_refused(
    fit: Fit, tmp_path: Path, flags: tuple[str, ...], text: str, problem: str
) -> None:
    (tmp_path / "a.log").write_text(text)
    assert problem in fit(*flags, "--learn", str(tmp_path / "a.log"), code=1)
    assert measurements.read_all() == []


def test_a_missing_log_is_one_sentence(fit: Fit, tmp_path: Path) -> None:
    assert "cannot read" in fit(*FLAGS, "--learn", str(tmp_path / "none.log"), code=1)


def test_fit_on_a_stack_knows_what_its_apply_learnt(
    learner: Learner, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    learner.apply()
    shown = json.loads(fit(str(learner.path), "--format", "json"))
    assert {i["kv_cache_tokens"]["source"] for i in shown["instances"].values()} == {"measured here"}
    assert {i["kv_cache_tokens"]["value"] for i in shown["instances"].values()} == {460496}


def test_every_real_log_can_be_kept_and_found_again() -> None:
    for i, start in enumerate(tomllib.loads((CASES / "startlogs.toml").read_text())["start"]):
        m = replace(of(0, max_model_len=1 + i), log=read_start_log(start["log"].splitlines()))
        measurements.keep(m)
        assert same_start(measurements.read_all(), m.started) == m


SERVES = InstanceStatus("here/tiny", "healthy", 1, "0.33.0", ("tiny",), "http://127.0.0.1:8801")
KNOWN = Measurement(
    of(0).started,
    StartLog(kv_cache_tokens=460496, max_concurrency=3.51, concurrency_len=131072, available_kv_gib=56.21),
    "2026-10-06T17:00:41.000Z",
    "here",
    142.4,
    Predicted(465120, 3.55, 56.78),
)


def test_status_has_predicted_beside_real() -> None:
    shown = status_text(FleetStatus("demo", (replace(SERVES, measured=KNOWN),)), Ink(enabled=False))
    assert (
        "KV cache: 460,496 tokens (predicted 465,120, +1.0 %); 3.51 requests of 131,072 tokens at once "
        "(predicted 3.55, +1.1 %); it served after 142 s\n" in shown
    )
    assert "KV cache" not in status_text(FleetStatus("demo", (SERVES,)), Ink(enabled=False))


def test_status_as_json_has_both_or_null() -> None:
    one, other = status_json(FleetStatus("demo", (SERVES, replace(SERVES, measured=KNOWN))))
    assert one["memory"] is None
    assert other["memory"] == {
        "kv_cache_tokens": {"measured": 460496, "predicted": 465120},
        "max_concurrency": {"measured": 3.51, "predicted": 3.55},
        "available_kv_gib": {"measured": 56.21, "predicted": 56.78},
        "start_seconds": 142.4,
        "measured_at": "2026-10-06T17:00:41.000Z",
    }
    alone = replace(KNOWN, predicted=None, start_seconds=None)
    shown = status_text(FleetStatus("demo", (replace(SERVES, measured=alone),)), Ink(enabled=False))
    assert "KV cache: 460,496 tokens; 3.51 requests of 131,072 tokens at once\n" in shown
