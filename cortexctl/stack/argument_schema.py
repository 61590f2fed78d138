"""vLLM's options as JSON Schema, for editors: of one release, or each one as its newest release defines it."""

from __future__ import annotations

from typing import Any

from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.catalogue.facts import Option
from cortexctl.engines.vllm.command.json_values import LISTS
from cortexctl.engines.vllm.command.reserved import RESERVED
from cortexctl.engines.vllm.command.values import SWITCHES, takes_several

_TYPES: dict[str, list[str]] = {
    "int": ["integer"],
    "float": ["number"],
    "size": ["integer", "string"],
    "size_or_auto": ["integer", "string"],
    "json": ["object"],
    "config": ["object"],
    "config_or_level": ["object"],
    "literal_or_level": ["object"],
    **{key: ["object", "string"] for key in ("json_or_text", "counts", "counts_or_json", "colon_pairs", "lora")},
    "items": ["array", "string"],
    **{key: ["boolean"] for key in SWITCHES},
}

_LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def args_schema(version: str | None = None) -> dict[str, Any]:
    """The table `args` of a model. If a release is chosen, nested tables have the keys of their config."""
    of = catalogue.release(version) if version else None
    properties = {}
    for name in sorted(catalogue.option_names()):
        option = of.option(name) if of else catalogue.newest_option(name)
        if option is not None and not option.positional and name not in RESERVED:
            properties[name] = {"description": _described(option), **_schema(option, of)}
    title = f"args of a model on vLLM {version}" if version else "args of a model, for any vLLM release"
    return {"title": title, "type": "object", "properties": properties, "additionalProperties": False}


def _described(option: Option) -> str:
    parts = [f"vLLM {', '.join(map(str, catalogue.option_spans(option.name)))}"]
    parts += [f"default {option.default}"] if option.default not in (None, {}, (), []) else []
    parts += ["deprecated"] if option.deprecated else []
    return "; ".join(parts)


def _schema(option: Option, of: Release | None) -> dict[str, Any]:
    types = ["array"] if option.name in LISTS else _TYPES.get(option.kind, ["string"])
    one: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    if option.choices and option.kind == "text":
        one["enum"] = [c for c in option.choices if c != "None"]
    elif option.soft_choices:
        one["examples"] = list(option.soft_choices)
    if of and option.config and types == ["object"]:
        one["properties"] = {name: {} for name in of.keys(option.config)}
    one |= {_LIMITS[name]: limit for name, limit in option.bounds}
    return {"type": "array", "items": one} if takes_several(option) else one
