"""Restart, update in place, new names, narrowed plans and snapshots, on a real daemon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.engine.conftest import StackFile
from tests.live import LiveDaemon

pytestmark = pytest.mark.engine


def applied(live: LiveDaemon, stack: StackFile, *arguments: str) -> str:
    ran = live.cortexctl("apply", str(stack), "--auto-approve", *arguments)
    assert ran.code == 0, ran.out + ran.err
    return ran.out


def started_at(live: LiveDaemon, name: str) -> str:
    return str(live.inspect(name)["State"]["StartedAt"])


def edit(stack: StackFile, old: str, new: str) -> None:
    text = stack.path.read_text()
    assert old in text
    stack.path.write_text(text.replace(old, new))


def test_limits_and_restart_policy_change_without_a_restart(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    applied(live, stack)
    container, began = live.inspect(stack.serving)["Id"], started_at(live, stack.serving)
    edit(stack, 'gpus = "none"\n', 'gpus = "none"\nmemory = "256 MiB"\ncpus = 0.5\nrestart = "always"\n')
    planned = live.cortexctl("plan", str(stack))
    assert "update in place   no restart" in planned.out
    applied(live, stack)
    inspected = live.inspect(stack.serving)
    assert (inspected["Id"], started_at(live, stack.serving)) == (container, began)
    assert inspected["HostConfig"]["Memory"] == 256 * 2**20
    assert inspected["HostConfig"]["CpuQuota"] == 50_000
    assert inspected["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert live.cortexctl("plan", str(stack), "--detailed-exitcode").code == 0, "its label cannot follow; inspect does"
    live.docker_cli("update", "--memory", "512m", "--memory-swap", "512m", stack.serving)
    assert "memory   512 MiB -> 256 MiB" in live.cortexctl("plan", str(stack)).out


def test_a_restart_is_a_new_process_in_the_same_container(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    applied(live, stack)
    container, began = live.inspect(stack.serving)["Id"], started_at(live, stack.serving)
    assert "1 restarted" in applied(live, stack, "--restart", stack.model)
    assert live.inspect(stack.serving)["Id"] == container
    assert started_at(live, stack.serving) != began
    assert live.inspect(stack.serving)["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_a_moved_model_gets_a_new_name_and_nothing_else(live: LiveDaemon, stack: StackFile) -> None:
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


def test_two_environments_of_a_stack_do_not_see_each_other(live: LiveDaemon, stack: StackFile) -> None:
    stack.write(more=f"[env.staging.models.{stack.model}.args]\nmax_model_len = 512\n")
    applied(live, stack)
    refused = live.cortexctl("plan", str(stack), "--env", "staging")
    assert refused.code == 1
    assert f"{stack.serving} exists and belongs to this stack with no environment" in refused.out
    assert "env staging" in refused.out
    emptied = live.cortexctl("destroy", str(stack), "--env", "staging", "--auto-approve")
    assert "Nothing to destroy" in emptied.out
    assert live.containers() == {stack.serving: "running"}


def test_a_snapshot_gives_the_plan_that_the_live_host_gives(live: LiveDaemon, stack: StackFile, tmp_path: Path) -> None:
    live.run_foreign(f"{live.stack}-theirs", "--label", "password=planted-in-a-label")
    stack.write(more=stack.args(max_model_len=1024))
    applied(live, stack)
    snapshot = str(tmp_path / "snap.json")
    same_from_both(live, stack, snapshot)
    assert "planted-in-a-label" not in Path(snapshot).read_text()
    edit(stack, "max_model_len = 1024", "max_model_len = 512")
    same_from_both(live, stack, snapshot)


def same_from_both(live: LiveDaemon, stack: StackFile, snapshot: str) -> None:
    """Both plans are equal, except for their source, and so their digest. Both count the containers of other tests: read
    them again until their number is the same in both.
    """
    for _ in range(20):
        assert live.cortexctl("observe", str(stack), "--out", snapshot).code == 0
        from_snapshot = json.loads(live.cortexctl("plan", str(stack), "--observed", snapshot, "--format", "json").out)
        from_host = json.loads(live.cortexctl("plan", str(stack), "--format", "json").out)
        if from_snapshot["hosts"] == from_host["hosts"]:
            break
    assert from_host["hosts"][0]["unmanaged"] >= 1
    assert from_snapshot.pop("basis").startswith(f"snapshot {snapshot} of 20")
    assert from_host.pop("basis") == ""
    assert from_snapshot.pop("digest") != from_host.pop("digest")
    for key, value in from_host.items():
        assert from_snapshot[key] == value, key
    assert from_snapshot.keys() == from_host.keys()


def test_a_plan_for_review_is_never_applied(live: LiveDaemon, stack: StackFile, tmp_path: Path) -> None:
    stack.write()
    saved = str(tmp_path / "plan.json")
    assert live.cortexctl("plan", str(stack), "--against", str(stack), "--out", saved).code == 0
    refused = live.cortexctl("apply", saved)
    assert refused.code == 4
    assert "was planned for review" in refused.err


def test_a_plan_whose_stack_has_changed_is_stale(live: LiveDaemon, stack: StackFile, tmp_path: Path) -> None:
    stack.write()
    saved = str(tmp_path / "plan.json")
    assert live.cortexctl("plan", str(stack), "--out", saved).code == 0
    stack.write(more=stack.args(max_model_len=512))
    refused = live.cortexctl("apply", saved)
    assert refused.code == 4
    assert "has changed since the plan was created" in refused.err
    assert live.containers() == {}


def test_what_a_replacement_costs_is_what_it_took_before(live: LiveDaemon, stack: StackFile) -> None:
    """Recorded by the daemon itself, and gone with the stack."""
    stack.write(more=stack.args(max_model_len=1024), START_SECONDS="2")
    assert "ready in at most 1m" in live.cortexctl("plan", str(stack)).out
    applied(live, stack)
    edit(stack, "max_model_len = 1024", "max_model_len = 512")
    (change,) = json.loads(live.cortexctl("plan", str(stack), "--format", "json").out)["changes"]
    assert 2 <= change["cost"]["expected_seconds"] <= 30
    assert (change["cost"]["starts"], change["cost"]["stops"]) == (1, 0)
    applied(live, stack)
    edit(stack, "max_model_len = 512", "max_model_len = 256")
    (change,) = json.loads(live.cortexctl("plan", str(stack), "--format", "json").out)["changes"]
    assert (change["cost"]["starts"], change["cost"]["stops"]) == (2, 1)
    assert live.everything()["volumes"] == [f"cortexctl-record-{live.stack}"]
    assert live.cortexctl("destroy", str(stack), "--auto-approve").code == 0
    assert live.everything()["volumes"] == []


def test_start_first_keeps_the_old_one_until_the_new_one_serves(live: LiveDaemon, stack: StackFile) -> None:
    stack.write(more=stack.args(max_model_len=1024))
    edit(stack, 'drain = "2s"', 'drain = "2s"\nstrategy = "start_first"')
    applied(live, stack)
    old = live.inspect(stack.serving)["Id"]
    edit(stack, "max_model_len = 1024", "max_model_len = 512")
    assert "replace (start first)" in live.cortexctl("plan", str(stack)).out
    applied(live, stack)
    new, was = live.inspect(stack.serving), live.inspect(f"{stack.serving}--g1")
    assert was["Id"] == old
    assert new["State"]["StartedAt"] < was["State"]["FinishedAt"]
    assert live.cortexctl("plan", str(stack), "--detailed-exitcode").code == 0


def test_only_drift_leaves_what_is_pending(live: LiveDaemon, stack: StackFile) -> None:
    stack.write(more=stack.args(max_model_len=1024))
    applied(live, stack)
    edit(stack, "max_model_len = 1024", "max_model_len = 512")
    live.docker_cli("rm", "-f", stack.serving)
    planned = live.cortexctl("plan", str(stack), "--only", "drift")
    assert "because its container, which run " in planned.out
    applied(live, stack, "--only", "drift")
    spec = json.loads(live.inspect(stack.serving)["Config"]["Labels"]["cortexctl.spec"])
    assert spec["server"]["args"] == {"max_model_len": 1024}
    assert "No changes." in live.cortexctl("plan", str(stack), "--only", "drift").out
    live.docker_cli("network", "disconnect", f"{live.stack}-net", stack.serving)
    live.docker_cli("rename", stack.serving, f"{live.stack}-by-hand")
    applied(live, stack, "--only", "drift")
    assert list(live.inspect(stack.serving)["NetworkSettings"]["Networks"]) == [f"{live.stack}-net"]
    assert "args.max_model_len   1024 -> 512" in live.cortexctl("plan", str(stack)).out


def test_gpus_by_number_are_chosen_without_one(live: LiveDaemon, stack: StackFile) -> None:
    """The lab has no GPUs, so only the plan is checked, not the request to the daemon."""
    stack.write()
    edit(stack, "[hosts.here]\n", "[hosts.here]\ngpus = { count = 4 }\n")
    edit(stack, 'gpus = "none"', "gpus = 2")
    edit(stack, f"[models.{stack.model}.gate]", stack.args(tensor_parallel_size=2) + f"[models.{stack.model}.gate]")
    planned = json.loads(live.cortexctl("plan", str(stack), "--format", "json").out)
    assert [c["after"]["container"]["gpus"] for c in planned["changes"]] == [[0, 1]]
    assert planned["hosts"][0]["gpus_after"] == 2
