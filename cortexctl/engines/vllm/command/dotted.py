"""Rewrites arguments as vLLM does before argparse reads them: underscores in flags, -O3, and dotted keys of JSON
options.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.catalogue.facts import Entry, Key
from cortexctl.engines.vllm.catalogue.value_kinds import convert
from cortexctl.engines.vllm.command.config_file import Files, with_files
from cortexctl.engines.vllm.command.parse_error import ParseError
from cortexctl.engines.vllm.version import parse_release

_LEVEL, _ANY_LEVEL = re.compile(r"-O=?(\d)"), re.compile(r"-O(?!$)=?(.*)")
"""As a key of the compilation config, and as the optimization level, for which the parser accepts any text."""
_NAMES, _CONFIG = re.compile(r"--served[-_]model[-_]name(=.|$)"), re.compile(r"--config(=|$)")
O_IS_LEVEL_ALONE_SINCE = parse_release("0.13.0")
"""Before this release, -O.key was a key of the compilation config."""


def respelled(argv: Sequence[str], release: Release, entry: Entry, files: Files) -> tuple[list[str], list[ParseError]]:
    """The same arguments in the only spelling that argparse knows. Dotted keys of an option become one JSON value."""
    errors: list[ParseError] = []
    if entry == "serve":
        argv, errors = _with_model(argv, release)
        named = any(_NAMES.match(w) for w in argv) and not release.parser.names_first
        if not errors and named and argv[0].startswith("-") and not any(_CONFIG.match(w) for w in argv):
            message = "the model must be the first argument"
            errors = [ParseError("--served-model-name", message, "served_model_name", "required")]
    if not errors:
        argv, errors = with_files(argv, files, release, entry)
    if errors:
        return list(argv), errors
    flat = [_with_dashes(w) for w in _levels(argv, release)]
    return _gathered(flat, release, entry) if release.parser.dotted else (flat, [])


def _with_model(arguments: Sequence[str], release: Release) -> tuple[list[str], list[ParseError]]:
    """`vllm serve --model M`, which releases treat differently."""
    traits, argv = release.parser, list(arguments)
    at = next((i for i, w in enumerate(argv) if w == "--model" or re.match("--model=.", w)), None)
    if at is None:
        return argv, []
    joined = argv[at] != "--model"
    rule = traits.model_flag_equals if joined else traits.model_flag
    if rule == "error":
        return argv, [ParseError("--model", "vllm serve takes the model as its first argument", "model", "required")]
    if rule != "moved" or (not joined and at + 1 >= len(argv)):
        return argv, []
    model, rest = (argv[at][8:], argv[at + 1 :]) if joined else (argv[at + 1], argv[at + 2 :])
    return [model, *argv[:at], *rest], []


def _with_dashes(word: str) -> str:
    """--max_model_len=8 -> --max-model-len=8; the text after a dot or a = does not change."""
    if not word.startswith("--"):
        return word
    end = min((i for i in (word.find("="), word.find(".")) if i >= 0), default=len(word))
    return word[:end].replace("_", "-") + word[end:]


def _levels(argv: Sequence[str], release: Release) -> list[str]:
    """-O3, -O=3 and -O 3, with the release's meaning."""
    target = release.parser.o
    if not target:
        return list(argv)
    option, _, key = target.partition(".")
    flag = "--" + option.replace("_", "-")
    dotted_too = release.parser.dotted_short and parse_release(release.version) < O_IS_LEVEL_ALONE_SINCE
    out: list[str] = []
    waiting = list(argv)
    while waiting:
        word = waiting.pop(0)
        if dotted_too and word.startswith("-O."):
            out.append(word.replace("-O.", "--compilation-config.", 1))
            continue
        match = (_LEVEL if key else _ANY_LEVEL).fullmatch(word)
        level = match.group(1) if match else None
        if word == "-O" and waiting and waiting[0] in {"0", "1", "2", "3"}:
            level = waiting.pop(0)
        if level is None:
            out.append(word)
        elif key and release.parser.dotted:
            out += [f"{flag}.{key}", level]
        elif key:
            out += [flag, json.dumps({key: int(level)})]
        else:
            out += [flag, level]
    return out


def _gathered(argv: Sequence[str], release: Release, entry: Entry) -> tuple[list[str], list[ParseError]]:
    """Every `--x.a.b v`, `--x.a=v` and `--x.a+ v` -> one `--x {"a": …}` at the end, merged in order. A negative number
    with a point counts as a dotted key too, in releases where one minus is enough: vLLM does not check the text before
    the point.
    """
    out: list[str] = []
    tables: dict[str, dict[str, Any]] = {}
    waiting = list(argv)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        flag, dot, key = name.partition(".")
        if not dot or not flag.startswith("-" if release.parser.dotted_short else "--"):
            out.append(word)
            continue
        if not equals and not waiting:
            return out, [ParseError(word, "a value is missing", flag)]
        value = value if equals else waiting.pop(0)
        option = release.flags(entry).get(flag)
        config = option.config if option else ""
        _put(tables.setdefault(option.flag if option else flag, {}), key, value, release, config)
    for flag, table in tables.items():
        out += [flag, json.dumps(table)]
    return out, []


def _put(table: dict[str, Any], key: str, value: str, release: Release, config: str) -> None:
    appends = release.parser.dotted_append and key.endswith("+")
    path = (key[:-1] if appends else key).split(".")
    if release.parser.dotted == "dashes":
        path = [part.replace("_", "-") for part in path]
    for part in path[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            return
        keys = release.keys(config)
        table, config = inner, keys[part].config if part in keys else ""
    if appends:
        known = release.keys(config).get(path[-1])
        table[path[-1]] = [*table.get(path[-1], []), *_items(value, known)]
    else:
        table[path[-1]] = _read(value, release)


def _items(value: str, key: Key | None) -> list[Any]:
    """The items added to a list: the texts between commas; numbers only if the config's class converts them."""
    items: list[Any] = value.split(",")
    numbers = key is not None and key.allows([1])
    return [int(w) if numbers and re.fullmatch(r"\s*\d+\s*", w) else w for w in items]


def _read(value: str, release: Release) -> Any:
    if release.parser.dotted in {"dashes", "text"}:
        return value
    try:
        return json.loads(value)
    except ValueError:
        pass
    if release.parser.dotted_sizes:
        try:
            return convert("size", value)
        except ValueError:
            pass
    return value
