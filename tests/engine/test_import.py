"""From `docker run` as people type it to a container of the stack, without a restart, on a real daemon."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.live import MODELS, REAL_VLLM, STAND_IN, LiveDaemon, Ran
from tests.waiting import AT_MOST

pytestmark = pytest.mark.engine

PLANTED = "planted-7f3a"
SECRETS = {"HF_TOKEN": f"hf_{PLANTED}", "VLLM_API_KEY": f"{PLANTED}-key", "WEBHOOK": f"http://u:{PLANTED}@h/x"}


class Moving:
    """A stack file that has a host and no model yet, and a container beside it."""

    def __init__(self, live: LiveDaemon, folder: Path) -> None:
        self.live = live
        self.path = folder / "stack.toml"
        self.models = folder / "models"
        (self.models / "tiny").mkdir(parents=True)
        self.name = f"{live.stack}-by-hand"
        self.model = f"{live.stack}-m"
        self.path.write_text(
            f'stack = "{live.stack}"\n\n[hosts.here]\nnetwork = "{live.stack}-net"\nmodels_dir = "{self.models}"\n'
        )

    @property
    def serving(self) -> str:
        return f"vllm-model-{self.model}"

    def start(
        self, *options: str, arguments: Sequence[str] = ("--model", "/models/tiny"), image: str = STAND_IN
    ) -> None:
        mounts = ("-v", f"{self.models}:/models:ro", "-p", "127.0.0.1::8000")
        self.live.run_foreign(self.name, *mounts, *options, arguments=arguments, image=image)
        if image == STAND_IN:
            self.live.until_serving(self.name)

    def run(self, command: str, *arguments: str) -> Ran:
        ran = self.live.cortexctl(command, *arguments, timeout=AT_MOST, **SECRETS)
        assert PLANTED not in ran.out + ran.err, command
        assert "Traceback" not in ran.err
        return ran

    def imported(self, *arguments: str) -> str:
        ran = self.run("import", "here", self.name, "--stack", str(self.path), "--model", self.model, *arguments)
        assert ran.code == 0, ran.err
        return ran.out

    def paste(self, block: str, *more: str) -> None:
        quick = f'\n[models.{self.model}.gate]\nstable_for = "1s"\nstartup_timeout = "60s"\n'
        self.path.write_text("\n".join([self.path.read_text(), block, quick, *more]))

    def plan(self) -> list[tuple[str, list[str]]]:
        """Action and fields of every change that does something."""
        ran = self.run("plan", str(self.path), "--format", "json")
        assert ran.code == 0, ran.out + ran.err
        changes = json.loads(ran.out)["changes"]
        return [(c["action"], [f["path"] for f in c["fields"]]) for c in changes if c["action"] != "no-op"]

    def apply(self, *arguments: str) -> str:
        ran = self.run("apply", str(self.path), "--auto-approve", *arguments)
        assert ran.code == 0, ran.out + ran.err
        return ran.out

    def quiet(self) -> None:
        assert self.run("drift", str(self.path), "--detailed-exitcode").out.startswith("No drift")
        assert self.run("drift", str(self.path), "--detailed-exitcode", "--deep").out.startswith("No drift")

    def who(self, name: str) -> tuple[str, str]:
        """The container's id, and the start time of its process."""
        inspected = self.live.inspect(name)
        return inspected["Id"], inspected["State"]["StartedAt"]

    def edit(self, old: str, new: str) -> None:
        text = self.path.read_text()
        assert text.count(old) == 1, text
        self.path.write_text(text.replace(old, new))


@pytest.fixture
def moving(live: LiveDaemon, tmp_path: Path) -> Moving:
    return Moving(live, tmp_path)


ARGUMENTS = (
    *("--model", "/models/tiny", "--served-model-name", "tiny", "tiny-alias", "--max-model-len", "1k"),
    *("--gpu-memory-utilization=0.90", "--hf-overrides", '{"a": {"b": [1, 2]}}', "--no-enable-prefix-caching"),
    *("--api-key", SECRETS["VLLM_API_KEY"], "--some-new-option", "x", "y"),
)
OPTIONS = (
    *("-e", f"HF_TOKEN={SECRETS['HF_TOKEN']}", "-e", f"WEBHOOK={SECRETS['WEBHOOK']}", "-e", "OPEN=a b"),
    *("--restart", "always", "--shm-size", "128m", "--memory", "512m", "--cpus", "0.5", "--add-host", "x:127.0.0.1"),
)


def without_others(part: Any) -> Any:
    """Without the number of unmanaged containers: other tests create and remove theirs meanwhile."""
    is_host = isinstance(part, list) and part and isinstance(part[0], dict) and "unmanaged" in part[0]
    return [{**host, "unmanaged": 0} for host in part] if is_host else part


