"""A release's verdict on a whole `vllm serve` line: refused by its parser, refused at its start, or accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from cortexctl.engines.base import Verdict
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.catalogue.facts import Entry
from cortexctl.engines.vllm.command.check import check_args, check_extra_args
from cortexctl.engines.vllm.command.config_file import Files
from cortexctl.engines.vllm.command.parse import MODEL_TAG, Parsed, parse
from cortexctl.engines.vllm.command.parse_error import Kind
from cortexctl.engines.vllm.command.read_command import MODULE, SERVE, program_of
from cortexctl.engines.vllm.command.reserved import RESERVED


def server_of(argv: Sequence[str]) -> tuple[Entry, list[str]]:
    """The entry point and the arguments after it. Without a program in front they count as those of `vllm serve`."""
    program, rest = program_of(argv) or (SERVE, list(argv[1:] if argv[:1] == ["serve"] else argv))
    return ("api_server" if program == MODULE else "serve"), rest


def judge(argv: Sequence[str], version: str, files: Files = MappingProxyType({})) -> Verdict:
    """`argv` with or without the program in front. `files`: the content of the files that `--config` names.

    Raises catalogue.UnknownRelease for a release that the catalogue does not have.
    """
    of = catalogue.release(version)
    entry, argv = server_of(argv)
    parsed = parse(argv, of, entry, files)
    values = _other_than_defaults(parsed, of)
    faults = [*_faults(parsed, of, entry)]
    if faults:
        return Verdict(version, faults[0][0], tuple(text for _, text in faults), values=values)
    mine = {name: value for name, value in parsed.options.items() if name not in RESERVED}
    findings = [f for f in check_args(mine, version) if f.about != "form"]
    return Verdict(version, "ok", at_start=tuple(findings), values=values)


def _faults(parsed: Parsed, of: Release, entry: Entry) -> list[tuple[Kind, str]]:
    """In argparse's order: values, then missing arguments, then unknown ones."""
    faults: list[tuple[Kind, str]] = [
        (t.kind, t.text if t.word in t.text else f"{t.word}: {t.text}") for t in parsed.errors
    ]
    if entry == "serve" and of.parser.model == "required" and not parsed.model and not faults:
        faults.append(("required", "the model is missing: it is the first argument"))
    if parsed.unknown:
        faults.append(("unrecognized", f"unrecognized arguments: {' '.join(parsed.unknown)}"))
        findings = check_extra_args(parsed.unknown, of.version, {})
        faults += [("unrecognized", f"{f.summary}; {f.help}" if f.help else f.summary) for f in findings]
    return faults


def _other_than_defaults(parsed: Parsed, of: Release) -> dict[str, Any]:
    set_: Mapping[str, Any] = {**parsed.options, **({MODEL_TAG: parsed.model} if parsed.model else {})}
    values = {}
    for name, value in set_.items():
        option = of.option(name)
        if option is None or value != option.default or type(value) is not type(option.default):
            values[option.dest if option else name] = value
    return values
