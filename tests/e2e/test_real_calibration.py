"""The start of `doctor --calibrate`, with a real vLLM: the CPU build, so without the constants of a card."""

from __future__ import annotations

import json
import secrets

import pytest

from cortexctl.desired.stack import Host
from cortexctl.engines.vllm.memory.calibration import CONFIG, ENVIRONMENT, OPTIONS, read_constants
from cortexctl.hosts.calibrate_gpu import calibrate_gpu
from cortexctl.hosts.transports.choice import connection_to
from tests.live import REAL_VLLM, live_daemon
from tests.waiting import wait_until

pytestmark = pytest.mark.vllm

SMALL = {"num_hidden_layers": 2, "hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 2}
ON_A_CPU = {"enforce_eager": True, "dtype": "float32"}


def output() -> str:
    settings = {
        "config": {**CONFIG, **SMALL, "num_key_value_heads": 2},
        "options": {**OPTIONS, **ON_A_CPU},
        "environment": {**ENVIRONMENT, "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1"},
    }
    with live_daemon(f"cxt-{secrets.token_hex(3)}") as live:
        image = live.docker_cli("image", "inspect", "--format", "{{.Id}}", REAL_VLLM)
        at = connection_to(Host("here", live.docker))
        printed = calibrate_gpu(at, live.stack, image, json.dumps(settings), None, ENVIRONMENT)
        wait_until(lambda: live.docker_cli("ps", "-aq", "--filter", f"label=cortexctl.probe={live.stack}") == "")
    return printed


def test_a_small_model_starts_and_its_log_is_read() -> None:
    constants = read_constants(output())
    assert constants.release == "0.32.0"
    assert (constants.free, constants.multiprocessors, constants.graph) == (None, None, None)
