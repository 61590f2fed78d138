"""A start's measurements, with everything that its memory depends on: a value that can be stored and found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any

from cortexctl.engines.gpu_models import Gpu
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.command.effective import canonical_args, release_of
from cortexctl.engines.vllm.memory.startlog import StartLog
from cortexctl.instance.secret import may_be_secret

_ELSEWHERE = {"Frontend", "ObservabilityConfig", "LoggingConfig", "StructuredOutputsConfig"}
"""Option groups that do not affect a GPU's memory."""
_IRRELEVANT = {
    "allowed_local_media_path",
    "api_key",
    "config",
    "disable_log_stats",
    "download_dir",
    "enable_log_requests",
    "entrypoint",
    "generation_config",
    "hf_token",
    "max_logprobs",
    "model",
    "override_generation_config",
    "revision",
    "seed",
    "served_model_name",
    "tokenizer",
    "tokenizer_mode",
    "tokenizer_revision",
    "trust_remote_code",
    "use_tqdm_on_load",
}


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


def started(
    model: str, config: str, version: str | None, gpu: Gpu | None, args: Mapping[str, Any], environ: Mapping[str, str]
) -> Started:
    """A start by its arguments, in any spelling. Arguments that equal the release's default are omitted."""
    release = release_of(version)
    relevant = {}
    for name, value in canonical_args(args, release).items():
        option = release.option(name)
        if value is not None and moves_memory(name) and not (option and option.default == value):
            relevant[name] = _plain(value)
    moving = {n: v for n, v in sorted(environ.items()) if n.startswith(("VLLM_", "PYTORCH_")) and n != "VLLM_API_KEY"}
    at = gpu or Gpu("", 0.0)
    return Started(
        model, config, version or "", at.name, round(at.total_gib, 1), relevant, digest(moving) if moving else ""
    )


@cache
def moves_memory(name: str) -> bool:
    """Whether an argument may affect a GPU's memory; true for unknown arguments."""
    return name not in _IRRELEVANT and catalogue.newest_option(name).group not in _ELSEWHERE


def digest(value: Any) -> str:
    """16 hex digits of any JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and len(value) <= 64 and not may_be_secret(value):
        return value
    return f"#{digest(value)}"


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
