"""Problems in what the user wrote, as values: they accumulate, and all are reported in one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


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
    """One problem: a rule's id (see docs/rules.md), what is wrong, where, and what to do about it."""

    rule: str
    severity: Severity
    summary: str
    span: SourceSpan | None = None
    detail: str = ""
    help: str = ""

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
    """A diagnostic that is shown and does not stop anything."""
    return Diagnostic(rule, Severity.WARNING, summary, span, detail, help)


def several(names: Sequence[str]) -> str:
    """'a, b, c and 2 more': whom a summary is about."""
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
