"""Files of models from containers of a real daemon: running, stopped, through links, and only the requested bytes."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonError
from cortexctl.hosts.archive import read_file
from cortexctl.hosts.model_archive import model_files_on
from cortexctl.hosts.read import observe_host
from cortexctl.hosts.transports.choice import connection_to, transport_to
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.spec import Mount
from cortexctl.model_files.files import ModelFiles, ModelSource
from tests.fakes.sockets import counting_proxy
from tests.live import STAND_IN, LiveDaemon
from tests.memory import CONFIGS
from tests.model_folders import COMMIT, CONFIG, hub_cache
from tests.specs import new_spec

pytestmark = pytest.mark.engine
HIDDEN = 6 * 2**30
"""Bytes of a sparse file. Only its head may be read."""


def container_of(
    live: LiveDaemon, folder: Path, target: str = "/models", *, start: bool = False, called: str = ""
) -> str:
    """Create a container of the stack that has the folder mounted, in its label and in fact. Returns its id. `called`: the
    folder's path in the label, if it is on the host and not on this machine.
    """
    mounts = (Mount(called or str(folder), target),)
    spec = new_spec(STAND_IN, "/models/tiny", ("tiny",), mounts=mounts)
    marks = {labels.STACK: live.stack, labels.MODEL: "m", labels.SPEC: spec_to_label(spec)}
    options = [word for key, value in marks.items() for word in ("--label", f"{key}={value}")]
    name = f"{live.stack}-files"
    verb = ("run", "-d") if start else ("create",)
    return live.docker_cli(*verb, "--name", name, *options, "-v", f"{folder}:{target}:ro", STAND_IN, "tiny")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A model with an index, and one with a single large file."""
    root = tmp_path / "models"
    for name in ("small", "one-file"):
        (root / name).mkdir(parents=True)
        (root / name / "config.json").write_text((CONFIGS / "qwen3-8b.json").read_text())
    (root / "small" / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 16381470720}}))
    head = json.dumps({"w": {"dtype": "BF16", "shape": [2, 3]}}).encode()
    with (root / "one-file" / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.truncate(HIDDEN)
    return root


@pytest.mark.parametrize("start", [True, False], ids=["running", "stopped"])
def test_a_model_is_read_through_a_container_that_shows_its_folder(live: LiveDaemon, models: Path, start: bool) -> None:
    container_of(live, models, start=start)
    host = Host("here", live.docker)
    seen = observe_host(connection_to(host))
    wanted = [ModelSource("here", str(models), name) for name in ("small", "one-file", "gone")]
    files = {source.key: model_files_on(connection_to(host), seen, source) for source in wanted}
    config = json.loads((CONFIGS / "qwen3-8b.json").read_text())
    assert files["here", f"{models}/small"] == ModelFiles(config, total=16381470720)
    assert files["here", f"{models}/one-file"] == ModelFiles(config, {"w": ("BF16", (2, 3))})
    assert files["here", f"{models}/gone"].problem == "its folder has no config.json"


def test_links_of_the_hubs_cache_are_followed(live: LiveDaemon, tmp_path: Path) -> None:
    cache = hub_cache(tmp_path / "hf")
    container_of(live, cache, "/root/.cache/huggingface")
    host = Host("here", live.docker)
    source = ModelSource("here", str(cache), "hub", "org/name", "main")
    seen = observe_host(connection_to(host))
    for same in (source, replace(source, revision=COMMIT)):
        assert model_files_on(connection_to(host), seen, same) == ModelFiles(CONFIG)


def test_circular_links_and_folders_are_not_files(live: LiveDaemon, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a").symlink_to("b")
    (tmp_path / "m" / "b").symlink_to("a")
    (tmp_path / "m" / "folder").mkdir()
    container = container_of(live, tmp_path / "m")
    assert read_file(transport_to(live.docker), container, "/models/folder", 10) is None
    assert read_file(transport_to(live.docker), container, "/models/none", 10) is None
    with pytest.raises(DaemonError, match="too many links"):
        read_file(transport_to(live.docker), container, "/models/a", 10)
    with pytest.raises(DaemonError, match=r"(?i)no such container"):
        read_file(transport_to(live.docker), f"{live.stack}-nowhere", "/models/a", 10)


def test_a_host_without_a_container_that_mounts_the_folder_is_reported(live: LiveDaemon, models: Path) -> None:
    host = Host("here", live.docker)
    source = ModelSource("here", str(models / "elsewhere"), "m")
    files = model_files_on(connection_to(host), observe_host(connection_to(host)), source)
    assert files.problem == "no container on here mounts its folder yet"


STACK = """stack = "{stack}"

[hosts.here]
network = "{stack}-net"
models_dir = "{models}"
gpus = {{ count = 1, name = "L40S" }}

[models.{stack}-m]
image = "{image}"
source = {{ path = "small" }}
gpus = [0]

[models.{stack}-m.args]
max_model_len = 8192
"""


def test_a_plan_reads_what_it_needs_on_the_host_and_a_snapshot_has_it(
    live: LiveDaemon, models: Path, tmp_path: Path
) -> None:
    elsewhere = f"/nowhere-here/{live.stack}"
    container_of(live, models, called=elsewhere)
    path, snapshot = tmp_path / "stack.toml", tmp_path / "snapshot.json"
    path.write_text(STACK.format(stack=live.stack, models=elsewhere, image=STAND_IN))
    with counting_proxy(tmp_path / "proxy.sock", live.docker) as (url, counted):
        planned = live.cortexctl("plan", str(path), DOCKER_HOST=url)
    assert "22.3x of 8,192 tokens" in planned.out, planned.out + planned.err
    paths = [line.rpartition("path=")[2] for line in counted if "/archive?" in line]
    names = ("config.json", "hf_quant_config.json", "model.safetensors.index.json")
    assert paths == [f"/models/small/{name}" for name in names]
    observed = live.cortexctl("observe", str(path), "--out", str(snapshot))
    assert observed.code == 0, observed.err
    review = live.cortexctl("plan", str(path), "--observed", str(snapshot), DOCKER_HOST="unix:///run/none.sock")
    assert "22.3x of 8,192 tokens" in review.out, review.out + review.err
    fitted = live.cortexctl("fit", str(path), "--hosts", "--format", "json")
    assert json.loads(fitted.out)["instances"][f"here/{live.stack}-m"]["verdict"] == "starts"
    offline = live.cortexctl("fit", str(path), "--format", "json")
    assert "--hosts" in json.loads(offline.out)["unknown"][f"here/{live.stack}-m"]
