"""A release's verdict on a whole `vllm serve` line: refused by the parser or at the start, accepted, or unknown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from cortexctl.engines.base import ArgumentIssue, Verdict
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.catalogue.facts import Entry
from cortexctl.engines.vllm.command.check import check_args
from cortexctl.engines.vllm.command.check_raw import check_unknown
from cortexctl.engines.vllm.command.config_file import Files, unread_file
from cortexctl.engines.vllm.command.misread import misread
from cortexctl.engines.vllm.command.other_programs import foreign_program, without_launchers
from cortexctl.engines.vllm.command.parse import MODEL_TAG, Parsed, parse
from cortexctl.engines.vllm.command.parse_error import Kind
from cortexctl.engines.vllm.command.read_command import MODULE, SERVE, program_of
from cortexctl.engines.vllm.command.reserved import RESERVED
from cortexctl.engines.vllm.command.spelling import one_dash, slips_in_line, two_in_one

_PLACEHOLDER = re.compile(r"\$(?:[A-Za-z_]\w*|\{[^}]*\}?|\()|`|\{\{.*?\}\}", re.ASCII)
"""What a shell, Compose or a template replaces before vLLM sees it."""


def server_of(argv: Sequence[str]) -> tuple[Entry, list[str]]:
    """The entry point and the arguments after it. Without a program in front they count as those of `vllm serve`."""
    started = program_of(argv) or program_of(without_launchers(argv))
    program, rest = started or (SERVE, list(argv[1:] if argv[:1] == ["serve"] else argv))
    return ("api_server" if program == MODULE else "serve"), rest


def judge(argv: Sequence[str], version: str, files: Files = MappingProxyType({})) -> Verdict:
    """`argv` with or without the program in front. `files`: the content of the files that `--config` names.

    Raises catalogue.UnknownRelease for a release that the catalogue does not have.
    """
    of = catalogue.release(version)
    entry, argv = server_of(argv)
    missing = unread_file(argv, files)
    if missing:
        verdict = judge(_without_config(argv), version)
        if verdict.accepted is not False or verdict.verdict == "required":
            return replace(verdict, verdict="unknown", refused=(), unclear=(missing, *verdict.unclear))
        return verdict
    parsed = parse(argv, of, entry, files)
    values = _other_than_defaults(parsed, of)
    faults = _faults(parsed, of, entry, argv)
    placeholders = [w for w in argv if _PLACEHOLDER.search(w)]
    faults = [(kind, text) for kind, text in faults if not _is_about(placeholders, text)]
    if placeholders and not faults:
        return Verdict(version, "unknown", values=values, unclear=tuple(_unfilled(placeholders)))
    if faults:
        return Verdict(version, faults[0][0], tuple(text for _, text in faults), values=values)
    return Verdict(version, "ok", at_start=tuple(_at_start(parsed, of, argv)), values=values)


def _at_start(parsed: Parsed, of: Release, argv: Sequence[str]) -> Iterator[ArgumentIssue]:
    """What the release's start refuses or ignores of a line that its parser accepts."""
    for slip in (*one_dash(argv, of), *two_in_one(parsed.model)):
        yield ArgumentIssue(slip.name, "CX301", slip.text, slip.fix)
    if any(word.startswith("--config=") for word in argv):
        summary = "vLLM reads no file that follows --config with an equals sign: its options have no effect"
        yield ArgumentIssue("config", "CX302", summary, 'write two words: "--config", "FILE"', fatal=False)
    mine = {name: value for name, value in parsed.options.items() if name not in RESERVED}
    yield from misread(mine, of)
    yield from (f for f in check_args(mine, of.version) if f.about != "form")


def _faults(parsed: Parsed, of: Release, entry: Entry, argv: Sequence[str]) -> list[tuple[Kind, str]]:
    """In argparse's order: values, then missing arguments, then unknown ones."""
    other = foreign_program(argv)
    if other and not parsed.accepted:
        return [("unrecognized", "; ".join(other))]
    faults: list[tuple[Kind, str]] = [
        (t.kind, t.text if t.word in t.text else f"{t.word}: {t.text}") for t in parsed.errors
    ]
    if entry == "serve" and of.parser.model == "required" and not parsed.model and not faults:
        faults.append(("required", "the model is missing: it is the first argument"))
    if parsed.unknown:
        faults.append(("unrecognized", f"unrecognized arguments: {' '.join(parsed.unknown)}"))
        again = [parsed.model] if parsed.model in SERVE else []
        faults += [("unrecognized", _sentence(f)) for f in check_unknown([*again, *parsed.unknown], of.version)]
    if faults:
        known = " ".join(text for _, text in faults)
        slips = (*one_dash(argv, of), *slips_in_line(argv, of))
        faults += [("unrecognized", str(slip)) for slip in slips if slip.text not in known]
    return faults


def _sentence(finding: ArgumentIssue) -> str:
    return f"{finding.summary}; {finding.help}" if finding.help else finding.summary


def _without_config(argv: Sequence[str]) -> list[str]:
    at = argv.index("--config")
    return [*argv[:at], *argv[at + 2 :]]


def _is_about(argv: Sequence[str], fault: str) -> bool:
    return any(word in fault for word in argv)


def _unfilled(argv: Sequence[str]) -> Iterator[str]:
    for word in dict.fromkeys(argv):
        yield f"{word}: a shell or a template fills this in, and its value decides"


def _other_than_defaults(parsed: Parsed, of: Release) -> dict[str, Any]:
    set_: Mapping[str, Any] = {**parsed.options, **({MODEL_TAG: parsed.model} if parsed.model else {})}
    values = {}
    for name, value in set_.items():
        option = of.option(name)
        if option is None or value != option.default or type(value) is not type(option.default):
            values[option.dest if option else name] = value
    return values
