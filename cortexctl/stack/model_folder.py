"""A model's files on this machine: config.json, and the headers of its safetensors files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cortexctl.engines.vllm.memory.headers import Headers
from cortexctl.files.checkout import Checkout
from cortexctl.model_files.files import NO_CONFIG, ModelFiles, ModelSource, read_model, tensors_in

LARGEST_CONFIG = 16 * 2**20
LARGEST_HEADER = 128 * 2**20
"""The largest plausible size of each file, in bytes."""


OUTSIDE = "its folder is not in the stack's checkout, and a review reads nothing else of this machine"


class UnreadableModel(ValueError):
    """One sentence about a file that is missing or not valid."""


def read_config(path: Path) -> Mapping[str, Any]:
    """A config.json, or the one in a folder, joined with ModelOpt's file beside it. Raises UnreadableModel."""
    file = path / "config.json" if path.is_dir() else path
    config = _json(file, LARGEST_CONFIG)
    beside = file.parent / "hf_quant_config.json"
    if "quantization_config" not in config and beside.is_file():
        table = _json(beside, LARGEST_CONFIG)
        inner = table.get("quantization")
        quantised = {**inner, "quant_method": "modelopt"} if isinstance(inner, Mapping) else None
        return {**config, "quantization_config": quantised} if quantised else config
    return config


def read_headers(path: Path) -> Headers | None:
    """The headers of a safetensors file, of all in a folder, or of an index file; None if a folder has none.

    Raises UnreadableModel.
    """
    if path.suffix == ".json":
        return _index(path)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if not files:
        index = path / "model.safetensors.index.json"
        return _index(index) if index.is_file() else None
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for file in files:
        tensors |= tensors_in(_header(file))
    return Headers(tensors)


def files_here(source: ModelSource, within: Checkout | None = None) -> ModelFiles:
    """The facts about a model from a folder of this machine. `within`: only files inside it are read."""
    folder = Path(source.root, source.inside)
    if within and source.root.startswith("/") and not _is_whole(folder, within, source):
        return ModelFiles(problem=OUTSIDE)
    if not source.root.startswith("/") or not folder.is_dir():
        where = "the hub's cache" if source.repo else "its folder"
        return ModelFiles(problem=f"{where} is not on this machine")
    try:
        if source.repo:
            return read_model(source, partial(_first, within), str(folder))
        config = read_config(folder)
        headers = read_headers(folder)
    except UnreadableModel as cause:
        return ModelFiles(problem=str(cause) if (folder / "config.json").exists() else NO_CONFIG)
    except OSError as cause:
        return ModelFiles(problem=f"its folder cannot be read: {cause.strerror}")
    return ModelFiles(config, headers.tensors, headers.total) if headers else ModelFiles(config)


def _is_whole(folder: Path, within: Checkout, source: ModelSource) -> bool:
    """Whether the folder, with all files to read in it, is `within`. The Hub's cache is checked file by file, because
    it consists of links.
    """
    if not within.holds(folder):
        return False
    try:
        return bool(source.repo) or not folder.is_dir() or all(within.holds(entry) for entry in folder.iterdir())
    except OSError:
        return True  # the reason is reported when it is read


def _first(within: Checkout | None, path: str, most: int) -> bytes | None:
    if within and not within.holds(path):
        return None
    try:
        with Path(path).open("rb") as file:
            return file.read(most)
    except (FileNotFoundError, NotADirectoryError):
        return None


def cached_snapshot(cache: Path, repo: str, revision: str = "main") -> Path | None:
    """The folder of a model in a Hugging Face cache, of a branch or a commit (its beginning is enough); None if the
    cache does not have it.
    """
    base = cache / "hub" / f"models--{repo.replace('/', '--')}"
    ref = base / "refs" / revision
    try:
        commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
        snapshots = sorted(p for p in (base / "snapshots").iterdir() if p.name.startswith(commit))
    except OSError:
        return None
    return snapshots[0] if snapshots else None


def _index(path: Path) -> Headers:
    metadata = _json(path, LARGEST_HEADER).get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, Mapping) else None
    if not isinstance(total, int | float) or not 0 < total < math.inf:
        raise UnreadableModel(f"{path} has no metadata.total_size")
    return Headers({}, int(total))


def _header(path: Path) -> Mapping[str, Any]:
    """The JSON at the beginning of a safetensors file, after eight bytes with its length."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= LARGEST_HEADER:
                raise UnreadableModel(f"{path} is not a safetensors file")
            document = json.loads(file.read(length))
    except OSError as cause:
        raise UnreadableModel(f"{path} cannot be read: {cause.strerror}") from None
    except (ValueError, RecursionError) as cause:
        raise (
            cause if isinstance(cause, UnreadableModel) else UnreadableModel(f"{path} is not a safetensors file")
        ) from None
    return document if isinstance(document, Mapping) else {}


def _json(path: Path, largest: int) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > largest:
            raise UnreadableModel(f"{path} is too large for a file of its kind")
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise UnreadableModel(f"{path} cannot be read: {cause.strerror}") from None
    except (ValueError, RecursionError) as cause:
        if isinstance(cause, UnreadableModel):
            raise
        raise UnreadableModel(f"{path} is not JSON") from None
    if not isinstance(document, Mapping):
        raise UnreadableModel(f"{path} is not a table")
    return document
