"""An inspected container in our own words, and without what may be a secret: so it can be compared, and kept in a
snapshot. Doing it twice changes nothing.
"""

from __future__ import annotations

from dataclasses import replace

from cortexctl.engines.vllm.command.argv import arguments
from cortexctl.engines.vllm.command.read_command import CommandLine, Option, command_line, in_our_words, options_in
from cortexctl.engines.vllm.command.read_options import may_be_shown, options_of
from cortexctl.instance.secret import looks_like_one
from cortexctl.instance.shape import LOG_OPTIONS, STOP_SIGNAL
from cortexctl.instance.spec import Spec
from cortexctl.observed.inspected import Inspected
from cortexctl.plan.inspected_diff import HIDDEN

_KNOWN_LOG_OPTIONS = {name for name, _ in LOG_OPTIONS} | {"compress", "mode", "max-buffer-size", "labels", "env", "tag"}


def read_back(spec: Spec, found: Inspected) -> Inspected:
    """`spec` is what is wanted of it: what that says in the open may be shown, and nothing else that is not known to be
    harmless.
    """
    line = command_line([*found.entrypoint, *found.command])
    return replace(
        found,
        entrypoint=line.program if line else (*found.entrypoint, *found.command)[:1],
        command=tuple(_command(spec, line)) if line else (),
        stop_signal=found.stop_signal or STOP_SIGNAL,  # the daemons' own default is the same
        env={name: value if value == spec.container.env.get(name) else HIDDEN for name, value in found.env.items()},
        log_options={n: v if n in _KNOWN_LOG_OPTIONS else HIDDEN for n, v in found.log_options.items()},
    )


def _command(spec: Spec, line: CommandLine) -> list[str]:
    ours = in_our_words(line, spec.server.version)
    wanted, actual = options_of(arguments(spec.server)), options_of(ours)
    same = {name for name, values in actual.items() if wanted.get(name) == values}
    model, options = options_in(ours)
    words = [HIDDEN if looks_like_one(model) else model] if model else []
    for option in sorted(options, key=lambda o: o.name):
        words += option.words if option.name in same or _is_open(option) else _hidden(option.words)
    return words


def _is_open(option: Option) -> bool:
    return may_be_shown(option.name) and not any(looks_like_one(value) for value in option.values)


def _hidden(words: tuple[str, ...]) -> list[str]:
    flag, equals, _ = words[0].partition("=")
    return [flag, HIDDEN] if equals or len(words) > 1 else [flag]
