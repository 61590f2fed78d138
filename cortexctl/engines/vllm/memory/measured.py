"""A start of vLLM, with everything that its memory depends on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.measurement import Started, digest
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.command.effective import canonical_args, release_of
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


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and len(value) <= 64 and not may_be_secret(value):
        return value
    return f"#{digest(value)}"
