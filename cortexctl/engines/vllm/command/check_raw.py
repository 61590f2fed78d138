"""Checks raw arguments, of `extra_args` or of a whole command line: unknown and reserved ones, and slips in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from cortexctl.engines.base import ArgumentIssue
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.command.misread import misread
from cortexctl.engines.vllm.command.parse import parse
from cortexctl.engines.vllm.command.replacements import known_release, ranges, replacement
from cortexctl.engines.vllm.command.reserved import RESERVED
from cortexctl.engines.vllm.command.reserved_words import without_reserved
from cortexctl.engines.vllm.command.spelling import Slip, one_dash, slip_in, slips_in_line
from cortexctl.engines.vllm.command.values import SWITCHES, takes_several
from cortexctl.engines.vllm.command.word import read_word
from cortexctl.text.suggest import nearest


def check_extra_args(argv: Sequence[str], version: str | None, args: Mapping[str, Any]) -> list[ArgumentIssue]:
    """Checks raw arguments: those that the release's parser refuses, those that its start refuses, and those that must
    not be set there. `args`: the arguments set by name.
    """
    if not argv:
        return []
    of, _ = known_release(version or catalogue.releases()[-1])
    argv, reserved = without_reserved(argv)
    argv, slips = _without_one_dash(argv, of)
    parsed = parse(["m", *argv], of, "serve")
    findings = [ArgumentIssue(name, "CX304", text, RESERVED[name]) for name, text in reserved]
    findings += [_of_slip(slip, RESERVED) for slip in slips]
    short = [(name, parsed.spelled[name][0]) for name in sorted(parsed.spelled.keys() & RESERVED.keys())]
    findings += [ArgumentIssue(name, "CX304", f"{flag} is set by cortexctl", RESERVED[name]) for name, flag in short]
    for name in sorted(parsed.spelled.keys() & args.keys()):
        flag = parsed.spelled[name][0]
        findings.append(
            ArgumentIssue(name, "CX304", f"{flag} is in args, too", "remove one of them: the later one would win")
        )
    for problem in parsed.errors if version else ():
        if problem.option in RESERVED:
            summary = f"{problem.word} is set by cortexctl"
            findings.append(ArgumentIssue(problem.option, "CX304", summary, RESERVED[problem.option]))
        else:
            refused = f"{problem.word}: {problem.text}" if problem.word else f"a word of extra_args: {problem.text}"
            advice = next((slip.fix for slip in slips_in_line(argv, of)), "")
            findings.append(ArgumentIssue(problem.option, "CX301", f"vLLM {version} refuses {refused}", advice))
    return [*findings, *misread(parsed.options, of), *check_unknown(parsed.unknown, version, RESERVED)]


def check_unknown(
    unknown: Sequence[str], version: str | None, owned: Mapping[str, str] = MappingProxyType({})
) -> Iterator[ArgumentIssue]:
    """The words of a command line that no option of the release takes. Those behind an unknown option may be its
    values. `owned`: options that must not be there -> what to write instead.
    """
    of, _ = known_release(version or catalogue.releases()[-1])
    has_option = False
    for at, word in enumerate(unknown):
        slip = slip_in(word, of, may_be_value=has_option)
        if slip is not None:
            yield _of_slip(slip, owned)
            has_option = True
        elif word.startswith("-"):
            yield from _unknown_word(word, unknown[at + 1 :], version, owned)
            has_option = True
        elif not has_option:
            twice = word in {"vllm", "serve"}
            advice = "the program is `vllm serve` already: name only what comes after it" if twice else ""
            if word.lower() in {"true", "false"}:
                advice = "a switch has no value: leave it out, or write --no-… to turn the switch off"
            summary = f"{_shown(word)} belongs to no option"
            yield ArgumentIssue("", "CX301", summary, advice or "an option has two dashes, and its value follows it")
            has_option = twice  # one sentence is enough


def _of_slip(slip: Slip, owned: Mapping[str, str]) -> ArgumentIssue:
    if slip.name in owned:
        return ArgumentIssue(slip.name, "CX304", f"{slip.text}; and it is set by cortexctl", owned[slip.name])
    return ArgumentIssue(slip.name, "CX301", slip.text, slip.fix)


def _without_one_dash(argv: Sequence[str], of: Release) -> tuple[list[str], list[Slip]]:
    """The arguments without the long names that have one dash, and without their values."""
    allowed: list[str] = []
    slips: list[Slip] = []
    skips = False
    for word in argv:
        slip = next(one_dash([word], of), None)
        if slip is not None:
            slips.append(slip)
            skips = "=" not in word
        elif skips and not word.startswith("-"):
            continue
        else:
            allowed.append(word)
            skips = False
    return allowed, slips


def _unknown_word(
    word: str, after: Sequence[str], version: str | None, owned: Mapping[str, str]
) -> Iterator[ArgumentIssue]:
    """`after`: the arguments behind it, which are its values if it contains none itself."""
    flag, equals, text = word.partition("=")
    name = flag.lstrip("-").partition(".")[0].replace("-", "_")
    values = [text] if equals else list(_until_next_option(after))
    spans = catalogue.option_spans(name) or catalogue.option_spans(name.removeprefix("no_"))
    if name in owned:
        yield ArgumentIssue(name, "CX304", f"{flag} is set by cortexctl", owned[name])
    elif version and flag.replace("_", "-") in catalogue.release(version).flags():
        advice = "remove `--`, or correct what precedes it"
        yield ArgumentIssue(name, "CX301", f"{flag} is not read as an option, as behind a lone `--`", advice)
    elif spans and version:
        advice = replacement(name, version, _as_value(name, values))
        yield ArgumentIssue(name, "CX301", f"vLLM {version} has no {flag} ({ranges(spans)})", advice)
    elif version:
        close = nearest(name, catalogue.option_names(), alike=0.75) if len(name) > 2 else None
        plugin = "f a plugin or a patch in the image adds it, this is correct; otherwise vLLM exits"
        advice = f"did you mean --{close.replace('_', '-')}? I{plugin}" if close else f"i{plugin}"
        yield ArgumentIssue(name, "CX310", f"no vLLM release has {flag}", advice, fatal=False)


def _until_next_option(after: Sequence[str]) -> Iterator[str]:
    for word in after:
        if word.startswith("-"):
            return
        yield word


def _as_value(name: str, values: Sequence[str]) -> Any:
    """The value of a raw argument, as `args` would have it; empty if it has none."""
    option = catalogue.newest_option(name)
    if option.kind in SWITCHES:
        return True
    spans = catalogue.option_spans(name)
    if not values or not spans:
        return " ".join(values)
    of = catalogue.release(spans[-1].until or catalogue.releases()[-1])
    try:
        read = [read_word(option, word, of) for word in values]
    except (ValueError, TypeError):
        return values[0]
    return read if takes_several(option) else read[0]


def _shown(word: str) -> str:
    return word if len(word) <= 40 else f"{word[:37]}…"
