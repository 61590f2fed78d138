"""A raw option -> the facts that the catalogue keeps of it, each kind proven by what the release itself does."""

from __future__ import annotations

import re
from typing import Any

from cortexctl.engines.vllm.catalogue.value_kinds import convert, order_of_choice

Facts = dict[str, Any]

TYPES = (
    (r"|str|nullable_str", "text"),
    (r"int", "int"),
    (r"float", "float"),
    (r"human_readable_int", "size"),
    (r"human_readable_int_or_auto", "size_or_auto"),
    (r"bool", "truthy"),
    (r"loads|parse_type\(loads\)", "json"),
    (r"union_dict_and_str", "json_or_text"),
    (r"nullable_kvs", "counts"),
    (r"parse_reasoning_parser", "text_or_none"),
    (r".*<lambda>@override_neuron_config", "colon_pairs"),
    (r".*<lambda>@device_ids", "items"),
    (r".*<lambda>@(moe_backend|linear_backend|sparse_indexer_topk_backend)", "lower"),
    (r".*CompilationConfig\.from_cli\)?.*|get_kwargs\.parse_dataclass\(CompilationConfig\)", "config_or_level"),
    (r".*(parse_dataclass|<lambda>)\(\w+\)(@\w+)?|\w+\.from_(cli|json)", "config"),
)
"""The `type=` functions that releases have used, as `plain.describe` names them."""

ACTIONS = {
    "BooleanOptionalAction": "pair",
    "EnableDisableAction": "pair",
    "_StoreTrueAction": "switch",
    "StoreBoolean": "word",
    "LoRAParserAction": "lora",
    "PromptAdapterParserAction": "adapters",
}
PLAIN_ACTIONS = {"_StoreAction", "_AppendAction", "DeprecatedLogConfigFileAction"}

REGISTRIES = {
    "quantization": "quantization",
    "load_format": "load_format",
    "attention_backend": "attention_backend",
    "tool_call_parser": "tool_parser",
    "reasoning_parser": "reasoning_parser",
}
"""Destination -> the registry whose names are its known, not enforced, values."""


class Unproven(SystemExit):
    """The release's own function does something else than the kind says."""


def facts(option: dict[str, Any], record: dict[str, Any]) -> Facts:
    """What the catalogue keeps of one option of one release. What is as usual is left out."""
    kind, unset = kind_of(option, record)
    default = default_of(option)
    found: Facts = {"kind": kind, **_spellings(option, kind), **_values(option, record)}
    if option["dest"] != name_of(option):
        found["dest"] = option["dest"]
    if unset:
        found["unset"] = True
    if default is not (False if kind in {"pair", "switch"} else None):
        found["default"] = default  # None for a pair: decided later
    if option["action"] == "_AppendAction":
        found["repeats"] = True
    if "keys" in option and not option["keys"]["zz_unknown"]:
        found["strict"] = True
    for key in ("config", "bounds", "unsteady", "required"):
        if option.get(key):
            found[key] = option[key]
    if option.get("group") not in {"positional arguments", "options", "", None}:
        found["group"] = option["group"]
    if option["dest"] in record["deprecated"]:
        found["deprecated"] = record["deprecated"][option["dest"]] or True
    return found


def _spellings(option: dict[str, Any], kind: str) -> Facts:
    """Flags beside the main one, and how many values follow."""
    flags = option.get("flags", [])
    off = [f for f in flags if option.get("sets", {}).get(f) is False]
    on = [f for f in flags if f not in off]
    found: Facts = {} if flags else {"positional": True}
    if on[1:]:
        found["also"] = [f for f in on if f != flag_of(name_of(option))]
    if kind == "pair" and off != [no_form(f) for f in on if f.startswith("--")]:
        found["off"] = off
    if kind != "word":
        found |= {"nargs": option["nargs"]} if option.get("nargs") else {}
        found |= {"bare": option["const"]} if option.get("nargs") == "?" and "const" in option else {}
    return found


