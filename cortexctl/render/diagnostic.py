"""A diagnostic for people: the problem, its line with a caret, and the fix."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from dataclasses import replace

from cortexctl.diagnostics import Diagnostic
from cortexctl.render.sanitise import all_visible
from cortexctl.render.style import Ink

WIDTH = 100
_COMMAND = re.compile(r"^(.*: )((?:cortexctl|ssh|ssh-keygen|docker) .*)$", re.DOTALL)
"""A text that ends in a command to copy."""


def diagnostics_text(diagnostics: Iterable[Diagnostic], ink: Ink) -> str:
    """All of them with an empty line between; empty without diagnostics."""
    return "\n".join(diagnostic_text(d, ink) for d in diagnostics)


def diagnostic_text(d: Diagnostic, ink: Ink) -> str:
    """One block, ending with a newline."""
    d = all_visible(_without_tabs(d))
    colour = "red" if d.is_error else "yellow"
    severity = "Error" if d.is_error else "Warning"
    lines = [ink(f"{severity}[{d.rule}]", colour, "bold") + " " + ink(d.summary, "bold")]
    margin = "  "
    if d.span:
        number = str(d.span.line)
        margin = " " * (len(number) + 1)
        text = d.span.line_text
        width = min(d.span.end_column, len(text) + 1) - d.span.column
        carets = " " * (d.span.column - 1) + "^" * max(width, 1)
        bar = ink("|", "blue")
        lines += [
            f"{margin}{ink('-->', 'blue')} {d.span}",
            f"{margin}{bar}",
            f"{ink(number, 'blue')} {bar} {text}",
            f"{margin}{bar} {ink(carets, colour)}",
        ]
    lines += _note(margin, "detail", d.detail, ink)
    lines += _note(margin, "help", d.help, ink)
    return "\n".join(lines) + "\n"


def _without_tabs(d: Diagnostic) -> Diagnostic:
    """Replaces each tab of the line with one blank, so that the caret is in the right column."""
    if d.span is None or "\t" not in d.span.line_text:
        return d
    return replace(d, span=replace(d.span, line_text=d.span.line_text.replace("\t", " ")))


def _wrapped(text: str) -> list[str]:
    """A command at the end keeps its own line, so that it can be copied."""
    lines = textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
    match = _COMMAND.match(text)
    if not match:
        return lines
    before, command = match[1].rstrip(), match[2]
    is_sentence = "; " in command and "'" not in command
    if is_sentence or lines[-1].endswith(command):
        return lines
    return [*textwrap.wrap(before, WIDTH, break_long_words=False, break_on_hyphens=False), command]


def _note(margin: str, label: str, text: str, ink: Ink) -> list[str]:
    if not text.strip():
        return []
    wrapped = _wrapped(text)
    indent = " " * (len(margin) + len(label) + 4)
    first = f"{margin}{ink('=', 'blue')} {ink(label + ':', 'bold')} {wrapped[0]}"
    return [first, *(indent + line for line in wrapped[1:])]
