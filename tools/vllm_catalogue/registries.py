"""Inside the stub process: the names in a release's own registries after import."""

from __future__ import annotations

import contextlib
import enum
import importlib
import re
import typing
from collections.abc import Iterable
from typing import Any

QUANTIZATION = "vllm.model_executor.layers.quantization:QUANTIZATION_METHODS"
LOAD_FORMAT = (
    "vllm.model_executor.model_loader:LoadFormats",
    "vllm.config:LoadFormat",
)
ATTENTION = (
    "vllm.v1.attention.backends.registry:AttentionBackendEnum",
    "vllm.attention.backends.registry:AttentionBackendEnum",
    "vllm.attention.backends.registry:_Backend",
    "vllm.platforms.interface:_Backend",
    "vllm.attention.selector:_Backend",
)
TOOL_PARSERS = (
    "vllm.tool_parsers:ToolParserManager",
    "vllm.entrypoints.openai.tool_parsers:ToolParserManager",
)
REASONING_PARSERS = (
    "vllm.reasoning:ReasoningParserManager",
    "vllm.entrypoints.openai.reasoning_parsers:ReasoningParserManager",
)


def read() -> dict[str, Any]:
    return {
        "architectures": _architectures(),
        "environment": sorted(importlib.import_module("vllm.envs").environment_variables),
        "quantization": _names(_first([QUANTIZATION])),
        "load_format": _names(_first(LOAD_FORMAT)),
        "attention_backend": _names(_first(ATTENTION)),
        "tool_parser": _registered(_first(TOOL_PARSERS)),
        "reasoning_parser": _registered(_first(REASONING_PARSERS)),
    }


def _first(places: Iterable[str]) -> Any:
    """The object at the first of these places that exists in the release."""
    for place in places:
        module, _, name = place.partition(":")
        with contextlib.suppress(ModuleNotFoundError):
            member = getattr(importlib.import_module(module), name, None)
            if member is not None:
                return member
    return None


def _names(registry: Any) -> list[str]:
    """The values of an enumeration, a Literal, a list or a registry."""
    if isinstance(registry, enum.EnumMeta):
        return sorted(m.value if isinstance(m, str) else name for name, m in registry.__members__.items())
    return sorted(typing.get_args(registry) or registry or ())


def _registered(manager: Any) -> list[str]:
    """The names of a manager's parsers. Parsers register themselves at import, or in a table of names to import."""
    tables = ("tool_parsers", "reasoning_parsers", "lazy_parsers")
    return sorted({name for table in tables for name in getattr(manager, table, None) or ()})


def _architectures() -> dict[str, list[str] | dict[str, str]]:
    """Group -> names. For groups of removed architectures: name -> its last release, or its new place."""
    for module in ("vllm.model_executor.models.registry", "vllm.model_executor.models"):
        with contextlib.suppress(ModuleNotFoundError):
            known = vars(importlib.import_module(module))
            groups = {
                n: v for n, v in known.items() if re.fullmatch(r"_[A-Z_]*MODELS", n) and isinstance(v, dict) and v
            }
            if groups:
                return {
                    n: {k: str(t) for k, t in v.items()}
                    if n in {"_PREVIOUSLY_SUPPORTED_MODELS", "_OOT_SUPPORTED_MODELS"}
                    else sorted(v)
                    for n, v in groups.items()
                }
    return {}
