"""Knowledge about a model's files, independent of the place where they are: its config.json, and the size of its
weights.

Values, and the order in which files are requested; the caller passes in the function that reads them.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, TypeGuard

from cortexctl.dataclass import dataclass
from cortexctl.decoding.decode import read_json
from cortexctl.decoding.readers import NotAsExpected
from cortexctl.instance.spec import Spec

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
"""Name -> (type, shape), as the file has them."""
HF_HOME = "/root/.cache/huggingface"
"""Where the Hub's client keeps its cache in a vLLM container by default."""
LARGEST_CONFIG = 16 * 2**20
LARGEST_INDEX = 64 * 2**20
LONGEST_HEAD = 4 * 2**20
"""The most bytes that are read of a file: a larger one is not what its name says."""
_REPO = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")

Read = Callable[[str, int], bytes | None]
"""Returns up to this many first bytes of a file, by its path; None if it does not exist."""


@dataclass(frozen=True, slots=True, order=True)
class ModelSource:
    """Where an instance's model is. `root`: the mounted folder or volume of the host; empty if nothing is mounted.
    `inside`: the model's folder below it, or the Hub's cache for a `repo`.
    """

    host: str
    root: str
    inside: str
    repo: str = ""
    revision: str = ""

    @property
    def name(self) -> str:
        """A name that is unique among the host's models."""
        return f"{self.repo}@{self.revision}" if self.repo else posixpath.join(self.root, self.inside)

    @property
    def key(self) -> tuple[str, str]:
        return self.host, self.name


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """`total`: bytes of all weights, if an index has the number and `tensors` are unknown. `problem`: the reason why
    there is no config; the other fields then mean nothing. `from_hub`: the host does not have them, or could not be
    read.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    tensors: Tensors = field(default_factory=dict)
    total: int = 0
    problem: str = ""
    from_hub: bool = False


def source_of(host: str, spec: Spec) -> ModelSource | str:
    """The source of a spec's model; or a text, part of a sentence: why its files are not read."""
    if spec.server.args.get("hf_config_path"):
        return "hf_config_path points to another model's config"
    return source_of_model(host, spec, spec.server.model, str(spec.server.args.get("revision") or ""))


def source_of_model(host: str, spec: Spec, model: str, revision: str = "") -> ModelSource | str:
    """The same for any model that the container of a spec reads: a path in it, or a repository."""
    if "://" in model:
        return "its model is neither in a folder nor in a repository"
    if model.endswith(".gguf"):
        return "GGUF files are not supported by the forecast"
    if model.startswith("/"):
        root, inside = _on_host(spec, posixpath.normpath(model))
        return ModelSource(host, root, inside) if root else "its model is not in a folder of the host"
    revision = revision or "main"
    if not _REPO.fullmatch(model) or ".." in revision or not re.fullmatch(r"[\w./-]+", revision):
        return "its model is neither in a folder nor in a repository"
    cache = spec.container.env.get("HF_HUB_CACHE") or posixpath.join(
        spec.container.env.get("HF_HOME") or HF_HOME, "hub"
    )
    return ModelSource(host, *_on_host(spec, cache), model, revision)


def _on_host(spec: Spec, path: str) -> tuple[str, str]:
    """(mounted folder, path below it) of a path in the container; empty if nothing is mounted there."""
    mounts = [m for m in spec.container.mounts if is_below(path, m.target)]
    if not mounts:
        return "", ""
    nearest = max(mounts, key=lambda m: len(m.target))
    inside = posixpath.relpath(path, nearest.target)
    return nearest.source, "" if inside == "." else inside


def is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def read_model(source: ModelSource, read: Read, folder: str) -> ModelFiles:
    """The files of a source in `folder` (for a repository: in the Hub's cache in it). Errors of `read` are not
    caught.
    """
    if not source.repo:
        return read_folder(read, folder)
    base = posixpath.join(folder, f"models--{source.repo.replace('/', '--')}")
    commit = source.revision
    if not _COMMIT.fullmatch(commit):
        reference = read(posixpath.join(base, "refs", source.revision), 200)
        commit = reference.decode(errors="replace").strip() if reference else ""
    if not _COMMIT.fullmatch(commit):
        return ModelFiles(problem="it is not in the host's hf_cache")
    files = read_folder(read, posixpath.join(base, "snapshots", commit))
    return ModelFiles(problem="it is not in the host's hf_cache") if files.problem == NO_CONFIG else files


NO_CONFIG = "its folder has no config.json"


def read_folder(read: Read, folder: str) -> ModelFiles:
    """Reads config.json, ModelOpt's file beside it, and for the weights their index, or the header of their only
    file.
    """

    def read_limited(name: str, most: int) -> bytes | None:
        return read(posixpath.join(folder, name), most)

    text = read_limited("config.json", LARGEST_CONFIG)
    if text is None:
        return ModelFiles(problem=NO_CONFIG)
    config = _table(text)
    if not config:
        return ModelFiles(problem="its config.json is not a JSON table")
    if "quantization_config" not in config:
        quantised = _table(read_limited("hf_quant_config.json", LARGEST_CONFIG)).get("quantization")
        if isinstance(quantised, Mapping):
            config = {**config, "quantization_config": {**quantised, "quant_method": "modelopt"}}
    metadata = _table(read_limited("model.safetensors.index.json", LARGEST_INDEX)).get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, Mapping) else None
    if isinstance(total, int | float) and 0 < total < math.inf:
        return ModelFiles(config, total=int(total))
    return ModelFiles(config, tensors_in(_head(read_limited("model.safetensors", LONGEST_HEAD))))


def _head(beginning: bytes | None) -> Mapping[str, Any]:
    """The JSON at the beginning of a safetensors file, after eight bytes with its length."""
    if beginning is None or len(beginning) < 8:
        return {}
    length = int.from_bytes(beginning[:8], "little")
    return _table(beginning[8 : 8 + length]) if len(beginning) >= 8 + length else {}


def _table(text: bytes | None) -> Mapping[str, Any]:
    """A JSON object; empty for anything else."""
    try:
        value = read_json(text, repeats=True, infinite=True) if text else {}
    except NotAsExpected:
        return {}
    return value if isinstance(value, dict) else {}


def model_files_to_dict(files: ModelFiles) -> dict[str, Any]:
    """Plain JSON values."""
    tensors = {name: [kind, list(shape)] for name, (kind, shape) in sorted(files.tensors.items())}
    place = {"from_hub": True} if files.from_hub else {}
    return {"config": files.config, "tensors": tensors, "total": files.total, "problem": files.problem, **place}


def tensors_in(head: Mapping[str, Any]) -> Tensors:
    """From the JSON at the beginning of the file; entries that are not tensors are ignored."""
    tensors = {}
    for name, entry in head.items():
        shape = entry.get("shape") if name != "__metadata__" and isinstance(entry, Mapping) else None
        if _is_shape(shape):
            tensors[name] = (str(entry.get("dtype")), tuple(shape))
    return tensors


def _is_shape(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(isinstance(n, int) and n >= 0 for n in value)
