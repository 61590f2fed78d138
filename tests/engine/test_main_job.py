"""The main job on a real daemon with the stand-in: through the command line, as a user would."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.engine.conftest import StackFile
from tests.live import STAND_IN, LiveDaemon

pytestmark = pytest.mark.engine


def endpoint(live: LiveDaemon, stack: StackFile) -> str:
    port = live.inspect(stack.serving)["NetworkSettings"]["Ports"]["8000/tcp"][0]
    return f"http://{port['HostIp']}:{port['HostPort']}"


def test_from_nothing_to_serving_changed_and_back_to_nothing(live: LiveDaemon, stack: StackFile) -> None:
    live.run_foreign(f"{live.stack}-theirs")
    live.docker_cli("volume", "create", f"{live.stack}-their-volume")
    live.docker_cli("network", "create", f"{live.stack}-their-net")
    before = live.everything()
    stack.write(more=stack.args(max_model_len=1024))

    assert live.cortexctl("plan", str(stack), "--detailed-exitcode").code == 2
    applied = live.cortexctl("apply", str(stack), "--auto-approve")
    assert applied.code == 0, applied.err
    assert "1 created" in applied.out
    assert "passed its gate" in applied.err
    assert live.containers() == {stack.serving: "running"}
    again = live.cortexctl("plan", str(stack), "--detailed-exitcode")
    assert again.code == 0
    assert "No changes. 1 container on 1 host matches" in again.out

    models = httpx.get(f"{endpoint(live, stack)}/v1/models", trust_env=False).json()["data"]
    assert [(m["id"], m["max_model_len"]) for m in models] == [("tiny", 1024)]
    shown = live.cortexctl("status", str(stack), "--format", "json")
    assert shown.code == 0
    assert [(r["address"], r["state"], r["generation"]) for r in json.loads(shown.out)] == [
        (stack.address, "healthy", 1)
    ]
    assert "Application startup complete" in live.cortexctl("logs", stack.address, "--stack", str(stack)).out

    stack.write(more=stack.args(max_model_len=512))
    planned = live.cortexctl("plan", str(stack))
    assert "args.max_model_len   1024 -> 512" in planned.out
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    models = httpx.get(f"{endpoint(live, stack)}/v1/models", trust_env=False).json()["data"]
    assert models[0]["max_model_len"] == 512
    assert live.containers() == {stack.serving: "running", f"{stack.serving}--g1": "exited"}

    assert {name: len(names) for name, names in live.everything().items()} == {
        "containers": 3, "networks": 2, "volumes": 2,  # one is the record
    }  # fmt: skip
    destroyed = live.cortexctl("destroy", str(stack), "--auto-approve")
    assert destroyed.code == 0, destroyed.err
    assert live.everything() == before
    assert "Nothing to destroy" in live.cortexctl("destroy", str(stack), "--auto-approve").out


def test_the_container_has_the_settings_of_the_design(live: LiveDaemon, stack: StackFile) -> None:
    stack.write(more=stack.args(max_model_len=1024))
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    inspected = live.inspect(stack.serving)
    host = inspected["HostConfig"]
    assert inspected["Config"]["Entrypoint"] == ["vllm", "serve"]
    assert inspected["Config"]["Cmd"][:3] == ["org/tiny", "--served-model-name", "tiny"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["IpcMode"] == "private"
    assert host["ShmSize"] == 64 * 2**20
    assert host["LogConfig"]["Config"] == {"max-size": "50m", "max-file": "3"}
    assert inspected["Config"]["Labels"]["cortexctl.generation"] == "1"
    recorded = json.loads(inspected["Config"]["Labels"]["cortexctl.spec"])
    assert recorded["server"]["args"] == {"max_model_len": 1024}
    assert "network" in recorded["container"]
    assert "ipc" not in recorded["container"], "a label holds no defaults"


def test_a_stopped_container_is_found_and_started(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    live.docker_cli("stop", "-t", "5", stack.serving)
    planned = live.cortexctl("plan", str(stack), "--detailed-exitcode")
    assert planned.code == 2
    assert "because it has exited with code 0 and should run" in planned.out
    assert live.cortexctl("status", str(stack)).code == 1
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    assert live.cortexctl("status", str(stack)).code == 0
    assert live.inspect(stack.serving)["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_a_saved_plan_is_applied_once_and_refused_when_stale(
    live: LiveDaemon, stack: StackFile, tmp_path: Path
) -> None:
    stack.write()
    saved = str(tmp_path / "plan.json")
    assert live.cortexctl("plan", str(stack), "--out", saved).code == 0
    stack.path.unlink()  # the plan holds all that apply needs
    assert live.cortexctl("apply", saved).code == 0
    again = live.cortexctl("apply", saved)
    assert again.code == 4
    assert f"{stack.serving} exists now" in again.err
    assert live.containers() == {stack.serving: "running"}


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ({"CRASH_AFTER_SECONDS": "0.2"}, "it exited with code 1"),
        ({"CRASH_AFTER_SECONDS": "0.2", "EXIT_CODE": "0"}, "it exited with code 0"),
        ({"MODELS": "other"}, "does not serve tiny; /v1/models lists other"),
        ({"COMPLETION_STATUS": "500"}, "its first request failed: status 500"),
    ],
)
def test_a_candidate_that_fails_is_removed_and_the_old_one_serves_again(
    live: LiveDaemon, stack: StackFile, fault: dict[str, str], text: str
) -> None:
    stack.write()
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    first = live.inspect(stack.serving)["Id"]
    stack.write(**fault)
    failed = live.cortexctl("apply", str(stack), "--auto-approve")
    assert failed.code == 1, failed.out
    assert text in failed.out, f"{failed.out}\n{failed.err}"
    assert "generation 1 serves again" in failed.out
    assert live.containers() == {stack.serving: "running"}
    assert live.inspect(stack.serving)["Id"] == first
    assert live.inspect(stack.serving)["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert httpx.get(f"{endpoint(live, stack)}/health", trust_env=False).status_code == 200
    assert live.cortexctl("lock", "status", str(stack)).out == "here: free\n"


@pytest.mark.parametrize("fault", [{"HANG": "1"}, {"HEALTH_STATUS": "503"}, {"START_SECONDS": "30"}])
def test_one_that_does_not_get_ready_in_time_fails_and_leaves_nothing(
    live: LiveDaemon, stack: StackFile, fault: dict[str, str]
) -> None:
    stack.write(**fault)
    stack.path.write_text(stack.path.read_text().replace('startup_timeout = "60s"', 'startup_timeout = "3s"'))
    failed = live.cortexctl("apply", str(stack), "--auto-approve")
    assert failed.code == 1
    assert "its log showed no progress for 3s (gate.startup_timeout)" in failed.out
    assert live.containers() == {}


def test_a_model_that_is_not_there_is_named_as_the_cause(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    text = stack.path.read_text()
    text = text.replace('source = { repo = "org/tiny" }', 'source = { path = "nope" }')
    stack.path.write_text(text.replace("[hosts.here]\n", f'[hosts.here]\nmodels_dir = "{stack.path.parent}"\n'))
    failed = live.cortexctl("apply", str(stack), "--auto-approve")
    assert failed.code == 1
    assert "cause  the container has no model at /models/nope" in failed.out
    assert "fix    check `source.path`" in failed.out
    assert "no container of it is left, and everything else is unchanged" in failed.out
    assert live.containers() == {}


def test_a_port_that_a_program_holds_is_one_clear_sentence(live: LiveDaemon, stack: StackFile) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        stack.write(publish=f"127.0.0.1:{port}")
        failed = live.cortexctl("apply", str(stack), "--auto-approve")
    assert failed.code == 1
    assert f"cannot start {stack.serving}--g1" in failed.out
    assert "address already in use" in failed.out
    assert live.containers() == {}


def test_a_port_that_a_container_holds_is_found_by_the_plan(live: LiveDaemon, stack: StackFile) -> None:
    live.run_foreign(f"{live.stack}-theirs", "-p", "127.0.0.1::8000")
    taken = live.inspect(f"{live.stack}-theirs")["NetworkSettings"]["Ports"]["8000/tcp"][0]["HostPort"]
    stack.write(publish=f"127.0.0.1:{taken}")
    refused = live.cortexctl("apply", str(stack), "--auto-approve")
    assert refused.code == 4
    assert f"port {taken} is used by the container {live.stack}-theirs" in refused.out
    assert live.containers() == {}


def test_an_image_that_is_nowhere_is_found_by_the_plan(live: LiveDaemon, stack: StackFile) -> None:
    stack.write(image="127.0.0.1:1/not/there:v0.32.0")
    planned = live.cortexctl("plan", str(stack))
    assert planned.code == 1
    assert "the image 127.0.0.1:1/not/there:v0.32.0 is not on the host and cannot be pulled" in planned.out
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 4
    assert live.containers() == {}


def test_a_foreign_container_under_our_name_is_never_taken(live: LiveDaemon, stack: StackFile) -> None:
    live.run_foreign(stack.serving)
    before = live.inspect(stack.serving)["Id"]
    stack.write()
    refused = live.cortexctl("apply", str(stack), "--auto-approve")
    assert refused.code == 4
    assert f"a container named {stack.serving} exists and is not ours" in refused.out
    assert live.inspect(stack.serving)["Id"] == before


def test_a_mount_that_is_not_there_fails_before_anything_stops(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    assert live.cortexctl("apply", str(stack), "--auto-approve").code == 0
    first = live.inspect(stack.serving)["Id"]
    text = stack.path.read_text()
    stack.path.write_text(text.replace("gpus =", 'volumes = ["/no/such/folder:/data"]\ngpus ='))
    failed = live.cortexctl("apply", str(stack), "--auto-approve")
    assert failed.code == 1
    assert "/no/such/folder" in failed.out
    assert live.containers() == {stack.serving: "running"}
    assert live.inspect(stack.serving)["Id"] == first


def test_a_planted_secret_is_in_the_container_and_nowhere_else(
    live: LiveDaemon, stack: StackFile, tmp_path: Path
) -> None:
    planted = "sk-planted-4711"
    stack.write(more=f'[models.{stack.model}.secrets]\nVLLM_API_KEY = {{ env = "PLANTED" }}\n')
    saved = tmp_path / "plan.json"
    outputs = []
    for command in (
        ("plan", str(stack), "--out", str(saved), "--explain"),
        ("plan", str(stack), "--format", "json"),
        ("apply", str(saved)),
        ("status", str(stack), "--format", "json"),
        ("logs", stack.address, "--stack", str(stack)),
        ("args", stack.address, "--stack", str(stack), "--format", "docker"),
    ):
        ran = live.cortexctl(*command, PLANTED=planted)
        assert ran.code == 0, ran.err
        outputs += [ran.out, ran.err]
    inspected = live.inspect(stack.serving)
    assert f"VLLM_API_KEY={planted}" in inspected["Config"]["Env"], "the gate needs the key"
    outputs += [saved.read_text(), json.dumps(inspected["Config"]["Labels"]), json.dumps(inspected["Config"]["Cmd"])]
    assert planted not in "".join(outputs)
    changed = live.cortexctl("plan", str(stack), PLANTED="sk-another")
    assert "secrets.VLLM_API_KEY   (changed, value hidden)" in changed.out
    assert "sk-another" not in changed.out


def test_the_lab_image_is_the_one_that_runs(live: LiveDaemon, stack: StackFile) -> None:
    stack.write()
    live.cortexctl("apply", str(stack), "--auto-approve")
    image = json.loads(live.docker_cli("image", "inspect", STAND_IN))[0]["Id"]
    assert live.inspect(stack.serving)["Image"] == image
