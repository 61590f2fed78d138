"""The warnings that the stack acknowledges: in the whole file, or in the table of one model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from cortexctl.diagnostics import Acknowledgement, Diagnostic, is_rule, is_rule_of_file, warning
from cortexctl.stack.document import Document
from cortexctl.stack.places import Loc
from cortexctl.stack.schema import StackFile


def acknowledgements(stack: StackFile, document: Document) -> tuple[Acknowledgement, ...]:
    """Every entry, with its place."""
    of_stack = [
        Acknowledgement(rule, reason, document.place(("acknowledge", rule), key=True))
        for rule, reason in stack.acknowledge.items()
    ]
    of_models = [
        Acknowledgement(rule, reason, document.place(("models", name, "acknowledge", rule), key=True), lines)
        for name, model in stack.models.items()
        if model.acknowledge
        for lines in [frozenset(_lines(document, ("models", name)))]
        for rule, reason in model.acknowledge.items()
    ]
    return (*of_stack, *of_models)


def unknown_rules(accepted: Iterable[Acknowledgement]) -> Iterator[Diagnostic]:
    """A rule that does not exist acknowledges nothing."""
    for one in accepted:
        if not is_rule(one.rule):
            yield warning("CX235", f"there is no rule {one.rule}", one.place, help="remove it, or correct the number")


def without_effect(accepted: Iterable[Acknowledgement], warnings: Collection[Diagnostic]) -> Iterator[Diagnostic]:
    """Acknowledgements of warnings that the file, in all its environments, does not cause."""
    for one in dict.fromkeys(accepted):
        if is_rule_of_file(one.rule) and not any(one.covers(d) for d in warnings):
            yield warning(
                "CX235",
                f"{one.rule} is acknowledged, but the stack has no such warning",
                one.place,
                help="remove the entry; errors cannot be acknowledged",
            )


def _lines(document: Document, loc: Loc) -> Iterator[int]:
    """The lines of a table and of everything in it."""
    for key in (True, False):
        if (span := document.place(loc, key=key)) is not None:
            yield span.line
    value: Any = document.data
    for step in loc:
        value = value[step]
    inner: Iterable[Any] = value if isinstance(value, Mapping) else range(len(value)) if isinstance(value, list) else ()
    for step in inner:
        yield from _lines(document, (*loc, step))
