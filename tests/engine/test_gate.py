"""The gate on a real daemon with the stand-in: its result, and its messages."""

from __future__ import annotations

import pytest

from tests.engine.conftest import GATE, StackFile
from tests.live import LiveDaemon, Ran

pytestmark = pytest.mark.engine


def apply(live: LiveDaemon, stack: StackFile) -> Ran:
    return live.cortexctl("apply", str(stack), "--auto-approve")


def edit(stack: StackFile, old: str, new: str) -> None:
    text = stack.path.read_text()
    assert old in text
    stack.path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ({"CRASH_AFTER_SECONDS": "3"}, "it exited with code 1"),
        ({"CRASH_AFTER_SECONDS": "3", "EXIT_CODE": "0"}, "it exited with code 0, as vLLM does if its engine died"),
        ({"CRASH_AFTER_SECONDS": "3", "HANG": "/v1/chat"}, "it exited with code 1"),
        (
            {"ENGINE_DIES_AFTER_SECONDS": "6"},
            "it was ready, and then its vLLM engine died (/health answers 503)",
        ),
    ],
)
def test_a_server_that_dies_before_it_is_proven_is_removed(
    live: LiveDaemon, stack: StackFile, fault: dict[str, str], text: str
) -> None:
    stack.write(gate='stable_for = "60s"\n', **fault)
    failed = apply(live, stack)
    assert failed.code == 1
    assert text in failed.out
    assert live.containers() == {}


def test_a_server_that_exceeds_its_memory_limit_is_reported(live: LiveDaemon, stack: StackFile) -> None:
    stack.write(gate='stable_for = "60s"\n', TAKES_MIB="300")
    edit(stack, "publish =", 'memory = "96 MiB"\npublish =')
    failed = apply(live, stack)
    assert failed.code == 1
    assert "it needs more memory than it may use (its limit is 96 MiB)" in failed.out
    assert "raise the model's `memory`" in failed.out
    assert live.containers() == {}


def test_apply_waits_for_a_slow_start_that_progresses(live: LiveDaemon, stack: StackFile) -> None:
    """Its log shows a shard every four seconds."""
    stack.write(gate='stable_for = "1s"\nstartup_timeout = "11s"\n', START_SECONDS="12")
    applied = apply(live, stack)
    assert applied.code == 0, applied.out
    assert "loading weights 50%" in applied.err
    assert live.containers() == {stack.serving: "running"}


def test_bounds_that_are_met_and_one_that_is_not(live: LiveDaemon, stack: StackFile) -> None:
    bounds = GATE + 'max_ttft = "60s"\nmin_tokens_per_second = 2\nrequests = 2\n'
    stack.write(gate=bounds, TOKEN_SECONDS="0.02")
    applied = apply(live, stack)
    assert applied.code == 0, applied.out
    assert "tokens a second" in applied.err
    stack.write(gate=bounds, TOKEN_SECONDS="0.02", more=stack.args(max_model_len=1024))
    edit(stack, "min_tokens_per_second = 2\n", "min_tokens_per_second = 500.0\n")
    failed = apply(live, stack)
    assert failed.code == 1
    assert "tokens a second, but gate.min_tokens_per_second is 500" in failed.out
    assert "lower gate.min_tokens_per_second (below " in failed.out
    assert "generation 1 serves again" in failed.out


def test_a_model_without_a_chat_template_gets_a_completion_request(live: LiveDaemon, stack: StackFile) -> None:
    stack.write(CHAT_TEMPLATE="0")
    applied = apply(live, stack)
    assert applied.code == 0, applied.out
    assert "to a completion, because it has no chat template" in applied.err


def test_a_server_that_transcribes(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    edit(stack, 'repo = "org/tiny" }', 'repo = "org/whisper-tiny" }\ntask = "transcription"')
    applied = apply(live, stack)
    assert applied.code == 0, applied.out
    assert "answered one second of audio with 23 characters" in applied.err


def test_an_embedding_has_the_dimension_that_is_wanted(live: LiveDaemon, stack: StackFile) -> None:
    stack.write(gate=GATE + "smoke = { dimensions = 1024 }\n")
    edit(stack, "publish =", 'task = "embed"\npublish =')
    failed = apply(live, stack)
    assert failed.code == 1
    assert "its embedding has 8 numbers, but gate.smoke.dimensions is 1024" in failed.out
    edit(stack, "1024", "8")
    applied = apply(live, stack)
    assert applied.code == 0, applied.out
    assert "answered with an embedding of 8 numbers" in applied.err
