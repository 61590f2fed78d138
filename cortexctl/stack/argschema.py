"""vLLM's options as JSON Schema, for editors: what each takes in the newest release that has it."""

from __future__ import annotations

from typing import Any

from cortexctl.vllm import catalogue
from cortexctl.vllm.catalogue_facts import Option
from cortexctl.vllm.owned import OWNED
from cortexctl.vllm.values import SWITCHES, takes_several

_TYPES: dict[str, list[str]] = {
    "int": ["integer"],
    "float": ["number"],
    "size": ["integer", "string"],
    "size_or_auto": ["integer", "string"],
    "json": ["object", "array", "string", "number", "boolean"],
    "config": ["object"],
    "config_or_level": ["object"],
    "literal_or_level": ["object"],
    **{key: ["object", "string"] for key in ("json_or_text", "counts", "counts_or_json", "colon_pairs", "lora")},
    "items": ["array", "string"],
    **{key: ["boolean"] for key in SWITCHES},
}


def args_properties() -> dict[str, Any]:
    """Name -> schema, sorted."""
    found = {}
    for name in sorted(catalogue.option_names()):
        spans = catalogue.option_spans(name)
        option = catalogue.release(spans[-1].until or catalogue.releases()[-1]).option(name)
        if option is not None and not option.positional and name not in OWNED:
            found[name] = {"description": f"vLLM {', '.join(map(str, spans))}", **_schema(option)}
    return found


def _schema(option: Option) -> dict[str, Any]:
    types = _TYPES.get(option.kind, ["string"])
    one: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    if option.choices and option.kind == "text":
        one["enum"] = [c for c in option.choices if c != "None"]
    return {"type": "array", "items": one} if takes_several(option) else one