def _values(option: dict[str, Any], record: dict[str, Any]) -> Facts:
    """The choices that are enforced, or the known ones that are not."""
    if option.get("choices") is not None:
        return {"choices": sorted(option["choices"], key=order_of_choice)}
    registry = REGISTRIES.get(option["dest"], "")
    if registry and record["registries"][registry]:
        return {"soft": "@" + registry}
    if isinstance(option.get("metavar"), list):
        return {"soft": sorted(str(c) for c in option["metavar"] if c is not None)}
    return {}


def default_of(option: dict[str, Any]) -> Any:
    """An object of a config class is what an empty JSON object makes."""
    value = (option.get("default") or [None])[0]
    return {} if isinstance(value, dict) and "object" in value else value


def name_of(option: dict[str, Any]) -> str:
    """The name that a stack writes: the first long flag in snake_case; a positional's own."""
    long = [f for f in option.get("flags", ()) if f.startswith("--")]
    return long[0].removeprefix("--").replace("-", "_") if long else option["dest"]


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def no_form(flag: str) -> str:
    return "--no-" + flag.removeprefix("--")


def kind_of(option: dict[str, Any], record: dict[str, Any]) -> tuple[str, bool]:
    """The kind, and whether '' and None as words mean that it is not set."""
    described = option.get("type", "")
    if option["action"] in ACTIONS:
        _prove_switches(option)
        kind = ACTIONS[option["action"]]
        return kind, kind in {"lora", "adapters"} and bool(described)
    if option["action"] not in PLAIN_ACTIONS:
        raise Unproven(f"{record['version']}: {option['dest']} has an unknown action: {option['action']}")
    optional = re.fullmatch(r"optional_type\((.*?)\)(@\w+)?", described)
    inner = optional[1] + (optional[2] or "") if optional else described
    unset = bool(optional) or described == "nullable_str"
    kind = next((k for pattern, k in TYPES if re.fullmatch(pattern, inner)), None)
    probes = record["types"][described]
    if kind is None:
        raise Unproven(f"{record['version']}: {option['dest']} has an unknown type: {described}")
    if kind == "json" and probes["a=1"] != "!":
        kind = "counts_or_json"  # from 0.8.5 to 0.9.2 the JSON reader still took key=value
    if kind == "config_or_level" and probes["true"] == "!" and probes['{"a":1}'] != "!" and probes["8k"] != "!":
        kind = "literal_or_level"  # read by Python, not by JSON: true and null are errors
    prove(kind, unset=unset, probes=probes, where=f"{record['version']} {option['dest']} ({described})")
    return kind, unset


def _prove_switches(option: dict[str, Any]) -> None:
    """On forms give true, off forms false, and nothing else is set."""
    for flag, value in option.get("sets", {}).items():
        if value not in (True, False):
            raise Unproven(f"{option['dest']}: {flag} sets {value!r}")


def prove(kind: str, *, unset: bool, probes: dict[str, Any], where: str) -> None:
    """Our own reading of the kind against the release's, word by word."""
    for word, theirs in probes.items():
        if (kind, word) == ("json_or_text", " {} "):  # spaces around the braces: text to 0.9.2, JSON since
            continue
        try:
            ours: Any = [convert(kind, word, unset=unset)]
        except ValueError:
            ours = "!"
        refused = isinstance(theirs, str)  # with a traceback or without
        if not refused and isinstance(theirs[0], dict) and "object" in theirs[0]:
            alike = ours not in ("!", [None])
        elif kind.endswith(("config", "level")) and word == '{"a":1}':
            alike = True  # an unknown key: whether that is an error is another fact
        else:
            alike = (["inf"] if ours == [float("inf")] else ours) == ("!" if refused else theirs)
        if not alike:
            raise Unproven(f"{where}: {kind} makes {ours} of {word!r}, the release makes {theirs}")
