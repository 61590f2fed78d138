"""The places of a model's files, the order of their reads, and their part of a snapshot."""

from __future__ import annotations

import json
import struct
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from cortexctl.concurrently import PER_HOST
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.spec import Mount
from cortexctl.model_files.files import (
    LONGEST_HEAD,
    NO_CONFIG,
    ModelFiles,
    ModelSource,
    Read,
    read_folder,
    read_model,
    source_of,
    tensors_in,
)
from cortexctl.observe.host_readers import ModelReaders
from cortexctl.observe.model_reading import read_models
from cortexctl.observed.host import ImageFacts, ObservedContainer, ObservedHost
from cortexctl.observed.model_mounts import mount_paths
from cortexctl.observed.observation import Observed
from cortexctl.observed.snapshot import NotASnapshot, snapshot_from_json, snapshot_to_json
from cortexctl.stack.model_folder import files_here
from tests.model_folders import COMMIT, CONFIG, hub_cache
from tests.specs import change_spec, new_spec
from tests.waiting import AT_MOST

SPEC = new_spec("image:v0.32.0", "/models/qwen/8b", ("chat",), mounts=(Mount("/srv/models", "/models"),))


def reading(files: dict[str, bytes | str]) -> tuple[Read, list[str]]:
    """A folder in memory, and the paths that were read from it."""
    paths: list[str] = []

    def read(path: str, most: int) -> bytes | None:
        paths.append(path)
        content = files.get(path)
        return (content if isinstance(content, bytes) else content.encode())[:most] if content is not None else None

    return read, paths


def safetensors(**tensors: tuple[str, list[int]]) -> bytes:
    head = json.dumps({name: {"dtype": kind, "shape": shape} for name, (kind, shape) in tensors.items()}).encode()
    return struct.pack("<Q", len(head)) + head + b"\0" * 64


def test_a_folder_is_known_by_the_mount_that_shows_it() -> None:
    assert source_of("gpu-1", SPEC) == ModelSource("gpu-1", "/srv/models", "qwen/8b")
    nearer = change_spec(SPEC, mounts=(*SPEC.container.mounts, Mount("fast", "/models/qwen")))
    source = source_of("gpu-1", nearer)
    assert source == ModelSource("gpu-1", "fast", "8b")
    assert isinstance(source, ModelSource)
    assert source.name == "fast/8b"


@pytest.mark.parametrize(
    ("env", "inside"),
    [
        ({}, "hub"),
        ({"HF_HOME": "/root/.cache/huggingface/other"}, "other/hub"),
        ({"HF_HUB_CACHE": "/root/.cache/huggingface/here"}, "here"),
    ],
)
def test_a_repository_is_in_the_cache_that_its_client_uses(env: dict[str, str], inside: str) -> None:
    cache = Mount("/srv/hf", "/root/.cache/huggingface", read_only=False)
    spec = change_spec(SPEC, model="org/name", mounts=(cache,), env=env, args={"revision": COMMIT})
    source = source_of("gpu-1", spec)
    assert source == ModelSource("gpu-1", "/srv/hf", inside, "org/name", COMMIT)
    assert isinstance(source, ModelSource)
    assert source.name == f"org/name@{COMMIT}"


@pytest.mark.parametrize(
    ("model", "args", "why"),
    [
        ("/models/a.gguf", {}, "GGUF files are not supported by the forecast"),
        ("s3://bucket/model", {}, "neither in a folder nor in a repository"),
        ("org/name", {"revision": "../../etc"}, "neither in a folder nor in a repository"),
        ("/inside/the/image", {}, "not in a folder of the host"),
        ("/models/a", {"hf_config_path": "org/other"}, "hf_config_path"),
    ],
)
def test_a_model_that_is_not_read_has_a_reason(model: str, args: dict[str, str], why: str) -> None:
    source = source_of("gpu-1", change_spec(SPEC, model=model, args=args))
    assert isinstance(source, str)
    assert why in source


def container(number: int, state: str, *mounts: Mount) -> ObservedContainer:
    marks = {
        labels.STACK: "any",
        labels.MODEL: f"m{number}",
        labels.SPEC: spec_to_label(change_spec(SPEC, mounts=mounts)),
    }
    return ObservedContainer(f"{number:064x}", f"c{number}", "image", "", state, labels=marks)


