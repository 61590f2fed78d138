"""Problems in the user's stack, as values: they accumulate, and one run reports all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from cortexctl.dataclass import dataclass


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


class Kind(StrEnum):
    """The kind of a problem, for code that depends on it. Each rule has one kind."""

    FILE = "file"
    STACK = "stack"
    SECRET = "secret"  # noqa: S105 - a name
    OPEN_SECRET = "open-secret"  # noqa: S105 - a name
    ENV = "env"
    GPU_SHARE = "gpu-share"
    ENGINE = "engine"
    MEMORY = "memory"
    UNREACHABLE = "host-unreachable"
    PROTECTION = "protection"
    OWNERSHIP = "ownership"
    HOST = "host"
    SELECTION = "selection"
    OTHER = "other"
    """A rule of a later release, unknown to this one."""


_RULES_OF = {
    Kind.FILE: "CX101 CX102 CX103 CX104 CX105 CX106 CX107 CX109 CX110 CX111",
    Kind.STACK: "CX201 CX202 CX203 CX205 CX206 CX207 CX209 CX212 CX213 CX214 CX215 CX216 CX217 CX218 CX219 CX220 CX221 "
    "CX222 CX223 CX224 CX225 CX226 CX227 CX228 CX229 CX230 CX231 CX232 CX233 CX234 CX235 CX236",
    Kind.SECRET: "CX108 CX204",
    Kind.OPEN_SECRET: "CX210",
    Kind.ENV: "CX211",
    Kind.GPU_SHARE: "CX208 CX411",
    Kind.ENGINE: "CX301 CX302 CX303 CX304 CX305 CX306 CX307 CX308 CX309 CX310 CX311 CX312 CX313 CX314 CX315",
    Kind.MEMORY: "CX316 CX317 CX318",
    Kind.UNREACHABLE: "CX401",
    Kind.PROTECTION: "CX403 CX409 CX420",
    Kind.OWNERSHIP: "CX402 CX404 CX406 CX412 CX414 CX416 CX417",
    Kind.HOST: "CX405 CX407 CX410 CX418 CX419",
    Kind.SELECTION: "CX408 CX413 CX415",
}
_KIND_OF = {rule: kind for kind, rules in _RULES_OF.items() for rule in rules.split()}


_OF_FILE = {Kind.FILE, Kind.STACK, Kind.ENV, Kind.GPU_SHARE, Kind.ENGINE}
_OF_IMAGE = {"CX312", "CX313", "CX314"}


@dataclass(frozen=True, slots=True)
class SourceSpan:
    """A place in a text file. Lines and columns count from 1; `end_column` is exclusive.

    The text of the first line is kept, so that a snippet can be shown without reading the file again.
    """

    path: str
    line: int
    column: int
    end_column: int
    line_text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem: a rule's id (see docs/reference/rules.md), what is wrong, where, and how to fix it."""

    rule: str
    severity: Severity
    summary: str
    span: SourceSpan | None = None
    detail: str = ""
    help: str = ""

    @property
    def kind(self) -> Kind:
        return _KIND_OF.get(self.rule, Kind.OTHER)

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR


def error(rule: str, summary: str, span: SourceSpan | None = None, *, detail: str = "", help: str = "") -> Diagnostic:  # noqa: A002
    """A diagnostic that stops the run."""
    return Diagnostic(rule, Severity.ERROR, summary, span, detail, help)


def warning(
    rule: str,
    summary: str,
    span: SourceSpan | None = None,
    *,
    detail: str = "",
    help: str = "",  # noqa: A002
) -> Diagnostic:
    """A diagnostic that is shown and stops nothing."""
    return Diagnostic(rule, Severity.WARNING, summary, span, detail, help)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A warning that the author of the stack accepts. `lines`: of one model in the file; None: of the whole stack."""

    rule: str
    reason: str
    place: SourceSpan | None = None
    lines: frozenset[int] | None = None

    def covers(self, d: Diagnostic) -> bool:
        """Never an error."""
        is_there = self.lines is None or (d.span is not None and d.span.line in self.lines)
        return d.rule == self.rule and not d.is_error and is_there


def unacknowledged(diagnostics: Iterable[Diagnostic], accepted: Sequence[Acknowledgement]) -> list[Diagnostic]:
    """Without the warnings that are acknowledged."""
    return [d for d in diagnostics if not any(one.covers(d) for one in accepted)]


def is_rule(rule: str) -> bool:
    """Whether this release has the rule."""
    return rule in _KIND_OF


def is_rule_of_file(rule: str) -> bool:
    """Whether the stack file alone decides if the problem exists: no host, no image and no model's files."""
    return _KIND_OF.get(rule) in _OF_FILE and rule not in _OF_IMAGE


def several(names: Sequence[str]) -> str:
    """'a, b, c and 2 more': the names in a summary."""
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")


def in_reading_order(diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    """Errors before warnings, then by position, then by rule; equal ones once."""
    unique = dict.fromkeys(diagnostics)
    return sorted(
        unique,
        key=lambda d: (
            not d.is_error,
            d.span is None,
            (d.span.path, d.span.line, d.span.column) if d.span else ("", 0, 0),
            d.rule,
            d.summary,
        ),
    )
