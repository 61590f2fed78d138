"""The words that vLLM's parser does not know: options, words with a wrong dash, and words that belong to no option."""

from __future__ import annotations

import re
import shlex

from cortexctl.engines.vllm.catalogue.catalogue import option_spans, releases, spelled
from cortexctl.engines.vllm.diagnosis.pattern import Message

_WRONG_DASH = re.compile(r"(?:-(?=[A-Za-z]{2})|[\u2010-\u2015\u2212]-?)(?P<name>[A-Za-z][\w-]*)")
_OPTION = re.compile(r"--[A-Za-z][\w.-]*")
_OPENING, _CLOSING = "{[", "}]"


def unknown_arguments(match: re.Match[str]) -> Message:
    """Cause and fix of "unrecognized arguments: …"."""
    text = match[1].strip()
    argv = split_argv(text)
    dashed = next((wrong for word in argv if (wrong := _WRONG_DASH.match(word))), None)
    options = [option.group() for word in argv if (option := _OPTION.match(word))]
    if dashed and (dashed.group()[0] != "-" or spelled("--" + dashed["name"])):
        return _wrong_dash(dashed)
    if options:
        return _unknown_options(text, argv, options)
    if argv[:1] == ["serve"]:
        return (
            f"the image's entry point is `vllm serve` already, and the command repeats it: {text}",
            f"remove `{text}` from the command, or in a stack from `extra_args`: cortexctl adds the model itself",
        )
    return (
        f"the command line has words that belong to no option: {text}",
        "remove them from `extra_args`; there, an option and its value are two items, and a value with blanks is one",
    )


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


def _wrong_dash(dashed: re.Match[str]) -> Message:
    option = "--" + dashed["name"]
    known = spelled(option)
    key = known.name if known else dashed["name"].replace("-", "_")
    return (
        f"{dashed.group()} begins with a wrong dash: vLLM's options begin with two plain ones",
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
