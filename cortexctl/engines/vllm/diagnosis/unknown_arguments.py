"""The words that vLLM's parser does not know: options, words with a wrong dash, and words that belong to no option."""

from __future__ import annotations

import re
import shlex

from cortexctl.engines.vllm.catalogue.catalogue import option_spans, releases, spelled
from cortexctl.engines.vllm.command.dashes import DASHES
from cortexctl.engines.vllm.command.other_programs import of_docker
from cortexctl.engines.vllm.command.shells import SHELLS, name_of_program
from cortexctl.engines.vllm.diagnosis.pattern import Message

_MARK = "\u2014"
_MARKED = dict.fromkeys(map(ord, DASHES), _MARK)
_WRONG_DASH = re.compile(
    rf"(?:-(?=[A-Za-z]{{2}})|{_MARK}-?|-{_MARK}|--(?=[A-Za-z-]{{1,60}}{_MARK}))(?P<name>[A-Za-z][\w{_MARK}-]*)"
)
_OPTION = re.compile(r"--[A-Za-z][\w.-]*")
_OPENING, _CLOSING = "{[", "}]"


def unknown_arguments(match: re.Match[str]) -> Message:
    """Cause and fix of "unrecognized arguments: …"."""
    text = match[1].strip()
    argv = split_argv(text)
    if not text.strip("\\ "):
        return (
            "the command line has a blank word, as after a backslash that is not the last character of its line",
            "remove blanks behind the backslashes at the ends of the command's lines",
        )
    if repeated := _program_again(text, argv):
        return repeated
    for word in argv:
        if other := of_docker(word):
            return other
    dashed = next(((word, wrong) for word in argv if (wrong := _WRONG_DASH.match(word.translate(_MARKED)))), None)
    options = [option.group() for word in argv if (option := _OPTION.match(word))]
    if dashed and (_MARK in dashed[1].group() or spelled("--" + dashed[1]["name"])):
        return _wrong_dash(*dashed)
    if options:
        return _unknown_options(text, argv, options)
    if {word.lower() for word in argv} <= {"true", "false"}:
        return (
            f"a switch is followed by a value: {text}",
            f"remove {text} behind the switch (to turn it off, write --no-…), or in a stack write args.NAME = {text}",
        )
    quoted = next((inner for word in argv if (inner := re.match(r"[\"'](--[A-Za-z][\w-]*)", word))), None)
    if quoted:
        return f"{quoted[1]} has quotes that are a part of the word", "remove the inner quotes from the command"
    return (
        f"the command line has words that belong to no option: {text}",
        (
            "remove them from the command, or in a stack from `extra_args`; there, an option and its value are two "
            "items, and a value with blanks is one"
        ),
    )


def _program_again(text: str, argv: list[str]) -> Message | None:
    """The command repeats the program that the image's entry point starts, or names another one."""
    name = name_of_program(argv[0])
    if argv[0] in {"serve", "vllm"}:
        return (
            f"the image's entry point is `vllm serve` already, and the command repeats it: {text}",
            f"remove `{text}` from the command, or in a stack from `extra_args`: cortexctl adds the model itself"
            if argv[0] == "serve"
            else "remove `vllm serve` from the command, or in a stack from `extra_args`",
        )
    if name in SHELLS or re.fullmatch(r"python[\d.]*", name):
        return (
            f"the image's entry point starts vLLM's server already, and the command names a program of its own: {name}",
            (
                "give only the words of `vllm serve` as the command, or set the container's entry point to that "
                "program; a stack needs neither"
            ),
        )
    if "/" in argv[0] and not argv[0].startswith("-") and len(argv) == 1:
        return (
            (
                f"{text} belongs to no option: the command names another model before it, or the entry point is vLLM's "
                "api_server, which does not read the model as its first word"
            ),
            (
                "name one model: behind --model for api_server, or as the first word for `vllm serve`; in a stack "
                "`source` sets it"
            ),
        )
    return None


def split_argv(text: str) -> list[str]:
    """The words of a command line that argparse joined with blanks; JSON with blanks is one word."""
    argv: list[str] = []
    depth, quoted, escaped, current = 0, False, False, ""
    for character in text:
        if character == " " and not depth:
            argv += [current] if current else []
            current = ""
            continue
        current += character
        if escaped:
            escaped = False
        elif depth and character == "\\":
            escaped = True
        elif depth and character == '"':
            quoted = not quoted
        elif not quoted and character in _OPENING and (depth or len(current) == 1 or current[-2] == "="):
            depth += 1
        elif not quoted and depth and character in _CLOSING:
            depth -= 1
    return [*argv, current] if current else argv


def _wrong_dash(word: str, dashed: re.Match[str]) -> Message:
    option = "--" + dashed["name"].replace(_MARK, "-")
    known = spelled(option)
    key = known.name if known else option[2:].replace("-", "_")
    return (
        f"{word[: dashed.end()]} has a wrong dash: vLLM's options begin with two plain ones",
        f"write {option}, or in a stack args.{key}",
    )


def _unknown_options(text: str, argv: list[str], options: list[str]) -> Message:
    first = spelled(options[0])
    if first and len(options) == 1 and " " in text and "=" not in argv[0] and _every_release_has(first.name):
        value = text.partition(" ")[2]
        return (
            f"`{text}` reached vLLM as one word, with the blank in it",
            f'write the option and its value as two items: "{options[0]}", "{value}", or in a stack args.{first.name}',
        )
    short = spelled(options[0][1:]) if first is None else None
    if short:
        return (
            f"{options[0]} has two dashes, and the short option has one",
            f"write {options[0][1:]}, or in a stack args.{short.name}",
        )
    what = " and ".join(f"`{option}`" for option in options)
    return (
        f"this vLLM release does not know the argument: {text}",
        (
            f"remove {what} from `args` or `extra_args` (`cortexctl args check -- {shlex.join(argv)}` shows its "
            f"replacement), or pin an image whose release has it{_releases_with(options)}"
        ),
    )


def _every_release_has(name: str) -> bool:
    spans = option_spans(name)
    return len(spans) == 1 and spans[0].since == releases()[0] and not spans[0].until


def _releases_with(options: list[str]) -> str:
    known = spelled(options[0]) if len(options) == 1 else None
    spans = option_spans(known.name) if known else ()
    return f" (vLLM {', '.join(str(span) for span in spans)})" if spans else ""
