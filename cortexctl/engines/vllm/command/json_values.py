"""JSON on a command line and in a stack: text where a table is expected, and the usual slips in JSON."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from cortexctl.engines.vllm.catalogue.facts import Option
from cortexctl.instance.secret_shape import assigned_secret, shape_of_secret
from cortexctl.text.toml_text import toml_value

LISTS = {"allowed_origins", "allowed_methods", "allowed_headers"}
"""Options of kind `json` whose value is a list; that of all others is a table."""
_TEXT_TOO = {"pt_load_map_location"}
"""Options of kind `json_or_text` for which text that is not JSON has a meaning."""
JSON_KINDS = {"json", "config", "config_or_level", "literal_or_level", "json_or_text", "counts", "counts_or_json"}
_PAIRS = re.compile(r"\w+=\d+(,\w+=\d+)*", re.ASCII)
_TYPOGRAPHIC_QUOTES = re.compile("[\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033\u2032]")
_PYTHON_LITERALS = re.compile(r"(?<=[:,\[{ ])(?:True|False|None)(?=\s*[,}\]])")
LONGEST_FIX = 300
"""Characters of a table that a help shows."""


def must_be_json(option: Option) -> bool:
    """Whether text that is not JSON never starts a server, whatever the parser accepts."""
    return option.kind in {"json", "json_or_text"} and option.name not in _TEXT_TOO


def is_json_value(option: Option, value: Any) -> bool:
    """Whether a value has the type that the server expects of this option: a list, or a table."""
    return isinstance(value, list if option.name in LISTS else dict)


def decoded(text: str) -> Any:
    """The table or list in a text, however often it is encoded; None if it holds none. Python's syntax counts."""
    value: Any = text
    for _ in range(3):
        if not isinstance(value, str):
            break
        value = _read(value)
    return value if isinstance(value, dict | list) else None


def as_table(option: Option, text: str) -> str:
    """The help for JSON text in a stack: what to write instead. Empty if the text holds no table or list."""
    if option.kind not in JSON_KINDS:
        value = decoded(text) if option.repeats or option.nargs not in {None, "?"} else None
        is_list = isinstance(value, list) and not shape_of_secret(text)
        return f"write it without the quotes around it: {option.name} = {toml_value(value)}" if is_list else ""
    if option.name in LISTS and re.fullmatch(r"[\w*./:,-]+", text):
        return f"write {option.name} = {toml_value(text.split(','))}"
    pairs = dict(part.split("=") for part in text.split(",")) if _PAIRS.fullmatch(text.strip()) else {}
    value = decoded(text) or {key: int(number) for key, number in pairs.items()}
    if not value or not is_json_value(option, value):
        return json_hint(text)
    fix = f"{option.name} = {toml_value(value)}"
    if len(fix) > LONGEST_FIX or shape_of_secret(fix) or assigned_secret(fix) or "None" in fix:
        noun = "a list" if option.name in LISTS else f"a table, [models.NAME.args.{option.name}]"
        return f"write it without the quotes around it, as {noun}"
    return f"write it without the quotes around it: {fix}"


def json_hint(text: str) -> str:
    """Why a text is not JSON, where the reason is a usual slip; otherwise empty."""
    stripped = text.strip()
    if quotes := _TYPOGRAPHIC_QUOTES.search(text):
        return f'it has typographic quotes ({quotes.group()}), as word processors and web pages write them: write "'
    if _PAIRS.fullmatch(stripped):
        pairs = dict(part.split("=") for part in stripped.split(","))
        return f"write {json.dumps({key: int(number) for key, number in pairs.items()})}"
    if decoded(text) is not None and stripped[:1] in {'"', "'"}:
        return "it is JSON text inside quotes: remove the outer quotes and the backslashes"
    if stripped[:1] not in {"{", "["}:
        return ""
    if "'" in text and '"' not in text:
        return "JSON has double quotes, not single ones"
    if _PYTHON_LITERALS.search(text):
        return "JSON writes true, false and null, not True, False and None"
    if '"' not in text and re.search(r"[{,]\s*\w+\s*:", text):
        return "its quotes are missing, as after a shell has removed them: put the whole value in single quotes"
    if text.count("{") > text.count("}") or text.count("[") > text.count("]"):
        return "its last bracket is missing, as after a shell has split it: put the whole value in single quotes"
    return "it has a comma after its last item" if re.search(r",\s*[}\]]", text) else ""


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if text.strip()[:1] not in {"{", "[", "'"}:
        return None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # {{}} is a set that holds a set
        return None
