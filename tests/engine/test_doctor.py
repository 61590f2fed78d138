"""doctor on a real daemon, which has no GPUs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from cortexctl.instance.labels import PROBE
from cortexctl.render.schemas import doctor_schema
from tests.live import STAND_IN, LiveDaemon
from tests.waiting import wait_until

pytestmark = pytest.mark.engine


def write(folder: Path, live: LiveDaemon, gpus: str = '"none"') -> str:
    path = folder / "stack.toml"
    path.write_text(
        f'stack = "{live.stack}"\n\n[hosts.here]\nnetwork = "{live.stack}-net"\n'
        f'models_dir = "{folder}/models"\nhf_cache = "{folder}/none"\n\n'
        f'[models.{live.stack}-m]\nimage = "{STAND_IN}"\nsource = {{ path = "tiny" }}\ngpus = {gpus}\n'
    )
    return str(path)


def probes(live: LiveDaemon) -> str:
    return live.docker_cli("ps", "-aq", "--filter", f"label={PROBE}={live.stack}")


def test_without_a_probe_nothing_is_created(live: LiveDaemon, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    ran = live.cortexctl("doctor", "--stack", write(tmp_path, live), "--format", "json")
    report = json.loads(ran.out)
    Draft202012Validator(json.loads(doctor_schema())).validate(report)
    (host,) = report["hosts"]
    version = live.docker_cli("version", "--format", "{{.Server.Version}} {{.Server.APIVersion}}")
    assert f"{host['daemon']['version']} {host['daemon']['api']}" == version
    assert host["daemon"]["images_dir"] == live.docker_cli("info", "--format", "{{.DockerRootDir}}")
    assert (host["probe"], host["clock_offset_seconds"], ran.code) == (None, 0, 0)
    assert [folder["state"] for folder in host["folders"]] == ["unknown", "unknown"]
    assert probes(live) == ""


def test_a_probe_reads_folders_and_disk_and_is_removed(live: LiveDaemon, tmp_path: Path) -> None:
    """The daemon refuses the folder that does not exist, and the GPUs; the rest is read."""
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    path = write(tmp_path, live)
    ran = live.cortexctl("doctor", "--probe", "--stack", path, "--format", "json")
    (host,) = json.loads(ran.out)["hosts"]
    folders = {folder["key"]: folder for folder in host["folders"]}
    assert (folders["models_dir"]["state"], folders["hf_cache"]["state"]) == ("readable", "missing")
    assert 0 < folders["models_dir"]["disk"]["free"] <= folders["models_dir"]["disk"]["total"]
    assert host["probe"]["images_disk"]["total"] > 0
    assert host["probe"]["gpus"] == []
    assert host["probe"]["gpu_problem"]
    assert ran.code == 1, "a folder is missing"
    wait_until(lambda: probes(live) == "")


def test_a_host_whose_models_need_gpus_lacks_them(live: LiveDaemon, tmp_path: Path) -> None:
    for name in ("models", "none"):
        (tmp_path / name).mkdir()
    ran = live.cortexctl("doctor", "--probe", "--stack", write(tmp_path, live, "[0]"))
    assert ran.code == 1, ran.out + ran.err
    assert "Problem: a container gets no GPUs: " in ran.out
    assert "Next:    install the NVIDIA container toolkit there" in ran.out
    assert f"{tmp_path}/models: empty" in ran.out


def test_a_folder_is_read_through_the_model_that_mounts_it(live: LiveDaemon, tmp_path: Path) -> None:
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "models" / "tiny" / "config.json").write_text("{}")
    (tmp_path / "none").mkdir()
    path = write(tmp_path, live)
    applied = live.cortexctl("apply", path, "--auto-approve")
    assert applied.code == 0, applied.out + applied.err
    ran = live.cortexctl("doctor", "--stack", path)
    assert f"{tmp_path}/models: readable through vllm-model-{live.stack}-m" in ran.out
    assert f"{tmp_path}/none: empty through vllm-model-{live.stack}-m" in ran.out
