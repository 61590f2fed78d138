"""Reads a command line that a person wrote into the names of a stack: the model, its names, typed arguments.

Nothing is lost: an argument of another type, or without a name in a stack, is kept as written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.catalogue.facts import Option as Facts
from cortexctl.engines.vllm.command.argv import arguments
from cortexctl.engines.vllm.command.reserved import RESERVED
from cortexctl.engines.vllm.command.shells import SHELLS, name_of_program, script_of, simple_command
from cortexctl.engines.vllm.command.values import SWITCHES, canonical, takes_several, wrong_form
from cortexctl.engines.vllm.command.word import read_word
from cortexctl.engines.vllm.contract import CONTRACT
from cortexctl.instance.spec import Server

SERVE = ("vllm", "serve")
MODULE = ("python3", "-m", "vllm.entrypoints.openai.api_server")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - inside a container
_OPTION = re.compile(r"--?[A-Za-z]")
SWITCH, MANY = -1, 1 << 30
"""How many arguments an option takes that may be followed by true or false, and one that takes all that follow."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its parameter in snake_case, the arguments as written, and those of them that are values."""

    name: str
    argv: tuple[str, ...] = field(repr=False)
    values: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """`program` is SERVE or MODULE, in any spelling. `reserved`: parameters that cortexctl sets itself, with their
    values. `unread`: parameters of a stack whose values have another type, as written. `extra`: all others.
    """

    program: tuple[str, ...]
    model: str = ""
    served_names: tuple[str, ...] = ()
    args: Mapping[str, Any] = field(default_factory=dict, repr=False)
    reserved: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    unread: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    extra: tuple[Option, ...] = ()

    @property
    def port(self) -> int:
        """The port on which the server listens inside its container."""
        last = self.reserved.get("port", ())[-1:]
        return int(last[0]) if last and last[0].isascii() and last[0].isdigit() else CONTRACT.port


def command_line(argv: Sequence[str]) -> CommandLine | None:
    """None if the arguments do not start vLLM's server, or if that is unclear."""
    started = program_of(argv)
    if started is None:
        return None
    program, rest = started
    model, options = options_in(rest)
    by_name: dict[str, tuple[str, ...]] = {}
    for option in options:  # of two uses the last one counts, as in vLLM, except for options that collect values
        earlier = by_name.get(option.name, ()) if catalogue.newest_option(option.name).repeats else ()
        by_name[option.name] = earlier + option.values
    model = (by_name.pop("model", ()) or (model,))[-1]
    names = by_name.pop("served_model_name", ()) or ((model,) if model else ())
    args = _typed({n: v for n, v in by_name.items() if _is_argument(n)})
    unread = {n: tuple(w for o in options if _base(o.name) == n for w in o.argv) for n in args if args[n] is None}
    args = {n: value for n, value in args.items() if value is not None}
    reserved = {n: v for n, v in by_name.items() if n in RESERVED}
    known = {"model", "served_model_name", *reserved}
    extra = (o for o in options if o.name not in known and not _is_argument(o.name))
    return CommandLine(program, model, names, args, reserved, unread, tuple(extra))


def in_our_form(line: CommandLine, version: str | None) -> list[str]:
    """The arguments after the program in cortexctl's own order and spelling, so that equal settings are equal
    arguments.
    """
    revision = {"revision": line.reserved["revision"][-1]} if line.reserved.get("revision") else {}
    server = Server("vllm", line.model, line.served_names, version, {**line.args, **revision}, drain=0)
    argv = arguments(server)
    for name in ("host", "port"):
        if line.reserved.get(name):
            argv[argv.index(f"--{name}", 1 + len(line.served_names)) + 1] = line.reserved[name][-1]
    for name in sorted(line.reserved.keys() - {"host", "port", "revision"}):
        argv += ["--" + name.replace("_", "-"), *line.reserved[name]]
    argv += [word for _, written in sorted(line.unread.items()) for word in written]
    return [*argv, *(word for option in line.extra for word in option.argv)]


