"""What to ask the parsers inside a plan's images, and what their answers mean for it. Pure, as the plan is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cortexctl.desired.stack import Desired, Instance
from cortexctl.diagnostics import Diagnostic, SourceSpan, error, several, warning
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.command.argv import arguments, entrypoint
from cortexctl.engines.vllm.command.read_command import SERVE
from cortexctl.observed.parser_verdict import CommandLine, ParserVerdict, Probed
from cortexctl.plan.action import Action
from cortexctl.plan.model import Change, Plan

_FLAG = re.compile(r"--[A-Za-z][\w-]*")


@dataclass(frozen=True, slots=True)
class Question:
    """For the image `image_id` (called `reference`), which is on `host`: the command lines of a program, each with the
    addresses of the instances that would be started by it. They may be on other hosts: an id is the same everywhere.
    """

    host: str
    image_id: str
    reference: str
    program: str
    lines: Mapping[CommandLine, tuple[str, ...]]


def questions(plan: Plan) -> list[Question]:
    """One for every image and program; none of an image that is on no host yet."""
    found: dict[tuple[str, str], tuple[Change, dict[CommandLine, tuple[str, ...]]]] = {}
    for change in _made(plan):
        image, spec = change.detail.image, change.detail.after
        if image and image.id and spec:
            program = "serve" if tuple(entrypoint(spec.server)) == SERVE else "api_server"
            _, lines = found.setdefault((image.id, program), (change, {}))
            line = tuple(arguments(spec.server))
            lines[line] = (*lines.get(line, ()), change.address)
    return [
        Question(first.host, image, first.detail.image.reference if first.detail.image else image, program, lines)
        for (image, program), (first, lines) in found.items()
    ]


def not_asked(plan: Plan, desired: Desired) -> list[Diagnostic]:
    """Of images that would be pulled. One that is not to be had at all is an error of the plan already."""
    places = {i.address: i for i in desired.instances}
    pulled = [(c, c.detail.image.reference) for c in _made(plan) if c.detail.image and c.detail.image.pull]
    return [
        warning(
            "CX313",
            f"{change.address}: the parser in {image} was not asked, for it is not on {change.host}",
            places[change.address].place_of("image"),
            help=f"pull it there (docker pull {image}) and plan again",
        )
        for change, image in pulled
    ]


def judged(question: Question, answer: Probed, desired: Desired) -> list[Diagnostic]:
    """What stands against the plan by an answer; nothing if all command lines are accepted."""
    places = {i.address: i for i in desired.instances}
    if answer.problem:
        everybody = [address for addresses in question.lines.values() for address in addresses]
        return [
            warning(
                "CX313",
                f"{several(everybody)}: the parser in {question.reference} could not be asked: {answer.problem}",
                places[everybody[0]].place_of("image"),
                help="the arguments are checked against the catalogue alone",
            )
        ]
    pairs = zip(question.lines.values(), answer.verdicts, strict=True)
    return [_refusal(question, a, places[a[0]], v) for a, v in pairs if not v.accepted]


def other_release(question: Question, answer: Probed, desired: Desired) -> str:
    """A sentence where the image holds another release than the stack takes it for; empty otherwise."""
    places = {i.address: i for i in desired.instances}
    taken_for = {places[a].spec.server.version for addresses in question.lines.values() for a in addresses}
    releases = {v.release for v in answer.verdicts}
    for stated, found in ((s, r) for s in taken_for for r in releases):
        if stated and found and _base(found) != _base(stated):
            return f"{question.reference} holds vLLM {found}, and the stack takes it for {stated}"
    return ""


def _refusal(question: Question, addresses: Sequence[str], instance: Instance, verdict: ParserVerdict) -> Diagnostic:
    if verdict.verdict == "unknown":
        return warning(
            "CX313",
            f"{several(addresses)}: the parser in {question.reference} could not tell without a file: {verdict.text}",
            _place(instance, verdict.text),
            help="the arguments are checked against the catalogue alone",
        )
    stated = instance.spec.server.version
    if stated and _base(verdict.release) != _base(stated):
        fix = (
            f'the arguments are those of {stated}; set vllm_version = "{_base(verdict.release)}", or pin another image'
        )
    elif (flag := _FLAG.search(verdict.text)) and not catalogue.spelled(flag.group()):
        fix = f"no stock release has {flag.group()} either: take it out, or pin an image that has it"
    else:
        fix = "the stock CUDA build takes them, so the image is another: change the argument, or the image"
    return error(
        "CX312",
        f"{several(addresses)}: the parser in {question.reference} (vLLM {verdict.release}) refuses the arguments",
        _place(instance, verdict.text),
        detail=f"it says: {verdict.text}",
        help=f"{fix}; the whole line: cortexctl args {addresses[0]}",
    )


def _place(instance: Instance, text: str) -> SourceSpan | None:
    """The stack's line about the argument that the parser names first, else the one about the model."""
    flag = _FLAG.search(text)
    option = catalogue.spelled(flag.group()) if flag else None
    return instance.where.get(f"args.{option.name}" if option else "") or instance.place_of("")


def _made(plan: Plan) -> Iterator[Change]:
    return (c for c in plan.changes if c.action in {Action.CREATE, Action.REPLACE})


def _base(release: str) -> str:
    """Without what a build adds: 0.32.0+cpu is 0.32.0."""
    return release.partition("+")[0].removeprefix("v")