def test_from_docker_run_to_the_stack_without_a_restart(live: LiveDaemon, moving: Moving, tmp_path: Path) -> None:
    volume = f"{live.stack}-cache"
    moving.start(*OPTIONS, "-v", f"{volume}:/root/.cache/huggingface", arguments=ARGUMENTS)
    was = moving.who(moving.name)
    listed = moving.run("import", "here", "--stack", str(moving.path))
    assert (listed.code, moving.name in listed.out) == (0, True)
    block = moving.imported()
    for expected in (
        "Set these in cortexctl's environment",
        "HF_TOKEN, VLLM_API_KEY, WEBHOOK",
        "extra hosts",
        "becomes the secret",
    ):
        assert expected in block
    moving.paste(block)
    assert moving.run("fmt", "--check", str(moving.path)).code in {0, 3}
    assert moving.plan() == [("adopt", [])]
    snapshot = tmp_path / "snap.json"
    assert moving.run("observe", str(moving.path), "--out", str(snapshot)).code == 0
    assert PLANTED not in snapshot.read_text()
    from_snapshot = json.loads(
        moving.run("plan", str(moving.path), "--observed", str(snapshot), "--format", "json").out
    )
    # A review reads no secret, so the plan that it is compared with reads none either.
    from_host = json.loads(moving.run("plan", str(moving.path), "--no-commands", "--format", "json").out)
    for key in from_host.keys() - {"basis", "digest"}:
        assert without_others(from_snapshot[key]) == without_others(from_host[key]), key
    assert moving.run("status", str(moving.path)).out.count("healthy") == 1

    assert "1 adopted" in moving.apply()
    assert moving.who(moving.serving) == was
    assert moving.plan() == []
    moving.quiet()
    status = json.loads(moving.run("status", str(moving.path), "--format", "json").out)
    assert [(row["state"], row["generation"]) for row in status] == [("healthy", 0)]
    assert moving.run("logs", f"here/{moving.model}", "--stack", str(moving.path)).code == 0

    moving.edit("max_model_len = 1000", "max_model_len = 512")
    assert moving.plan() == [("replace", ["args.max_model_len"])]
    assert "1 replaced" in moving.apply()
    new = live.inspect(moving.serving)
    assert new["Id"] != was[0]
    assert new["Config"]["Labels"]["cortexctl.generation"] == "1"
    assert new["HostConfig"]["CapDrop"] == ["ALL"]
    assert SECRETS["VLLM_API_KEY"] not in " ".join(new["Config"]["Cmd"])
    assert live.inspect(f"{moving.serving}--g0")["Id"] == was[0]
    assert live.inspect(f"{moving.serving}--g0")["State"]["Running"] is False
    assert moving.plan() == []
    text = moving.path.read_text()
    moving.path.write_text("".join(line for line in text.splitlines(keepends=True) if not line.startswith("adopt =")))
    assert moving.plan() == []
    assert moving.run("destroy", str(moving.path), "--auto-approve").code == 0
    assert live.containers() == {}


