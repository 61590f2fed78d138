"""Reads a file given with `--config` as the arguments that vLLM creates from it before it reads any other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.catalogue.facts import Entry, ParserTraits
from cortexctl.engines.vllm.command.parse_error import Trouble
from cortexctl.engines.vllm.version import parse_release

FLAG = "--config"
MODEL_FIRST_SINCE = parse_release("0.6.3")
"""Before this release, the file's arguments came before the model, too."""
Files = Mapping[str, Any]
"""Path, as written on the command line -> the parsed YAML of the file."""


def file_names(words: Sequence[str]) -> list[str]:
    """The files that the arguments name. `--config=FILE` is not included: vLLM ignores it."""
    return [words[at + 1] for at, word in enumerate(words[:-1]) if word == FLAG]


def with_files(words: Sequence[str], files: Files, release: Release, entry: Entry) -> tuple[list[str], list[Trouble]]:
    """The arguments with those of the file in their place: after the model, before all others, which override them."""
    if FLAG not in words:
        return list(words), []
    at, names = words.index(FLAG), file_names(words)
    if words.count(FLAG) > 1 or not names:
        return list(words), [Trouble(FLAG, "it takes one file and can be set once", "config")]
    name = names[0]
    if not name.endswith((".yaml", ".yml")):
        return list(words), [Trouble(name, "the file's name must end in .yaml or .yml", "config")]
    if name not in files:
        return list(words), [Trouble(FLAG, "its file cannot be read here; write its options directly", "config")]
    if not isinstance(files[name], dict):
        return list(words), [Trouble(name, "the file is not a table of options", "config")]
    try:
        given = list(_words(files[name], release.parser))
    except TypeError as cause:  # YAML has dates, which JSON does not support
        return list(words), [Trouble(name, str(cause), "config")]
    before, after = list(words[:at]), list(words[at + 2 :])
    has_model = bool(before) and not before[0].startswith("-")
    if entry == "serve" and not has_model and not (release.parser.file_model and "--model" in given):
        return list(words), [
            Trouble(FLAG, "the model is neither the first argument nor in the file", "config", "required")
        ]
    head = 1 if has_model and parse_release(release.version) >= MODEL_FIRST_SINCE else 0
    return [*before[:head], *given, *before[head:], *after], []


def _words(table: Mapping[str, Any], traits: ParserTraits) -> Iterator[str]:
    for key, value in table.items():
        flag = f"--{key}"
        match value:
            case bool() if traits.file_booleans:
                yield from [flag] * value
            case list() if traits.file_lists:
                yield from [flag, *map(str, value)] if value else []
            case dict() if traits.file_keys:
                yield from [flag, json.dumps(value)]
            case _:
                yield from [flag, str(value)]
