"""Requests to a server that answers like vLLM: the lab's stand-in, in a separate process."""

from __future__ import annotations

import io
import itertools
import math
import os
import socket
import struct
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cortexctl.desired.stack import Smoke
from cortexctl.engines.vllm.contract import CONTRACT
from cortexctl.errors import ProbeFailed
from cortexctl.health.prober import MEASURED_TOKENS, HttpProber
from cortexctl.health.query import Declined
from cortexctl.health.test_audio import one_second
from tests.fakes.http_servers import answers, hang, server, slam
from tests.fakes.ports import reserved_port
from tests.fakes.reach import LoopbackReach
from tests.fakes.sockets import read_request

STAND_IN = Path(__file__).parent.parent / "lab" / "standin.py"


@contextmanager
def stand_in(*options: str, model: str = "tiny", **settings: str) -> Iterator[LoopbackReach]:
    env = {**os.environ, **{f"STANDIN_{name}": value for name, value in settings.items()}}
    argv = [sys.executable, str(STAND_IN), "serve", model, "--host", "127.0.0.1", *options]
    with reserved_port() as port:
        process = subprocess.Popen(
            [*argv, "--port", str(port)], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        reach = LoopbackReach(port)
        try:
            for _ in range(1200):
                if not HttpProber(CONTRACT).health(reach):
                    break
                time.sleep(0.05)
            yield reach
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def prober() -> HttpProber:
    return HttpProber(CONTRACT)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer may take long on a loaded machine."""
    monkeypatch.setattr("cortexctl.health.prober.QUICK", 60)


@pytest.mark.parametrize(
    ("task", "options", "model", "settings", "answer"),
    [
        ("generate", (), "tiny", {}, "answered with 4 tokens to a chat"),
        (
            "generate",
            (),
            "tiny",
            {"CHAT_TEMPLATE": "0"},
            "answered with 4 tokens to a completion, because it has no chat template",
        ),
        ("embed", ("--runner", "pooling"), "tiny", {}, "answered with an embedding of 8 numbers"),
        ("classify", ("--runner", "pooling"), "tiny", {}, "answered with the class LABEL_0"),
        ("reward", ("--runner", "pooling"), "tiny", {}, "answered with pooled numbers"),
        ("transcription", (), "openai/whisper-tiny", {}, "answered one second of audio with 23 characters"),
    ],
)
def test_the_first_request_is_that_of_the_task(
    prober: HttpProber, task: str, options: tuple[str, ...], model: str, settings: dict[str, str], answer: str
) -> None:
    with stand_in(*options, model=model, **settings) as reach:
        assert prober.smoke(reach, None, task, model, Smoke()) == answer


def test_a_score_and_a_key_and_a_dimension(prober: HttpProber) -> None:
    with stand_in("--runner", "pooling", "--api-key", "k") as reach:
        assert prober.smoke(reach, "k", "score", "tiny", Smoke()).startswith("answered with a score of 0.")
        assert prober.smoke(reach, "k", "embed", "tiny", Smoke(dimensions=8)).endswith("8 numbers")
        with pytest.raises(ProbeFailed, match=r"its embedding has 8 numbers, but gate\.smoke\.dimensions is 1024"):
            prober.smoke(reach, "k", "embed", "tiny", Smoke(dimensions=1024))
        with pytest.raises(Declined, match="status 401: Unauthorized"):
            prober.smoke(reach, None, "embed", "tiny", Smoke())
        with pytest.raises(Declined, match="status 404: Not Found"):
            prober.smoke(reach, "k", "transcription", "tiny", Smoke())


def test_only_a_missing_chat_template_makes_a_completion_of_a_chat(prober: HttpProber) -> None:
    with stand_in(COMPLETION_STATUS="400") as reach, pytest.raises(Declined, match="EngineCore encountered"):
        prober.smoke(reach, None, "generate", "tiny", Smoke())


def test_a_speed_is_that_of_the_stream(prober: HttpProber) -> None:
    with stand_in(TOKEN_SECONDS="0.02") as reach:
        speed = prober.speed(reach, None, "tiny", Smoke())
    assert speed.first_token >= 0.02
    rest = MEASURED_TOKENS - 1
    assert speed.tokens_per_second > 1
    assert speed.first_token + rest / speed.tokens_per_second >= MEASURED_TOKENS * 0.02, "a token each 20 ms"


def test_an_incomplete_stream_has_no_speed(prober: HttpProber) -> None:
    with (
        stand_in(TOKEN_SECONDS="0.2", ENGINE_DIES_AFTER_SECONDS="1") as reach,
        pytest.raises(ProbeFailed, match="EngineCore encountered an issue"),
    ):
        prober.speed(reach, None, "tiny", Smoke())


EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


def drips_events(connection: socket.socket) -> None:
    """Each in time, and no end."""
    read_request(connection)
    connection.sendall(EVENTS)
    for _ in range(50):
        connection.sendall(b'data: {"choices": [{}]}\n\n')
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("behave", "error"),
    [
        (answers(EVENTS + b"data: [DONE]\n\n"), "it streamed no token"),
        (answers(EVENTS + b"data: {not json}\n\n"), "an event of the answer is not JSON"),
        (answers(EVENTS + b"data: 7\n\n"), "the answer has no choices"),
        (
            answers(EVENTS + b'data: {"choices": [{}]}\n\ndata: {"choices": [], "usage": {}}\n\n'),
            "no token usage",
        ),
        (answers(EVENTS + b'data: {"choices": [], "usage": {"x": 1}}\n\n'), "has no usage.completion_tokens"),
        (answers(b"HTTP/1.1 500 Oh\r\n\r\nit broke"), "status 500: it broke"),
        (answers(b'HTTP/1.1 422 Oh\r\n\r\n{"detail": [{"msg": "missing"}]}'), "status 422: .*missing"),
        (answers(b'HTTP/1.1 400 Oh\r\n\r\n{"object": "error", "message": "old form"}'), "status 400: old form"),
        (slam, "no answer"),
        (hang, "no answer"),
        (drips_events, "no answer"),
    ],
)
def test_an_invalid_stream_of_tokens_is_one_sentence(
    prober: HttpProber, behave: Callable[[socket.socket], None], error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cortexctl.health.prober.SMOKE", 0.5 if error == "no answer" else 60)
    with server(behave) as reach, pytest.raises(ProbeFailed, match=error):
        prober.speed(reach, None, "tiny", Smoke())


def test_the_test_audio_is_one_second_of_one_frequency() -> None:
    with wave.open(io.BytesIO(one_second())) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 16_000)
        assert sound.getnframes() == 16_000
        frames = struct.unpack("<16000h", sound.readframes(16_000))
    rising = sum(a < 0 <= b for a, b in itertools.pairwise(frames))
    assert abs(rising - 440) <= 1
    assert 0.13 < math.sqrt(sum(f * f for f in frames) / 16_000) / 32767 < 0.15