def test_a_folder_is_read_in_the_containers_that_mount_it_and_in_running_ones_first() -> None:
    host = ObservedHost(
        "gpu-1",
        (
            container(1, "exited", Mount("/srv/models", "/models")),
            container(2, "running", Mount("/srv", "/all")),
            container(3, "running", Mount("/srv/models-old", "/models")),
            container(4, "running", Mount("/srv/models/qwen/8b/more", "/models")),
            replace(container(5, "running", Mount("/srv/models", "/models")), labels={}),
            replace(container(6, "running"), labels={labels.MODEL: "m", labels.SPEC: "unreadable"}),
        ),
    )
    ways = list(mount_paths(ModelSource("gpu-1", "/srv/models", "qwen/8b"), host))
    assert [(id_[-1], path) for id_, path in ways] == [("2", "/all/models/qwen/8b"), ("1", "/models/qwen/8b")]
    assert list(mount_paths(ModelSource("gpu-1", "", "", "org/name", "main"), host)) == []


def test_an_index_gives_the_size_and_no_weights_are_opened() -> None:
    index = json.dumps({"metadata": {"total_size": 16381516800}, "weight_map": {}})
    read, paths = reading({"m/config.json": json.dumps(CONFIG), "m/model.safetensors.index.json": index})
    assert read_folder(read, "m") == ModelFiles(CONFIG, total=16381516800)
    assert "m/model.safetensors" not in paths


def test_of_a_single_file_only_the_head_is_read() -> None:
    weights = safetensors(a=("BF16", [2, 3]), b=("F32", [4]))
    read, _ = reading({"config.json": json.dumps(CONFIG), "model.safetensors": weights})
    assert read_folder(read, "").tensors == {"a": ("BF16", (2, 3)), "b": ("F32", (4,))}


@pytest.mark.parametrize(
    "weights", [b"", b"short", struct.pack("<Q", LONGEST_HEAD * 2) + b"{}", b"\2" + b"\0" * 7 + b"[]"]
)
def test_without_readable_weights_only_the_config_is_used(weights: bytes) -> None:
    read, _ = reading({"config.json": json.dumps(CONFIG), "model.safetensors": weights})
    assert read_folder(read, "") == ModelFiles(CONFIG)


@pytest.mark.parametrize("shape", ["2", ["2"], [None], [-1], [1.5], [[2]]])
def test_an_entry_that_is_not_a_tensor_is_ignored(shape: object) -> None:
    head = {"a": {"dtype": "BF16", "shape": [2, 3]}, "b": {"dtype": "BF16", "shape": shape}, "c": 3}
    assert tensors_in(head) == {"a": ("BF16", (2, 3))}


@pytest.mark.parametrize("total", ["1e999", "-1e999", "NaN", "0", "-5", '"7"', "null"])
def test_without_a_size_in_the_index_only_the_config_is_used(total: str) -> None:
    index = f'{{"metadata": {{"total_size": {total}}}}}'
    read, _ = reading({"config.json": json.dumps(CONFIG), "model.safetensors.index.json": index})
    assert read_folder(read, "") == ModelFiles(CONFIG)


