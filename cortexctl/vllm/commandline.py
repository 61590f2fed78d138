"""A command line that a person wrote, read back to what a stack says by name: the model, its names, typed arguments.

Nothing is dropped: what is not of its parameter's type, or has no name in a stack, is kept as it was written.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cortexctl.spec.container import CONTAINER_PORT, ContainerSpec
from cortexctl.vllm.arguments import ARGUMENTS, SHORT_FLAGS, Argument
from cortexctl.vllm.argv import arguments
from cortexctl.vllm.catalogue_values import convert
from cortexctl.vllm.owned import OWNED

SERVE = ("vllm", "serve")
MODULE = ("python3", "-m", "vllm.entrypoints.openai.api_server")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - inside a container
_OPTION = re.compile(r"--?[A-Za-z]")
_SHELLS = {"sh", "bash", "dash", "ash"}
_SHELL_WORK = re.compile(r"[$`\n]|(?:^|\s)#")
"""What makes a shell do more than to start a program: nobody knows the words then."""
_OPERATORS = ";&|<>()"
_LISTS = {"served_model_name", "api_key"}
"""Parameters that cortexctl sets itself and that take several words."""
SWITCH, MANY = -1, 1 << 30
"""How many words an option takes that may be followed by true or false, and one that takes all that follow."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its parameter in snake_case, the words as they were written, and those of them that are values."""

    name: str
    words: tuple[str, ...] = field(repr=False)
    values: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """`program` is SERVE or MODULE, however it was spelled. `owned`: parameters that cortexctl sets itself, with their
    values. `unread`: parameters of a stack whose values are of another type, as they were written. `extra`: all others.
    """

    program: tuple[str, ...]
    model: str = ""
    served_names: tuple[str, ...] = ()
    args: Mapping[str, Any] = field(default_factory=dict, repr=False)
    owned: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    unread: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    extra: tuple[Option, ...] = ()

    @property
    def port(self) -> int:
        """Where the server listens inside its container."""
        last = self.owned.get("port", ())[-1:]
        return int(last[0]) if last and last[0].isascii() and last[0].isdigit() else CONTAINER_PORT


def command_line(words: Sequence[str]) -> CommandLine | None:
    """None where the words do not start vLLM's server, or nobody can tell."""
    started = _started(words)
    if started is None:
        return None
    program, rest = started
    model, options = options_in(rest)
    given = {o.name: o.values for o in options}  # of two uses the last counts, as it does for vLLM
    model = (given.pop("model", ()) or (model,))[-1]
    names = given.pop("served_model_name", ()) or ((model,) if model else ())
    args = _typed({n: v for n, v in given.items() if _base(n) in ARGUMENTS})
    unread = {n: tuple(w for o in options if _base(o.name) == n for w in o.words) for n in args if args[n] is None}
    args = {n: value for n, value in args.items() if value is not None}
    owned = {n: v for n, v in given.items() if n in OWNED and n not in ARGUMENTS}
    known = {"model", "served_model_name", *owned}
    extra = (o for o in options if o.name not in known and _base(o.name) not in ARGUMENTS)
    return CommandLine(program, model, names, args, owned, unread, tuple(extra))


def in_our_words(line: CommandLine, version: str | None) -> list[str]:
    """The words after the program as cortexctl would write them, so that equal settings are equal words."""
    revision = {"revision": line.owned["revision"][-1]} if line.owned.get("revision") else {}
    spec = ContainerSpec("", line.model, line.served_names, version, {**line.args, **revision}, drain=0)
    words = arguments(spec)
    for name in ("host", "port"):
        if line.owned.get(name):
            words[words.index(f"--{name}", 1 + len(line.served_names)) + 1] = line.owned[name][-1]
    for name in sorted(line.owned.keys() - {"host", "port", "revision"}):
        words += ["--" + name.replace("_", "-"), *line.owned[name]]
    words += [word for _, written in sorted(line.unread.items()) for word in written]
    return [*words, *(word for option in line.extra for word in option.words)]


def options_in(words: Sequence[str]) -> tuple[str, tuple[Option, ...]]:
    """The positional model ("" where there is none) and the options, each with the words that it takes: a switch
    none, a parameter that is known to take one that one, all others what follows.
    """
    model = ""
    options: list[Option] = []
    room = 0
    for word in words:
        if _OPTION.match(word):
            option, room = _option(word)
            options.append(option)
        elif room > 0 or (room == SWITCH and word.lower() in {"true", "false"}):
            last = options[-1]
            options[-1] = Option(last.name, (*last.words, word), (*last.values, word))
            room = room - 1 if room > 0 else 0
        elif not model:
            model, room = word, 0
        else:
            options.append(Option("", (word,), (word,)))
    return model, tuple(options)