def options_in(argv: Sequence[str]) -> tuple[str, tuple[Option, ...]]:
    """The positional model ("" if there is none) and the options, each with its arguments: a switch has none, a
    parameter known to take one has one, all others have everything that follows.
    """
    model = ""
    options: list[Option] = []
    room = 0
    for word in argv:
        if _OPTION.match(word):
            option, room = _option(word)
            options.append(option)
        elif room > 0 or (room == SWITCH and word.lower() in {"true", "false"}):
            last = options[-1]
            options[-1] = Option(last.name, (*last.argv, word), (*last.values, word))
            room = room - 1 if room > 0 else 0
        elif not model:
            model, room = word, 0
        else:
            options.append(Option("", (word,), (word,)))
    return model, tuple(options)


def _option(word: str) -> tuple[Option, int]:
    """The option that an argument begins, and how many more arguments it takes."""
    flag, equals, value = word.partition("=")
    head, dot, inner = flag.partition(".")
    facts = catalogue.spelled(head)
    name = (facts.name if facts else head.lstrip("-").replace("-", "_")) + dot + inner
    if facts is not None and head.replace("_", "-") in facts.off_flags and not equals:
        return Option(name, (word,), ("false",)), 0
    option = Option(name, (word,), (value,) if equals else ())
    if facts is not None and facts.kind in SWITCHES:
        return option, 0 if equals else SWITCH
    several = facts.nargs not in {None, "?"} if facts else name not in RESERVED
    return option, MANY if several else int(not equals)


def program_of(argv: Sequence[str]) -> tuple[tuple[str, ...], list[str]] | None:
    """SERVE or MODULE, in any spelling, and the arguments after it; None as in `command_line`."""
    rest = list(argv)
    if rest and name_of_program(rest[0]) in SHELLS:
        script = script_of(rest)
        rest = (simple_command(script) if script is not None else None) or []
    if len(rest) >= 2 and name_of_program(rest[0]) == "vllm" and rest[1] == "serve":
        return SERVE, rest[2:]
    if rest and re.fullmatch(r"python[\d.]*", name_of_program(rest[0])):
        while rest[1:2] and rest[1] in {"-u", "-O", "-OO", "-I", "-B", "-s"}:
            del rest[1]
        if rest[1:3] == list(MODULE[1:]):
            return MODULE, rest[3:]
        if rest[1:4] == ["-m", "vllm.entrypoints.cli.main", "serve"]:
            return SERVE, rest[4:]
    return None


def _base(name: str) -> str:
    """The parameter of a dotted name."""
    return name.partition(".")[0]


def _is_argument(name: str) -> bool:
    return _base(name) not in RESERVED and bool(catalogue.option_spans(_base(name)))


def _typed(by_name: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The parameters of a stack by value; None if the arguments have none."""
    args: dict[str, Any] = {}
    for name in dict.fromkeys(map(_base, by_name)):
        inner = {n.partition(".")[2]: v for n, v in by_name.items() if n.startswith(name + ".")}
        try:
            value = _value(catalogue.newest_option(name), by_name[name]) if name in by_name else {}
            args[name] = _with_inner(value, inner) if inner else value
        except ValueError:
            args[name] = None
    return args


def _value(facts: Facts, values: tuple[str, ...]) -> Any:
    """According to the newest release that has it. Raises ValueError."""
    of = catalogue.release(catalogue.releases()[-1])
    if facts.kind in SWITCHES:
        word = values[-1].lower() if values else "true"
        if word not in {"true", "false"}:
            raise ValueError(word)
        return word == "true"
    if not values:
        raise ValueError(f"{facts.name} without a value")
    read = [_read(facts, word, of) for word in (values if takes_several(facts) else values[-1:])]
    value = canonical(facts, read if takes_several(facts) else read[0], of)
    if wrong_form(facts, value):
        raise ValueError(facts.name)
    return value


def _read(facts: Facts, word: str, of: catalogue.Release) -> Any:
    """A whole number may be written as a size, because some releases accept one."""
    return read_word(replace(facts, kind="size") if facts.kind == "int" else facts, word, of)


def _with_inner(value: Any, inner: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """`--name.a.b 1` sets one key inside a JSON value. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError("not a JSON value")
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
