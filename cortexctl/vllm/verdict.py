"""What a release says of a whole `vllm serve` line: refused by its parser, refused at its start, or taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cortexctl.vllm import catalogue
from cortexctl.vllm.catalogue_facts import Entry
from cortexctl.vllm.check import Finding, check_args, check_extra_args
from cortexctl.vllm.commandline import MODULE, SERVE, program_of
from cortexctl.vllm.owned import OWNED
from cortexctl.vllm.parse import parse


@dataclass(frozen=True, slots=True)
class Verdict:
    """`refused`: the parser ends it with exit code 2. `at_start`: what the parser takes and start-up, or nobody, wants.
    `options`: what the right words set, by name.
    """

    release: str
    verdict: Literal["accepted", "refused"]
    refused: tuple[str, ...] = ()
    at_start: tuple[Finding, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    model: str = ""


def judge(words: Sequence[str], version: str) -> Verdict:
    """`words` with the program before them, or without: those of `vllm serve` then.

    Raises catalogue.UnknownRelease for a release that the catalogue does not have.
    """
    of = catalogue.release(version)
    program, words = program_of(words) or (SERVE, words[1:] if words[:1] == ["serve"] else words)
    entry: Entry = "api_server" if program == MODULE else "serve"
    parsed = parse(words, of, entry)
    troubles = [t.text if t.word in t.text else f"{t.word}: {t.text}" for t in parsed.troubles]
    if parsed.unknown:
        troubles.append(f"unrecognized arguments: {' '.join(parsed.unknown)}")
        found = check_extra_args(parsed.unknown, version, {})
        troubles += [f"{f.summary}; {f.help}" if f.help else f.summary for f in found]
    if entry == "serve" and of.parser.model == "required" and not parsed.model and not troubles:
        troubles.append("the model is missing: it is the first word")
    if troubles:
        return Verdict(version, "refused", tuple(troubles), options=dict(parsed.options), model=parsed.model)
    mine = {name: value for name, value in parsed.options.items() if name not in OWNED}
    findings = [f for f in check_args(mine, version) if f.rule != "CX104"]
    return Verdict(version, "accepted", at_start=tuple(findings), options=dict(parsed.options), model=parsed.model)
