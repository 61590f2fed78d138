"""Two command lines, compared by their options in any order and spelling, without values that may be secrets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cortexctl.engines.base import HIDDEN, Command, CommandDifference
from cortexctl.engines.vllm.command.argv import arguments
from cortexctl.engines.vllm.command.read_command import CommandLine, Option, command_line, in_our_form, options_in
from cortexctl.engines.vllm.command.read_options import POSITIONAL, may_be_shown, options_of, path_of
from cortexctl.instance.secret import may_be_secret
from cortexctl.instance.spec import Server


def command_differences(expected: Command, argv: Sequence[str]) -> Iterator[CommandDifference]:
    """The settings of `argv` that differ from the expected command line. Options of another program mean nothing."""
    head, whole = expected.program, tuple(argv)
    if whole == (*head, *expected.arguments):
        return
    if whole[: len(head)] != head:
        yield CommandDifference("entrypoint", " ".join(head), whole[0] if whole else None)
        return
    wanted, actual = options_of(expected.arguments), options_of(whole[len(head) :])
    for option in sorted(wanted.keys() | actual.keys()):
        was, now = wanted.get(option), actual.get(option)
        if was != now:
            yield CommandDifference(path_of(option), _shown(option, was), _shown(option, now))


def _shown(option: str, values: tuple[str, ...] | None) -> str | None:
    """Of the program only its name, of an option only values that are known not to be secrets."""
    if values is None:
        return None
    stray = option == POSITIONAL and len(values) > 1
    return HIDDEN if stray or not may_be_shown(option) else " ".join(values)


def normalised(server: Server, argv: Sequence[str]) -> Command:
    """The command line as cortexctl would write it. Open values of `server` are shown; of other values only those known
    to be harmless. If the line does not start vLLM, only the program is shown.
    """
    line = command_line(argv)
    if line is None:
        return Command(tuple(argv[:1]), ())
    return Command(line.program, tuple(_arguments(server, line)))


def _arguments(server: Server, line: CommandLine) -> list[str]:
    ours = in_our_form(line, server.version)
    wanted, actual = options_of(arguments(server)), options_of(ours)
    same = {name for name, values in actual.items() if wanted.get(name) == values}
    model, options = options_in(ours)
    argv = [HIDDEN if may_be_secret(model) else model] if model else []
    for option in sorted(options, key=lambda o: o.name):
        argv += option.argv if option.name in same or _is_open(option) else _hidden(option.argv)
    return argv


def _is_open(option: Option) -> bool:
    return may_be_shown(option.name) and not any(may_be_secret(value) for value in option.values)


def _hidden(argv: tuple[str, ...]) -> list[str]:
    flag, equals, _ = argv[0].partition("=")
    return [flag, HIDDEN] if equals or len(argv) > 1 else [flag]
