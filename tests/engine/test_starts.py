"""Four models of one host start at the same time, on a real daemon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.engine.conftest import GATE
from tests.live import STAND_IN, LiveDaemon
from tests.waiting import AT_MOST

pytestmark = pytest.mark.engine

MEET = 'touch "$0/$CORTEXCTL_MODEL"; until test "$(ls "$0" | wc -l)" -ge 4; do sleep 0.1; done'
"""Ends when it was started for four models."""


def test_four_models_are_in_their_gates_at_the_same_time(live: LiveDaemon, tmp_path: Path) -> None:
    """The hook at the end of each gate waits for the hooks of all others: one after the other, none would ever end."""
    (tmp_path / "met").mkdir()
    names = [f"{live.stack}-{letter}" for letter in "abcd"]
    models = "".join(
        f'[models.{name}]\nimage = "{STAND_IN}"\nsource = {{ repo = "org/tiny" }}\nserved_names = ["{name}"]\n'
        f'gpus = "none"\nshm_size = "64 MiB"\nenv = {{ STANDIN_START_SECONDS = "1" }}\n\n[models.{name}.gate]\n{GATE}\n'
        for name in names
    )
    stack, events = tmp_path / "stack.toml", tmp_path / "events.jsonl"
    stack.write_text(
        f'stack = "{live.stack}"\n\n[hosts.here]\nnetwork = "{live.stack}-net"\n\n'
        f'[hooks.meet]\non = "post_healthy"\ncommand = {json.dumps(["sh", "-c", MEET, str(tmp_path / "met")])}\n'
        f'timeout = "5m"\n\n{models}'
    )
    ran = live.cortexctl("apply", str(stack), "--auto-approve", "--events", str(events), timeout=AT_MOST)
    assert ran.code == 0, ran.out + ran.err
    assert "4 starts at a time" in ran.out + ran.err
    seen = [json.loads(line) for line in events.read_text().splitlines()]
    done = [e["kind"] for e in seen if e["type"] == "step_done"]
    started = [n for n, kind in enumerate(done) if kind == "start_container"]
    assert len(started) == 4
    assert max(started) < done.index("pass_gate")
    assert live.cortexctl("plan", str(stack), "--detailed-exitcode").code == 0