def test_a_replacement_that_fails_brings_the_adopted_one_back(live: LiveDaemon, moving: Moving) -> None:
    moving.start("--restart", "unless-stopped")
    moving.paste(moving.imported(), f"[models.{moving.model}.env]\n")
    moving.apply()
    was = moving.who(moving.serving)[0]
    moving.edit(f"[models.{moving.model}.env]\n", f'[models.{moving.model}.env]\nSTANDIN_CRASH_AFTER_SECONDS = "0.1"\n')
    assert [action for action, _ in moving.plan()] == ["replace"]
    failed = moving.run("apply", str(moving.path), "--auto-approve")
    assert failed.code == 1, failed.out
    assert "rolled back" in failed.out
    inspected = live.inspect(moving.serving)
    assert (inspected["Id"], inspected["State"]["Running"]) == (was, True)
    assert inspected["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_one_that_has_the_serving_name_needs_no_apply(live: LiveDaemon, moving: Moving) -> None:
    moving.name = moving.serving
    moving.start()
    was = moving.who(moving.name)
    ran = moving.run("import", "here", moving.name, "--stack", str(moving.path))
    assert (ran.code, "shows no change" in ran.out) == (0, True), ran.err
    moving.paste(ran.out)
    assert moving.plan() == []
    moving.quiet()
    live.docker_cli("stop", moving.name)
    findings = json.loads(moving.run("drift", str(moving.path), "--format", "json").out)["findings"]
    assert [(f["kind"], f["code"]) for f in findings if f["kind"] != "unmanaged"] == [("drift", "stopped")]
    assert [action for action, _ in moving.plan()] == ["start"]
    moving.apply()
    assert moving.who(moving.name)[0] == was[0]
    assert moving.plan() == []


def test_destroy_removes_an_adopted_one_and_leaves_its_nameless_volume(live: LiveDaemon, moving: Moving) -> None:
    moving.start("-v", "/weights")
    volume = next(m["Name"] for m in live.inspect(moving.name)["Mounts"] if m["Destination"] == "/weights")
    try:
        moving.paste(moving.imported())
        moving.apply()
        assert moving.run("destroy", str(moving.path), "--auto-approve").code == 0
        assert live.everything()["containers"] == []
        assert volume in live.docker_cli("volume", "ls", "-q").split()
    finally:
        live.docker_cli("volume", "rm", volume)


def test_on_the_hosts_network_and_another_port(live: LiveDaemon, moving: Moving) -> None:
    live.run_foreign(
        moving.name, "--network", "host", "-v", f"{moving.models}:/models:ro",
        arguments=("--model", "/models/tiny", "--host", "127.0.0.1", "--port", "18731"),
    )  # fmt: skip
    was = moving.who(moving.name)
    block = moving.imported()
    assert 'publish = "127.0.0.1:18731"' in block
    moving.paste(block)
    assert moving.plan() == [("adopt", [])]
    moving.apply()
    assert moving.who(moving.serving) == was
    assert moving.plan() == []
    moving.quiet()
    assert "healthy" in moving.run("status", str(moving.path)).out
    moving.edit(
        f"[models.{moving.model}.gate]",
        f"[models.{moving.model}.args]\nmax_model_len = 64\n\n[models.{moving.model}.gate]",
    )
    moving.apply()
    assert live.inspect(moving.serving)["HostConfig"]["PortBindings"] == {
        "8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18731"}]
    }
    assert moving.plan() == []


def test_a_refused_import_reports_all_reasons_and_prints_no_entry(live: LiveDaemon, moving: Moving) -> None:
    live.run_foreign(
        moving.name, "--rm", "--entrypoint", "sh", arguments=("-c", f"export K={PLANTED}; exec vllm serve org/m")
    )
    ran = moving.run("import", "here", moving.name, "--stack", str(moving.path))
    assert (ran.code, ran.out) == (1, "")
    assert "cannot be read" in ran.err
    assert "--rm" in ran.err
    assert "for 2 reasons" in ran.err
    listed = moving.run("import", "here", "--stack", str(moving.path)).out
    assert f"{moving.name} cannot be adopted as it is" in listed


def test_names_that_lead_nowhere(live: LiveDaemon, moving: Moving) -> None:
    moving.start()
    stack = ("--stack", str(moving.path))
    assert "these run vLLM: " in moving.run("import", "here", "nobody", *stack).err
    assert 'no host "there"' in moving.run("import", "there", *stack).err
    assert "write indices" in moving.run("import", "here", moving.name, "--gpus", "all", *stack).err
    moving.paste(moving.imported())
    moving.apply()
    again = moving.run("import", "here", moving.serving, *stack)
    assert "it is already adopted" in again.err


def test_the_server_reports_the_release_if_the_tag_does_not_name_it(live: LiveDaemon, moving: Moving) -> None:
    tag = f"{live.stack}:latest"
    live.docker_cli("tag", STAND_IN, tag)
    try:
        moving.start(image=tag)
        live.docker_cli("exec", moving.name, "true")
        moving.paste(wait_for(moving, 'vllm_version = "0.32.0"'))
        assert moving.plan() == [("adopt", [])]
    finally:
        live.docker_cli("rm", "-f", moving.name)
        live.foreign.clear()
        live.docker_cli("rmi", tag)


def wait_for(moving: Moving, text: str) -> str:
    """The stand-in takes half a second to answer."""
    import time

    for _ in range(240):
        block = moving.imported()
        if text in block:
            return block
        time.sleep(0.25)
    raise AssertionError(f"{text} is not in {block}")


@pytest.mark.vllm
def test_a_real_vllm_is_adopted_as_it_runs(live: LiveDaemon, moving: Moving) -> None:
    """Whether it serves yet is not waited for: its plan does not depend on it."""
    shutil.copytree(MODELS / "tiny-llama", moving.models / "tiny", dirs_exist_ok=True)
    moving.start(
        "--ipc", "host", "-e", "VLLM_LOGGING_LEVEL=WARNING",
        arguments=("/models/tiny", "--enforce-eager", "--max-model-len", "256"), image=REAL_VLLM,
    )  # fmt: skip
    moving.paste(moving.imported())
    assert moving.plan() == [("adopt", [])]
    assert live.inspect(moving.name)["State"]["Running"], "it had a model to serve, and should be loading or serving it"
