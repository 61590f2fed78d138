"""A raw option -> its facts in the catalogue. Each kind is proven by the behaviour of the release itself."""

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
    """The release's own function does not behave like the kind."""


def facts(option: dict[str, Any], record: dict[str, Any]) -> Facts:
    """The catalogue's facts of one option of one release, without usual values."""
    kind, unset = kind_of(option, record)
    default = default_of(option)
    fields: Facts = {"kind": kind, **_spellings(option, kind), **_values(option, record)}
    if option["dest"] != name_of(option):
        fields["dest"] = option["dest"]
    if unset:
        fields["unset"] = True
    if default is not (False if kind in {"pair", "switch"} else None):
        fields["default"] = default  # None for a pair: decided later
    if option["action"] == "_AppendAction":
        fields["repeats"] = True
    if "keys" in option and not option["keys"]["zz_unknown"]:
        fields["strict"] = True
    for key in ("config", "bounds", "unsteady", "required"):
        if option.get(key):
            fields[key] = option[key]
    if option.get("group") not in {"positional arguments", "options", "", None}:
        fields["group"] = option["group"]
    if option["dest"] in record["deprecated"]:
        fields["deprecated"] = record["deprecated"][option["dest"]] or True
    return fields


def _spellings(option: dict[str, Any], kind: str) -> Facts:
    """The flags beside the main one, and the number of values."""
    flags = option.get("flags", [])
    off = [f for f in flags if option.get("sets", {}).get(f) is False]
    on = [f for f in flags if f not in off]
    spellings: Facts = {} if flags else {"positional": True}
    if on[1:]:
        spellings["also"] = [f for f in on if f != flag_of(name_of(option))]
    if kind == "pair" and off != [no_form(f) for f in on if f.startswith("--")]:
        spellings["off"] = off
    if kind != "word":
        spellings |= {"nargs": option["nargs"]} if option.get("nargs") else {}
        spellings |= {"bare": option["const"]} if option.get("nargs") == "?" and "const" in option else {}
    return spellings


def _values(option: dict[str, Any], record: dict[str, Any]) -> Facts:
    """The enforced choices, or the known values that are not enforced."""
    if option.get("choices") is not None:
        return {"choices": sorted(option["choices"], key=order_of_choice)}
    registry = REGISTRIES.get(option["dest"], "")
    if registry and record["registries"][registry]:
        return {"soft": "@" + registry}
    if isinstance(option.get("metavar"), list):
        return {"soft": sorted(str(c) for c in option["metavar"] if c is not None)}
    return {}


def default_of(option: dict[str, Any]) -> Any:
    """The default of an option. An object of a config class becomes an empty JSON object, which creates it."""
    value = (option.get("default") or [None])[0]
    return {} if isinstance(value, dict) and "object" in value else value


def name_of(option: dict[str, Any]) -> str:
    """The name in a stack: the first long flag in snake_case, or the name of a positional."""
    long = [f for f in option.get("flags", ()) if f.startswith("--")]
    return long[0].removeprefix("--").replace("-", "_") if long else option["dest"]


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def no_form(flag: str) -> str:
    return "--no-" + flag.removeprefix("--")


def kind_of(option: dict[str, Any], record: dict[str, Any]) -> tuple[str, bool]:
    """The kind, and whether the values '' and None mean unset."""
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
    """Check that flags set true or false, and nothing else."""
    for flag, value in option.get("sets", {}).items():
        if value not in (True, False):
            raise Unproven(f"{option['dest']}: {flag} sets {value!r}")


def prove(kind: str, *, unset: bool, probes: dict[str, Any], where: str) -> None:
    """Compare our conversion of each probe with the release's.

    Raises:
        Unproven: they differ

    """
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
