"""Reads the arguments of a vLLM command line into options by name, as the release's own parser does.

Python's argparse does the same work as inside vLLM: abbreviations, `--x=y`, several values. The catalogue describes
vLLM's own changes to the arguments before (underscores, -O3, dotted keys) and to the values after (sizes, JSON).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cache
from types import MappingProxyType
from typing import Any, NoReturn

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.catalogue.catalogue import release as catalogue_release
from cortexctl.engines.vllm.catalogue.facts import Entry, Option
from cortexctl.engines.vllm.command.config_file import Files
from cortexctl.engines.vllm.command.dotted import respelled
from cortexctl.engines.vllm.command.parse_error import Kind, ParseError
from cortexctl.engines.vllm.command.word import against, read_word, unread_text

NO_VALUE = {"pair", "switch"}
MODEL_TAG = "model_tag"
_SIGNS: tuple[tuple[Kind, str], ...] = (
    ("explicit", "ignored explicit argument"),
    ("ambiguous", "ambiguous option"),
    ("required", "the following arguments are required"),
)
"""The texts of argparse's errors."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """`options` by name, only those that are set; `spelled` by name: the flags that set them, as written. `model`: the
    positional. `unknown`: arguments that belong to no option.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    spelled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    model: str = ""
    unknown: tuple[str, ...] = ()
    errors: tuple[ParseError, ...] = ()

    @property
    def accepted(self) -> bool:
        return not self.unknown and not self.errors


def parse(argv: Sequence[str], release: Release, entry: Entry = "serve", files: Files = MappingProxyType({})) -> Parsed:
    """All errors in the arguments at once, in the order of the release's parser, and the values of the valid ones.
    `files`: the content of the files that `--config` names. Never raises for an argument.
    """
    spelled_out, errors = respelled(argv, release, entry, files)
    if errors:
        return Parsed(errors=tuple(errors))
    seen, unknown, ending = _Seen(), [], []
    try:
        _, unknown = _reader(release.version, entry).parse_known_args(spelled_out, seen)
    except _Refused as refused:
        option = release.flags(entry).get(refused.flag.split("/")[0])
        kind: Kind = next((kind for kind, sign in _SIGNS if sign in refused.text), "value")
        switch = "; a switch has no value: leave it out, or write --no-…" if kind == "explicit" else ""
        ending = [ParseError(refused.flag, refused.text + switch, option.name if option else "", kind)]
        if kind == "ambiguous":  # detected before any value is checked
            return Parsed(errors=tuple(ending))
    values: dict[str, Any] = {}
    flags: dict[str, list[str]] = {}
    for option, flag, arguments in seen.uses:
        value, wrong = _value(option, flag, arguments, release)
        errors += wrong
        flags.setdefault(option.name, []).append(flag)
        values[option.name] = [*values.get(option.name, []), value] if option.repeats else value
    model = values.pop(MODEL_TAG, None)
    return Parsed(
        options=values,
        spelled={name: tuple(spellings) for name, spellings in flags.items() if name != MODEL_TAG},
        model=model if isinstance(model, str) else "",
        unknown=tuple(unknown),
        errors=(*errors, *ending),
    )


def _value(option: Option, flag: str, arguments: Any, release: Release) -> tuple[Any, list[ParseError]]:
    """The arguments of one use -> its value, and the parser's errors about them."""
    if option.kind in NO_VALUE:
        return flag not in option.off_flags, []
    if arguments is None:
        return (True if option.kind == "word" else option.bare), []
    argv = arguments if isinstance(arguments, list) else [arguments]
    values, errors = [], []
    for word in argv:
        try:
            value = read_word(option, word, release)
        except (ValueError, TypeError, KeyError) as cause:
            errors.append(ParseError(word, f"{flag}: {unread_text(option, word, cause)}", option.name))
            continue
        errors += [
            ParseError(word, f"{flag}: {message}", option.name, "value" if isinstance(value, dict) else "choice")
            for message in against(option, value, release)
        ]
        values.append(value)
    return (values if isinstance(arguments, list) else values[0] if values else None), errors


class _Refused(Exception):
    """argparse stopped: it ends at the first error of this kind (a missing value, an ambiguous beginning)."""

    def __init__(self, flag: str, text: str) -> None:
        super().__init__(text)
        self.flag = flag
        self.text = text


class _Seen(argparse.Namespace):
    """Every use of an option, in order: (option, flag as argparse knows it, arguments)."""

    def __init__(self) -> None:
        super().__init__()
        self.uses: list[tuple[Option, str, Any]] = []


class _Note(argparse.Action):
    """Records the use and checks nothing."""

    option: Option

    def __call__(
        self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, flag: str | None = None
    ) -> None:
        if isinstance(namespace, _Seen) and not (self.option.positional and values in (None, [])):
            namespace.uses.append((self.option, flag or "", values))


class _Help(argparse.Action):
    """It ends the parsing."""

    def __call__(self, *_: Any) -> NoReturn:
        raise _Refused("--help", "it prints a text and serves nothing")


@cache
def _reader(version: str, entry: Entry) -> _Reader:
    return _Reader(catalogue_release(version), entry)


class _Reader(argparse.ArgumentParser):
    """The release's options, and nothing else."""

    def __init__(self, release: Release, entry: Entry) -> None:
        super().__init__(prog="vllm", add_help=False, allow_abbrev=release.parser.abbreviations, exit_on_error=False)
        self.add_argument("-h", "--help", action=_Help, nargs=0)
        for option in release.options.values():
            if option.entry in {None, entry}:
                self._take(option)

    def _take(self, option: Option) -> None:
        nargs: Any = 0 if option.kind in NO_VALUE else "?" if option.kind == "word" else option.nargs
        if option.positional:
            action = self.add_argument(option.name, action=_Note, nargs=option.nargs)
        else:
            action = self.add_argument(
                *option.flags, *option.off_flags, action=_Note, nargs=nargs, dest=option.name, default=argparse.SUPPRESS
            )
        if isinstance(action, _Note):
            action.option = option

    def error(self, message: str) -> NoReturn:
        raise _Refused("", message)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        try:
            return super().parse_known_args(args, namespace)
        except argparse.ArgumentError as cause:
            raise _Refused(cause.argument_name or "", cause.message) from cause
