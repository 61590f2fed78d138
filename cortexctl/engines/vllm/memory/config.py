"""Reads a config.json: keys under all the names that families use, nested text models, sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NESTED = ("text_config", "llm_config", "language_config", "language_model", "decoder_config")


class UnknownModel(ValueError):
    """The config lacks a key that every decoder has."""


class Config:
    """The keys of the text model; a missing key is read from the top level, where some families keep it."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self.outer = _mapping(raw.get("thinker_config")) or raw
        self.inner = next((t for k in _NESTED if (t := _mapping(self.outer.get(k)))), {})

    def get(self, *names: str) -> Any:
        """The first of the names that is set, in the text model first; None if none is set."""
        for table in (self.inner, self.outer, self.raw):
            for name in names:
                if table.get(name) is not None:
                    return table[name]
        return None

    def number(self, *names: str, default: int = 0) -> int:
        """The same as a whole number; of a list, the largest number."""
        value = self.get(*names)
        if isinstance(value, list):
            numbers = [n for n in value if isinstance(n, int | float)]
            value = max(numbers) if numbers else None
        return int(value) if isinstance(value, int | float) else default

    def need(self, *names: str) -> int:
        """Raises UnknownModel if it is missing."""
        value = self.number(*names)
        if value <= 0:
            raise UnknownModel(f"config.json has no {names[0]}")
        return value

    def flag(self, *names: str, default: bool = False) -> bool:
        value = self.get(*names)
        return default if value is None else bool(value)

    def texts(self, name: str) -> list[str]:
        value = self.get(name)
        return [str(text) for text in value] if isinstance(value, list) else []

    def table(self, name: str) -> Mapping[str, Any]:
        return _mapping(self.get(name)) or {}

    @property
    def model_type(self) -> str:
        return str(self.inner.get("model_type") or self.outer.get("model_type") or self.raw.get("model_type") or "")

    @property
    def outer_type(self) -> str:
        return str(self.raw.get("model_type") or self.model_type)

    @property
    def architecture(self) -> str:
        names = self.raw.get("architectures") or self.outer.get("architectures") or []
        return str(names[0]) if isinstance(names, list) and names else ""


def _mapping(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) and value else None


def overridden(raw: Mapping[str, Any], args: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config with what launch arguments change: hf_overrides, and rope_scaling and rope_theta up to 0.11.0. A table
    of hf_overrides replaces the config's, except that the config of a nested model is merged key by key. vLLM:
    `ModelConfig._apply_dict_overrides`, read in 0.11.1 to 0.33.0.
    """
    changes = {key: args[key] for key in ("rope_scaling", "rope_theta") if args.get(key)}
    overrides = args.get("hf_overrides")
    for key, value in overrides.items() if isinstance(overrides, Mapping) else ():
        before = raw.get(key)
        is_nested = key.endswith("_config") and key != "quantization_config"
        if is_nested and isinstance(before, Mapping) and isinstance(value, Mapping):
            changes[key] = _merged(before, value)
        else:
            changes[key] = value
    return {**raw, **changes} if changes else raw


def _merged(before: Mapping[str, Any], changes: Mapping[str, Any]) -> Mapping[str, Any]:
    merged = dict(before)
    for key, value in changes.items():
        both = isinstance(merged.get(key), Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
