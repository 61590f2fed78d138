"""Restart, update in place, new names, narrowed plans and snapshots, on a real engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.engine.conftest import StackFile
from tests.live import LiveEngine

pytestmark = pytest.mark.engine


def applied(live: LiveEngine, stack: StackFile, *arguments: str) -> str:
    ran = live.cortexctl("apply", str(stack), "--auto-approve", *arguments)
    assert ran.code == 0, ran.out + ran.err
    return ran.out


def started_at(live: LiveEngine, name: str) -> str:
    return str(live.inspect(name)["State"]["StartedAt"])


def edit(stack: StackFile, old: str, new: str) -> None:
    text = stack.path.read_text()
    assert old in text
    stack.path.write_text(text.replace(old, new))


def test_limits_and_restart_policy_change_without_a_restart(live: LiveEngine, stack: StackFile) -> None:
    stack.write()
    applied(live, stack)
    container, began = live.inspect(stack.serving)["Id"], started_at(live, stack.serving)
    edit(stack, 'gpus = "none"\n', 'gpus = "none"\nmemory = "256 MiB"\ncpus = 0.5\nrestart = "always"\n')
    planned = live.cortexctl("plan", str(stack))
    assert "update in place   no restart" in planned.out
    applied(live, stack)
    found = live.inspect(stack.serving)
    assert (found["Id"], started_at(live, stack.serving)) == (container, began)
    assert found["HostConfig"]["Memory"] == 256 * 2**20
    assert found["HostConfig"]["CpuQuota"] == 50_000
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert live.cortexctl("plan", str(stack), "--detailed-exitcode").code == 0, "its label cannot follow; inspect does"
    live.docker_cli("update", "--memory", "512m", "--memory-swap", "512m", stack.serving)
    assert "memory   512 MiB -> 256 MiB" in live.cortexctl("plan", str(stack)).out


def test_a_restart_is_a_new_process_in_the_same_container(live: LiveEngine, stack: StackFile) -> None:
    stack.write()
    applied(live, stack)
    container, began = live.inspect(stack.serving)["Id"], started_at(live, stack.serving)
    assert "1 restarted" in applied(live, stack, "--restart", stack.model)
    assert live.inspect(stack.serving)["Id"] == container
    assert started_at(live, stack.serving) != began
    assert live.inspect(stack.serving)["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_a_moved_model_gets_a_new_name_and_nothing_else(live: LiveEngine, stack: StackFile) -> None:
    stack.write()
    applied(live, stack)
    container, began = live.inspect(stack.serving)["Id"], started_at(live, stack.serving)
    old, new = stack.model, f"{stack.model}2"
    text = stack.path.read_text().replace(f"models.{old}", f"models.{new}")
    stack.path.write_text(text + f'\n[[moved]]\nfrom = "{old}"\nto = "{new}"\n')
    assert "new name only   no restart" in live.cortexctl("plan", str(stack)).out
    applied(live, stack)
    assert live.containers() == {f"vllm-model-{new}": "running"}
    assert live.inspect(f"vllm-model-{new}")["Id"] == container
    assert started_at(live, f"vllm-model-{new}") == began
    assert live.cortexctl("plan", str(stack), "--detailed-exitcode").code == 0
    assert live.cortexctl("destroy", str(stack), "--auto-approve").code == 0
    assert live.containers() == {}


def test_two_environments_of_a_stack_do_not_see_each_other(live: LiveEngine, stack: StackFile) -> None:
    stack.write(more=f"[env.staging.models.{stack.model}.args]\nmax_model_len = 512\n")
    applied(live, stack)
    refused = live.cortexctl("plan", str(stack), "--env", "staging")
    assert refused.code == 1
    assert f'{stack.serving} exists and belongs to the stack "{live.stack}"' in refused.out
    assert "env staging" in refused.out
    emptied = live.cortexctl("destroy", str(stack), "--env", "staging", "--auto-approve")
    assert "Nothing to destroy" in emptied.out
    assert live.containers() == {stack.serving: "running"}


def test_a_snapshot_gives_the_plan_that_the_live_host_gives(live: LiveEngine, stack: StackFile, tmp_path: Path) -> None:
    live.run_foreign(f"{live.stack}-theirs", "--label", "password=planted-in-a-label")
    stack.write(more=stack.args(max_model_len=1024))
    applied(live, stack)
    snapshot = str(tmp_path / "snap.json")
    assert live.cortexctl("observe", str(stack), "--out", snapshot).code == 0
    assert "planted-in-a-label" not in Path(snapshot).read_text()
    same_from_both(live, stack, snapshot)
    edit(stack, "max_model_len = 1024", "max_model_len = 512")
    same_from_both(live, stack, snapshot)


def same_from_both(live: LiveEngine, stack: StackFile, snapshot: str) -> None:
    """But for what it was made against, and so for its digest."""
    from_snapshot = json.loads(live.cortexctl("plan", str(stack), "--observed", snapshot, "--format", "json").out)
    from_host = json.loads(live.cortexctl("plan", str(stack), "--format", "json").out)
    assert (from_snapshot.pop("basis"), from_host.pop("basis")) == (f"snapshot {snapshot}", "")
    assert from_snapshot.pop("digest") != from_host.pop("digest")
    for key, value in from_host.items():
        assert from_snapshot[key] == value, key
    assert from_snapshot.keys() == from_host.keys()


def test_a_plan_for_review_is_never_applied(live: LiveEngine, stack: StackFile, tmp_path: Path) -> None:
    stack.write()
    saved = str(tmp_path / "plan.json")
    assert live.cortexctl("plan", str(stack), "--against", str(stack), "--out", saved).code == 0
    refused = live.cortexctl("apply", saved)
    assert refused.code == 1
    assert "was made for review" in refused.err


def test_a_plan_whose_stack_has_changed_is_stale(live: LiveEngine, stack: StackFile, tmp_path: Path) -> None:
    stack.write()
    saved = str(tmp_path / "plan.json")
    assert live.cortexctl("plan", str(stack), "--out", saved).code == 0
    stack.write(more=stack.args(max_model_len=512))
    refused = live.cortexctl("apply", saved)
    assert refused.code == 4
    assert "has changed since the plan was made" in refused.err
    assert live.containers() == {}
