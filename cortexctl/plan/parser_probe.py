"""The queries to the parsers inside a plan's images, and the meaning of the answers for the plan. Pure, as the plan
is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired, Instance
from cortexctl.diagnostics import Diagnostic, SourceSpan, error, several, warning
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.command.argv import arguments, entrypoint
from cortexctl.engines.vllm.command.read_command import SERVE
from cortexctl.observed.parser_verdict import CommandLine, ParserVerdict, Probed
from cortexctl.plan.action import Action
from cortexctl.plan.model import Change, Plan
from cortexctl.text.invocation import Invocation

_FLAG = re.compile(r"--[A-Za-z][\w-]*")


@dataclass(frozen=True, slots=True)
class ParserQuery:
    """For the image `image_id` (called `reference`), which is on `host`: the command lines of a program, each with the
    addresses of the instances that it would start. The instances may be on other hosts: an id is the same everywhere.
    """

    host: str
    image_id: str
    reference: str
    program: str
    lines: Mapping[CommandLine, tuple[str, ...]]


def parser_queries(plan: Plan) -> list[ParserQuery]:
    """One query per image and program; none for an image that is on no host yet."""
    queries: dict[tuple[str, str], tuple[Change, dict[CommandLine, tuple[str, ...]]]] = {}
    for change in _created(plan):
        image, spec = change.detail.image, change.detail.after
        if image and image.id and spec:
            program = "serve" if tuple(entrypoint(spec.server)) == SERVE else "api_server"
            _, lines = queries.setdefault((image.id, program), (change, {}))
            line = tuple(arguments(spec.server))
            lines[line] = (*lines.get(line, ()), change.address)
    return [
        ParserQuery(first.host, image, first.detail.image.reference if first.detail.image else image, program, lines)
        for (image, program), (first, lines) in queries.items()
    ]


def unchecked(plan: Plan, desired: Desired) -> list[Diagnostic]:
    """For images that would be pulled. An image that is not available at all is already an error of the plan."""
    places = {i.address: i for i in desired.instances}
    pulled = [(c, c.detail.image.reference) for c in _created(plan) if c.detail.image and c.detail.image.pull]
    return [
        warning(
            "CX313",
            (
                f"{change.address}: the parser in {image} did not check the arguments, because the image is not "
                f"on {change.host}"
            ),
            places[change.address].place_of("image"),
            help=f"pull it there (docker pull {image}) and plan again",
        )
        for change, image in pulled
    ]


def problems_of(query: ParserQuery, answer: Probed, desired: Desired) -> list[Diagnostic]:
    """The problems that an answer reports; empty if all command lines are accepted."""
    places = {i.address: i for i in desired.instances}
    if answer.problem:
        everybody = [address for addresses in query.lines.values() for address in addresses]
        return [
            warning(
                "CX313",
                (
                    f"{several(everybody)}: the parser in {query.reference} could not check the arguments: "
                    f"{answer.problem}"
                ),
                places[everybody[0]].place_of("image"),
                help="the arguments are only checked against the catalogue",
            )
        ]
    pairs = zip(query.lines.values(), answer.verdicts, strict=True)
    return [_refusal(query, a, places[a[0]], v, desired.invocation) for a, v in pairs if not v.accepted]


def other_release(query: ParserQuery, answer: Probed, desired: Desired) -> str:
    """A sentence if the image contains another release than the stack assumes; empty otherwise."""
    places = {i.address: i for i in desired.instances}
    taken_for = {places[a].spec.server.version for addresses in query.lines.values() for a in addresses}
    releases = {v.release for v in answer.verdicts}
    for stated, actual in ((s, r) for s in taken_for for r in releases):
        if stated and actual and _base(actual) != _base(stated):
            return f"{query.reference} contains vLLM {actual}, but the stack assumes {stated}"
    return ""


def _refusal(
    query: ParserQuery, addresses: Sequence[str], instance: Instance, verdict: ParserVerdict, run: Invocation
) -> Diagnostic:
    if verdict.verdict == "unknown":
        return warning(
            "CX313",
            f"{several(addresses)}: the parser in {query.reference} could not decide without a file: {verdict.text}",
            _place(instance, verdict.text),
            help="the arguments are only checked against the catalogue",
        )
    stated = instance.spec.server.version
    if stated and _base(verdict.release) != _base(stated):
        fix = (
            f'the arguments are those of {stated}; set vllm_version = "{_base(verdict.release)}", or pin another image'
        )
    elif (flag := _FLAG.search(verdict.text)) and not catalogue.spelled(flag.group()):
        fix = f"no stock release has {flag.group()} either: remove it, or pin an image that has it"
    else:
        fix = "the stock CUDA build accepts them, so the image is different: change the argument, or the image"
    return error(
        "CX312",
        f"{several(addresses)}: the parser in {query.reference} (vLLM {verdict.release}) refuses the arguments",
        _place(instance, verdict.text),
        detail=f"its message: {verdict.text}",
        help=f"{fix}; for the whole line: {run.command('args', addresses[0])}",
    )


def _place(instance: Instance, text: str) -> SourceSpan | None:
    """The stack's line of the argument that the parser names first, else the line of the model."""
    flag = _FLAG.search(text)
    option = catalogue.spelled(flag.group()) if flag else None
    return instance.where.get(f"args.{option.name}" if option else "") or instance.place_of("")


def _created(plan: Plan) -> Iterator[Change]:
    return (c for c in plan.changes if c.action in {Action.CREATE, Action.REPLACE})


def _base(release: str) -> str:
    """Without the suffix of a build: 0.32.0+cpu is 0.32.0."""
    return release.partition("+")[0].removeprefix("v")
