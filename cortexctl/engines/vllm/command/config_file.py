"""Reads a file given with `--config` as the arguments that vLLM creates from it before it reads any other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.catalogue.facts import Entry, ParserTraits
from cortexctl.engines.vllm.command.parse_error import ParseError
from cortexctl.engines.vllm.version import parse_release

FLAG = "--config"
MODEL_FIRST_SINCE = parse_release("0.6.3")
"""Before this release, the file's arguments came before the model, too."""
Files = Mapping[str, Any]
"""Path, as written on the command line -> the parsed YAML of the file."""


def file_names(argv: Sequence[str]) -> list[str]:
    """The files that the arguments name. `--config=FILE` is not included: vLLM ignores it."""
    return [argv[at + 1] for at, word in enumerate(argv[:-1]) if word == FLAG]


def unread_file(argv: Sequence[str], files: Files) -> str:
    """Why the options in the file of `--config` are not known; empty if they are, or if no release accepts the flag's
    use.
    """
    names = file_names(argv)
    if argv.count(FLAG) != 1 or not names or names[0] in files or not names[0].endswith((".yaml", ".yml")):
        return ""
    return f"{FLAG}: the options in {names[0]} cannot be read here; run this where the file is, or write them directly"


def with_files(argv: Sequence[str], files: Files, release: Release, entry: Entry) -> tuple[list[str], list[ParseError]]:
    """The arguments with those of the file in their place: after the model, before all others, which override them."""
    if FLAG not in argv:
        return list(argv), []
    at, names = argv.index(FLAG), file_names(argv)
    if argv.count(FLAG) > 1 or not names:
        return list(argv), [ParseError(FLAG, "it takes one file and can be set once", "config")]
    name = names[0]
    if not name.endswith((".yaml", ".yml")):
        return list(argv), [ParseError(name, "the file's name must end in .yaml or .yml", "config")]
    if name not in files:
        return list(argv), [ParseError(FLAG, "its file cannot be read here; write its options directly", "config")]
    if not isinstance(files[name], dict):
        return list(argv), [ParseError(name, "the file is not a table of options", "config")]
    try:
        arguments = list(_arguments(files[name], release.parser))
    except TypeError as cause:  # YAML has dates, which JSON does not support
        return list(argv), [ParseError(name, str(cause), "config")]
    before, after = list(argv[:at]), list(argv[at + 2 :])
    has_model = bool(before) and not before[0].startswith("-")
    if entry == "serve" and not has_model and not (release.parser.file_model and "--model" in arguments):
        return list(argv), [
            ParseError(FLAG, "the model is neither the first argument nor in the file", "config", "required")
        ]
    head = 1 if has_model and parse_release(release.version) >= MODEL_FIRST_SINCE else 0
    return [*before[:head], *arguments, *before[head:], *after], []


def _arguments(table: Mapping[str, Any], traits: ParserTraits) -> Iterator[str]:
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
