"""A start's measurements, with everything that its memory depends on: a value that can be stored and read again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, field, fields
from typing import Any

from cortexctl.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class StartLog:
    """The numbers in a start's log, per GPU of the tightest rank. Memory in GiB, times in seconds; None: not in the
    log.
    """

    weights_gib: float | None = None
    non_torch_gib: float | None = None
    transient_gib: float | None = None
    """The activation peak, without the memory charged for graphs."""
    graphs_gib: float | None = None
    """The memory charged for graphs before the cache was allocated; 0 if the release charges nothing."""
    graphs_captured_gib: float | None = None
    """The memory that they finally used."""
    requested_gib: float | None = None
    total_gib: float | None = None
    free_gib: float | None = None
    available_kv_gib: float | None = None
    num_gpu_blocks: int | None = None
    kv_cache_tokens: int | None = None
    max_concurrency: float | None = None
    concurrency_len: int | None = None
    """Tokens of a request in the printed concurrency."""
    vllm_version: str | None = None
    load_seconds: float | None = None
    read_seconds: float | None = None
    """The part of them that reading the weights' files took, without a download."""
    init_seconds: float | None = None
    """Profiling, allocating the cache, warming up."""

    @property
    def is_conclusive(self) -> bool:
        """Whether it contains weights or the cache; a log of warnings alone does not."""
        relevant = (self.weights_gib, self.available_kv_gib, self.num_gpu_blocks, self.kv_cache_tokens)
        return any(v is not None for v in relevant)


@dataclass(frozen=True, slots=True)
class Started:
    """The model, GPU, release and options of a start: everything that its memory depends on.

    `model`: REPO@REVISION, or a folder of a host; `config`: a digest of its config.json, '' if it was not available.
    Either identifies a model. `environ`: a digest; arguments that are not plain values are digests too, because they
    may contain anything.
    """

    model: str
    config: str
    version: str
    gpu: str
    gpu_gib: float
    args: Mapping[str, Any] = field(default_factory=dict)
    environ: str = ""

    @property
    def key(self) -> str:
        """A digest: of two equal starts the later measurement wins."""
        return digest(asdict(self))


@dataclass(frozen=True, slots=True)
class Predicted:
    """The forecast for a start before any measurement of it."""

    kv_cache_tokens: int
    max_concurrency: float
    available_kv_gib: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """One start and the values in its log. `at`: RFC 3339, in UTC; `start_seconds`: the time until it served."""

    started: Started
    log: StartLog
    at: str
    host: str = ""
    start_seconds: float | None = None
    predicted: Predicted | None = None


def digest(value: Any) -> str:
    """16 hex digits of any JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def same_start(known: Iterable[Measurement], target: Started) -> Measurement | None:
    """The latest measurement of exactly this start."""
    return max((m for m in known if _same(m.started, target)), key=lambda m: m.at, default=None)


def _same(a: Started, b: Started) -> bool:
    exact = a.version == b.version and a.environ == b.environ and a.args == b.args
    return exact and bool(a.version) and same_model(a, b) and same_gpu(a, b)


def same_model(a: Started, b: Started) -> bool:
    """Two equal configs are certain; the name counts if one of them is missing."""
    if a.config and b.config:
        return a.config == b.config
    return bool(a.model) and a.model == b.model


def same_gpu(a: Started, b: Started) -> bool:
    """Of the same name, with almost the same memory."""
    return a.gpu == b.gpu and abs(a.gpu_gib - b.gpu_gib) <= 0.02 * max(a.gpu_gib, b.gpu_gib)


def to_json(m: Measurement) -> dict[str, Any]:
    """Unknown values are omitted."""
    document = asdict(m)
    document["log"] = {name: value for name, value in document["log"].items() if value is not None}
    return {**document, "format": FORMAT}


FORMAT = 1
_NUMBERS = {f.name for f in fields(StartLog)} - {"vllm_version"}


def from_json(data: Any) -> Measurement:
    """Raises ValueError if it is not a measurement, or has another format."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError("not a measurement of this format")
    try:
        values = data["log"] if "log" in data else data["said"]  # its name in files of earlier releases
        log = {f.name: values.get(f.name) for f in fields(StartLog)}
        was = data["predicted"]
        started_value = Started(**data["started"])
        if not isinstance(started_value.args, dict) or not all(
            isinstance(log[n], int | float | None) for n in _NUMBERS
        ):
            raise ValueError("not a measurement: a number is expected")
        predicted = Predicted(**was) if was else None
        return Measurement(
            started_value, StartLog(**log), str(data["at"]), data["host"], data["start_seconds"], predicted
        )
    except (KeyError, TypeError, AttributeError) as cause:
        raise ValueError(f"not a measurement: {cause}") from None
