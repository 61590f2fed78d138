"""What a person meets on the first days: exit codes, mistakes in the command line, and texts that must not mislead."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortexctl.apply.events import StepDone, StepStarted
from cortexctl.engines.vllm.diagnosis.diagnose import diagnose_end
from cortexctl.instance.labels import owner
from cortexctl.plan.request import Request
from cortexctl.plan.steps import CreateContainer
from cortexctl.render.apply.progress import LiveProgress
from cortexctl.render.apply.totals import Totals
from cortexctl.render.plan.phrases import batch_text, rollout_text
from cortexctl.render.style import Ink
from tests.applying import stack
from tests.fakes.world import World
from tests.memory import config_of
from tests.next_commands import CommandLine, command_line
from tests.reading import desired_from, model_text, stack_text
from tests.screen import Screen
from tests.waiting import wait_until

SECRET = '{ VLLM_API_KEY = { env = "KEY_OF_THE_OTHER" } }'


@pytest.fixture
def line(tmp_path: Path) -> Iterator[CommandLine]:
    """Two models on one host; the second needs a secret that is not set here."""
    world = World("demo", "here")
    (tmp_path / "stack.toml").write_text(stack_text(model_text("chat") + model_text("embed", secrets=SECRET)))
    with command_line(world, tmp_path, {}) as line:
        yield line


@pytest.mark.parametrize("selecting", [("--target", "chat"), ("--exclude", "embed"), ("--target", "here/chat")])
def test_the_secrets_of_models_that_are_not_selected_are_not_needed(
    line: CommandLine, selecting: tuple[str, ...]
) -> None:
    assert line.run("plan")[0] == 1
    assert "CX204" in line.errors
    assert line.run("plan", *selecting)[0] == 0
    assert line.run("apply", *selecting, "--auto-approve")[0] == 0
    code, _ = line.run("plan", "--target", "embed")
    assert (code, "CX204" in line.errors) == (1, True)


def test_a_container_of_another_environment_of_this_stack_is_explained(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(world.plan(stack(tmp_path, model_text())))
    path = tmp_path / "stack.toml"
    path.write_text(path.read_text() + "\n[env.staging]\n")
    staging = World(owner("demo", "staging"), "here")
    staging.daemons = world.daemons
    (d,) = staging.plan(desired_from(path, env="staging")).diagnostics
    assert d.summary == "here: a container named vllm-model-tiny exists and belongs to this stack with no environment"
    assert "each environment needs other model names" in d.help


@pytest.mark.parametrize(
    "options", [("--replace", "chat"), ("--restart", "chat"), ("--canary-hold",), ("--only", "drift")]
)
def test_a_destroy_has_no_option_without_effect(line: CommandLine, options: tuple[str, ...]) -> None:
    assert line.run("destroy", *options)[0] == 1
    assert "No such option" in line.errors
    assert line.run("plan", "--destroy", *options)[0] == 1
    assert "--destroy cannot be combined with" in line.errors


def test_a_replica_is_selected_by_the_name_that_the_plan_shows(tmp_path: Path) -> None:
    world = World("demo", "here")
    desired = stack(tmp_path, model_text(replicas="2"))
    plan = world.plan(desired, Request(target=("tiny.2",)))
    assert [c.address for c in plan.effective] == ["here/tiny.2"]
    assert not plan.diagnostics


def test_the_order_of_replicas_names_them_and_a_removal_promises_nothing(tmp_path: Path) -> None:
    world = World("demo", "here")
    desired = stack(tmp_path, model_text(replicas="2", rollout="{ canary = 1 }"))
    world.apply(world.plan(desired))
    plan = world.plan(desired, Request(replace=("*",)))
    assert [batch_text(r) for r in plan.rollouts] == ["tiny: here/tiny (canary), then here/tiny.2"]
    assert [rollout_text(r) for r in world.plan(desired, destroy=True).rollouts] == [""]


def test_a_plan_for_review_is_refused_and_a_damaged_one_is_named(line: CommandLine, tmp_path: Path) -> None:
    assert line.run("plan", "--against", "none", "--out", "review.json")[0] == 0
    assert line.run("apply", "review.json")[0] == 4
    assert line.errors.endswith("Next:  cortexctl plan --out review.json\n")
    with (tmp_path / "review.json").open("a") as file:
        file.write("x\n")
    assert line.run("apply", "review.json")[0] == 1
    assert "review.json is a damaged plan" in line.errors


class _InterruptedInput(io.StringIO):
    def isatty(self) -> bool:
        return True

    def readline(self, _size: int | None = -1) -> str:  # type: ignore[override]
        raise KeyboardInterrupt


def test_an_interrupt_at_the_prompt_changes_nothing(line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", _InterruptedInput())
    assert line.run("apply", "--target", "chat")[0] == 130
    assert "Error: interrupted; nothing was changed" in line.errors


def test_fit_exits_with_1_if_vllm_would_refuse(line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config_of("llama-3.1-8b")))
    options = ("fit", "--config", "config.json", "--vllm-version", "0.32.0", "--gpu")
    assert line.run(*options, "L40S:44.4")[0] == 0
    code, text = line.run(*options, "T4:14.6")
    assert code == 1
    assert "vLLM refuses to start." in text
    assert "next: a quantised checkpoint, or more GPUs" in text, "the weights alone are larger than the GPU"
    assert line.run(*options, "T4:14.6", "--format", "json")[0] == 1


def test_args_check_exits_with_1_if_the_engine_would_refuse_to_start(line: CommandLine) -> None:
    code, text = line.run("args", "check", "--vllm-version", "0.32.0", "--", "m", "--quantization", "int8")
    assert code == 1
    assert "accepts it" not in text


@pytest.mark.parametrize(
    ("extra", "rule", "sentence"),
    [
        ('["-tp", "2"]', "CX223", "1 GPU for 2 ranks (tensor_parallel_size 2)"),
        ('["--max-model-len 4096"]', "CX301", 'two words are in one: "--max-model-len 4096"'),
    ],
)
def test_extra_args_are_read_like_args(line: CommandLine, tmp_path: Path, extra: str, rule: str, sentence: str) -> None:
    (tmp_path / "stack.toml").write_text(
        stack_text(model_text(image='"vllm/vllm-openai:v0.32.0"', gpus="[0]", extra_args=extra))
    )
    _, text = line.run("validate")
    assert f"[{rule}] {sentence}" in text.replace("models.tiny: ", "")
    assert rule != "CX301" or 'write two words: "--max-model-len", "4096"' in text


def test_a_server_that_was_stopped_is_not_a_riddle() -> None:
    log = ["(APIServer pid=1) INFO:     Application startup complete.", "(APIServer pid=1) INFO:     Shutting down",
           "(APIServer pid=1) INFO:     Application shutdown complete."]  # fmt: skip
    diagnosis = diagnose_end(log, 0)
    assert diagnosis is not None
    assert diagnosis.cause == "it was stopped, and shut down in good order (exit code 0)"
    assert diagnose_end(log, None) is None
    assert diagnose_end([*log, "x"], 1) is None


@pytest.mark.parametrize("gpus", ['"none"', "[0]"])
def test_a_length_that_config_json_refutes_is_an_error_without_a_gpu_too(
    line: CommandLine, tmp_path: Path, gpus: str
) -> None:
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "models" / "tiny" / "config.json").write_text(json.dumps(config_of("qwen3-8b")))
    hosts = '[hosts.here]\nmodels_dir = "models"\n'
    for length, code in ((65536, 1), (40960, 0)):
        model = model_text(gpus=gpus) + f"[models.tiny.args]\nmax_model_len = {length}\n"
        (tmp_path / "stack.toml").write_text(stack_text(model, hosts=hosts))
        ended, text = line.run("validate")
        assert ended == code, text
        assert ("Error[CX316]" in text) is bool(code)


def test_a_finished_step_does_not_stand_below_its_own_line(tmp_path: Path) -> None:
    plan = World("demo", "here").plan(stack(tmp_path, model_text()))
    step = next(s for s in plan.steps if isinstance(s.task, CreateContainer))
    screen, now = Screen(), 0.0
    lines = screen.lines()
    totals = Totals(plan, lambda: now)
    with LiveProgress(lines, screen.funnel(lines).write, Ink(enabled=False), {}, 8, totals, lambda: now) as progress:
        now = 1.0
        progress(StepStarted(step))
        wait_until(lambda: " create vllm-model-tiny" in screen.text())
        progress(StepDone(step, 1.9, ""))
        written = screen.text()
    assert "   created vllm-model-tiny" in written
    assert " create vllm-model-tiny" not in written
    assert screen.text() == written.partition("\n")[0], "nothing else stays"


@pytest.mark.parametrize(
    ("path", "present", "advice"),
    [
        ("chat-9b", ("chat-8b", "other"), 'did you mean "chat-8b"?'),
        ("xyz", ("chat-8b", "other"), "it has: chat-8b, other"),
        ("chat-8b", ("chat-8b",), ""),
        ("chat-9b", (), ""),
    ],
    ids=["misspelt", "another", "there", "an empty folder may be filled later"],
)
def test_a_folder_that_models_dir_does_not_have(
    line: CommandLine, tmp_path: Path, path: str, present: tuple[str, ...], advice: str
) -> None:
    models_dir = tmp_path / "models"
    models_dir.mkdir()
    for name in present:
        (models_dir / name).mkdir()
    text = stack_text(model_text(source=f'{{ path = "{path}" }}'))
    (tmp_path / "stack.toml").write_text(text.replace('models_dir = "/models"', f'models_dir = "{models_dir}"'))
    code, shown = line.run("validate")
    assert code == 0, shown
    if advice:
        assert f"Warning[CX236] {models_dir} on this machine has no folder {path}" in " ".join(shown.split())
        assert f"help: {advice}" in shown
    else:
        assert "CX236" not in shown