def _option(word: str) -> tuple[Option, int]:
    """The option that a word begins, and how many more words it takes."""
    flag, equals, value = word.partition("=")
    head, dot, inner = flag.partition(".")
    name = SHORT_FLAGS.get(head, head.lstrip("-").replace("-", "_")) + dot + inner
    given = (value,) if equals else ()
    base = name.removeprefix("no_")
    if base != name and base in ARGUMENTS and name not in ARGUMENTS and not equals:
        return Option(base, (word,), ("false",)), 0
    argument = ARGUMENTS.get(name.partition(".")[0])
    option = Option(name, (word,), given)
    if argument is not None and argument.kind == "switch":
        return option, 0 if equals else SWITCH
    single = argument.kind not in {"words", "ints"} if argument else name in OWNED and name not in _LISTS
    return option, int(not equals) if single else MANY


def _started(words: Sequence[str]) -> tuple[tuple[str, ...], list[str]] | None:
    """The program, in one spelling, and the words after it."""
    rest = list(words)
    if len(rest) >= 3 and _program(rest[0]) in _SHELLS and re.fullmatch(r"-[a-z]*c", rest[1]):
        if len(rest) > 3 or (inside := _simple_command(rest[2])) is None:
            return None
        rest = inside
    if len(rest) >= 2 and _program(rest[0]) == "vllm" and rest[1] == "serve":
        return SERVE, rest[2:]
    if rest and re.fullmatch(r"python[\d.]*", _program(rest[0])):
        rest = [rest[0], *(rest[2:] if rest[1:2] == ["-u"] else rest[1:])]
        if rest[1:3] == list(MODULE[1:]):
            return MODULE, rest[3:]
    return None


def _program(path: str) -> str:
    return path.rpartition("/")[2]


def _base(name: str) -> str:
    """The parameter of a dotted name."""
    return name.partition(".")[0]


def _simple_command(script: str) -> list[str] | None:
    """The words of a script that does nothing but start one program."""
    script = script.replace("\\\n", " ").strip()
    if _SHELL_WORK.search(script):
        return None
    try:
        lexer = shlex.shlex(script, posix=True, punctuation_chars=_OPERATORS)
        lexer.whitespace_split, lexer.commenters = True, ""
        words = list(lexer)
    except ValueError:
        return None
    if any(word and set(word) <= set(_OPERATORS) for word in words):
        return None
    return words[1:] if words[:1] == ["exec"] else words


def _typed(given: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The parameters of a stack by value; None where the words have none."""
    args: dict[str, Any] = {}
    for name in dict.fromkeys(map(_base, given)):
        inner = {n.partition(".")[2]: v for n, v in given.items() if n.startswith(name + ".")}
        try:
            value = _value(ARGUMENTS[name], given[name]) if name in given else {}
            args[name] = _with_inner(value, inner) if inner else value
        except ValueError:
            args[name] = None
    return args


def _value(argument: Argument, values: tuple[str, ...]) -> Any:
    """Raises ValueError."""
    match argument.kind:
        case "switch":
            word = values[-1].lower() if values else "true"
            if word not in {"true", "false"}:
                raise ValueError(word)
            return word == "true"
        case "words" if values:
            return list(values)
        case "ints" if values:
            return [int(v) for v in values]
    if not values:
        raise ValueError(f"{argument.name} without a value")
    return _single(argument, values[-1])


def _single(argument: Argument, word: str) -> Any:
    match argument.kind:
        case "int":
            return convert("size", word)
        case "int_or_auto":
            return "auto" if word.strip().lower() == "auto" else convert("size", word)
        case "float":
            number = float(word)
            if number != number or number in {float("inf"), float("-inf")}:  # noqa: PLR0124 - nan
                raise ValueError(word)
            return number
        case "json":
            value = json.loads(word)
            if not isinstance(value, dict):
                raise ValueError(word)
            return value
        case _:
            return word


def _with_inner(value: Any, inner: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """`--name.a.b 1` sets one key inside of a JSON value. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError("no JSON value")
    whole = dict(value)
    for path, values in inner.items():
        *above, last = path.split(".")
        if not values or not all([*above, last]) or last.endswith("+"):
            raise ValueError(path)
        table = whole
        for key in above:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise ValueError(path)
        table[last] = _json_or_text(values[-1])
    return whole


def _json_or_text(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return word