def test_the_file_of_modelopt_is_joined_to_the_config() -> None:
    quantised = json.dumps({"quantization": {"quant_algo": "FP8"}})
    read, _ = reading({"config.json": json.dumps(CONFIG), "hf_quant_config.json": quantised})
    assert read_folder(read, "").config["quantization_config"] == {"quant_algo": "FP8", "quant_method": "modelopt"}


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", "[" * 100_000, "null"])
def test_an_invalid_config_is_reported(text: str) -> None:
    read, _ = reading({"config.json": text})
    assert read_folder(read, "").problem == "its config.json is not a JSON table"
    assert read_folder(reading({})[0], "").problem == NO_CONFIG


@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_a_repository_is_found_in_a_cache_on_this_machine(tmp_path: Path, revision: str) -> None:
    hub_cache(tmp_path)
    source = ModelSource("gpu-1", str(tmp_path), "hub", "org/name", revision)
    assert files_here(source) == ModelFiles(CONFIG)


@pytest.mark.parametrize("revision", ["v2", "f" * 40])
def test_another_revision_is_not_used(tmp_path: Path, revision: str) -> None:
    hub_cache(tmp_path)
    files = files_here(ModelSource("gpu-1", str(tmp_path), "hub", "org/name", revision))
    assert files.problem == "it is not in the host's hf_cache"


def test_a_ref_that_leads_elsewhere_is_not_followed() -> None:
    read, paths = reading({"hub/models--org--name/refs/main": "../../../etc"})
    source = ModelSource("gpu-1", "/srv/hf", "hub", "org/name", "main")
    assert read_model(source, read, "hub").problem == "it is not in the host's hf_cache"
    assert paths == ["hub/models--org--name/refs/main"]


def test_a_folder_of_this_machine_is_read_with_all_its_weights(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text(json.dumps(CONFIG))
    for number in (1, 2):
        (tmp_path / "m" / f"model-{number}.safetensors").write_bytes(safetensors(**{f"t{number}": ("F16", [1])}))
    assert set(files_here(ModelSource("here", str(tmp_path), "m")).tensors) == {"t1", "t2"}
    assert files_here(ModelSource("here", str(tmp_path), "gone")).problem == "its folder is not on this machine"
    (tmp_path / "m" / "config.json").write_text("{")
    assert "is not JSON" in files_here(ModelSource("here", str(tmp_path), "m")).problem


def test_a_snapshot_keeps_the_facts_of_files_and_the_reasons_for_missing_ones() -> None:
    observed = Observed(
        (),
        model_files={
            ("gpu-1", "/srv/models/a"): ModelFiles(CONFIG, {"w": ("BF16", (2, 3))}),
            ("gpu-1", "/srv/models/b"): ModelFiles(CONFIG, total=12),
            ("gpu-2", "org/name@main"): ModelFiles(problem=NO_CONFIG),
        },
    )
    text = snapshot_to_json(observed)
    assert snapshot_from_json(text) == observed
    assert snapshot_to_json(snapshot_from_json(text)) == text


def test_a_snapshot_keeps_the_release_that_an_image_names() -> None:
    observed = Observed((), images={("gpu-1", "v:1"): ImageFacts("v:1", "local", "sha256:0", release="0.32.0")})
    assert snapshot_from_json(snapshot_to_json(observed)) == observed


@pytest.mark.parametrize(
    "damage",
    [
        {"records": []},
        {"model_files": [{"host": "h", "source": "s", "config": {}, "tensors": [], "total": 0, "problem": ""}]},
        {"model_files": [{"host": "h", "source": "s", "config": {}, "tensors": {}, "total": 1e999, "problem": ""}]},
    ],
)
def test_a_damaged_snapshot_is_refused_in_a_sentence(damage: dict[str, object]) -> None:
    document = json.loads(snapshot_to_json(Observed(())))
    with pytest.raises(NotASnapshot, match="it is damaged"):
        snapshot_from_json(json.dumps({**document, **damage}))


def test_a_snapshot_of_an_older_release_knows_no_models() -> None:
    document = json.loads(snapshot_to_json(Observed(())))
    del document["model_files"]
    assert snapshot_from_json(json.dumps(document)).model_files == {}


class CountingHosts:
    """Implements `HostModels`. Counts the requests to each host at the same time."""

    def __init__(self) -> None:
        self.highest = 0
        self._running: Counter[str] = Counter()
        self._guard = threading.Lock()
        self._two = threading.Barrier(2)

    def model_files(self, seen: ObservedHost, source: ModelSource) -> ModelFiles:
        with self._guard:
            self._running[seen.name] += 1
            self.highest = max(self.highest, self._running[seen.name])
        self._two.wait(AT_MOST)  # there is always another one
        with self._guard:
            self._running[seen.name] -= 1
        return ModelFiles({"of": source.name})


def test_models_of_a_host_are_read_at_the_same_time_but_few_of_them() -> None:
    hosts = {name: ObservedHost(name) for name in ("one", "two")} | {"dead": ObservedHost("dead", problem="silent")}
    sources = [ModelSource(host, "/m", f"{n}") for n in range(20) for host in (*hosts, "unknown")]
    counting = CountingHosts()
    files = read_models(sources, ModelReaders(host=counting), hosts)
    assert {key: known.config for key, known in files.items() if known.config} == {
        s.key: {"of": s.name} for s in sources if s.host in {"one", "two"}
    }
    assert counting.highest <= PER_HOST


def test_files_of_the_hub_are_marked_and_those_of_a_host_are_not() -> None:
    """The start of the former downloads its weights."""

    class Host:
        def model_files(self, seen: ObservedHost, source: ModelSource) -> ModelFiles:
            return ModelFiles({"of": seen.name}) if source.repo == "org/there" else ModelFiles(problem="not there")

    there, absent = (ModelSource("one", "/cache", "hub", f"org/{name}", "main") for name in ("there", "absent"))
    readers = ModelReaders(host=Host(), from_hub=lambda source: ModelFiles({"of": source.name}))
    files = read_models([there, absent], readers, {"one": ObservedHost("one")})
    assert files[there.key] == ModelFiles({"of": "one"})
    assert files[absent.key] == ModelFiles({"of": "org/absent@main"}, from_hub=True)
