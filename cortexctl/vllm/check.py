"""Is this set of arguments one that the pinned release takes? Found here, before minutes of a crash loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cortexctl.vllm.arguments import ARGUMENTS, OWNED, SHORT_FLAGS, Argument
from cortexctl.vllm.version import Release, parse_release

RUNNER_SINCE: Release = parse_release("0.10.1")
GONE = "leave it out (the checkpoint's own settings are read), or pin a release that has it"
POOLING_TASKS = ("embed", "classify", "score", "reward")


@dataclass(frozen=True, slots=True)
class Finding:
    """One argument that the release would reject (`fatal`) or take without effect."""

    argument: str
    rule: str
    summary: str
    help: str = ""
    fatal: bool = True


def check_args(args: Mapping[str, Any], release: str | None) -> list[Finding]:
    """All findings, in the order of the names. With an unknown release only what no release takes is found."""
    findings: list[Finding] = []
    for name in sorted(args):
        argument = ARGUMENTS[name]
        findings += list(_range_of(argument, release)) or list(_value_of(argument, args[name], release))
    if args.get("enable_auto_tool_choice") and "tool_call_parser" not in args:
        findings.append(
            Finding(
                "enable_auto_tool_choice",
                "CX305",
                "enable_auto_tool_choice needs a tool_call_parser; vLLM exits without one",
                'add for example tool_call_parser = "hermes"',
            )
        )
    return findings


def check_extra_args(words: tuple[str, ...]) -> list[Finding]:
    """Raw words must not set what cortexctl sets itself: the later word would win."""
    findings = []
    for word in words:
        flag = word.partition("=")[0]
        name = _parameter(flag)
        if name in OWNED:
            findings.append(Finding(name, "CX304", f"{flag} is set by cortexctl", OWNED[name]))
        elif name in ARGUMENTS:
            advice = f"write it as args.{name}, so that it is checked and compared"
            findings.append(Finding(name, "CX304", f"{flag} has a name of its own in the stack", advice))
    return findings


def _parameter(flag: str) -> str:
    """The parameter that a word sets, in any of its spellings: --a-b, --a_b, --no-a-b, --a-b.key, -tp."""
    if not flag.startswith("--"):
        return SHORT_FLAGS.get(flag, "")
    name = flag.removeprefix("--").partition(".")[0].rstrip("+").replace("-", "_")
    return name.removeprefix("no_") if name.startswith("no_") else name


def _range_of(argument: Argument, release: str | None) -> Iterator[Finding]:
    if release is None:
        return
    now = parse_release(release)
    if argument.until and now > parse_release(argument.until):
        yield Finding(
            argument.name,
            "CX301",
            f"{argument.name} is gone in vLLM {release} (last in {argument.until})",
            argument.successor,
        )
    elif argument.since and now < parse_release(argument.since):
        yield Finding(
            argument.name,
            "CX301",
            f"{argument.name} is not yet in vLLM {release} (since {argument.since})",
            argument.successor,
        )
    elif argument.no_effect_since and now >= parse_release(argument.no_effect_since):
        yield Finding(
            argument.name,
            "CX303",
            f"{argument.name} has had no effect since vLLM {argument.no_effect_since}",
            argument.successor,
            fatal=False,
        )


def _value_of(argument: Argument, value: Any, release: str | None) -> Iterator[Finding]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = argument.minimum, argument.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = [f"at least {low:g}"] if low is not None else []
            bounds += [f"at most {high:g}"] if high is not None else []
            yield Finding(
                argument.name, "CX302", f"{argument.name} = {value} is out of range", f"it is {' and '.join(bounds)}"
            )
    if not argument.values:
        return
    known = next((v for v in argument.values if v.name == value), None)
    if known is None:
        if argument.kind == "choice":
            names = ", ".join(v.name for v in argument.values)
            yield Finding(argument.name, "CX302", f'{argument.name} has no value "{value}"', f"one of: {names}")
        return
    if release is None:
        return
    now = parse_release(release)
    too_old = known.since is not None and now < parse_release(known.since)
    too_new = known.until is not None and now > parse_release(known.until)
    if too_old or too_new:
        when = f"since {known.since}" if too_old else f"until {known.until}"
        usable = [v.name for v in argument.values if _in_range(v.since, v.until, now)]
        yield Finding(
            argument.name,
            "CX302",
            f'vLLM {release} does not take {argument.name} = "{value}" ({when})',
            argument.successor or (f"known to {release}: {', '.join(usable)}" if usable else GONE),
        )


def _in_range(since: str | None, until: str | None, now: Release) -> bool:
    return (since is None or now >= parse_release(since)) and (until is None or now <= parse_release(until))
