"""Diagnostics as SARIF 2.1.0, which code hosts use to annotate lines of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from cortexctl import __version__
from cortexctl.diagnostics import Diagnostic
from cortexctl.render.rules import RULES
from cortexctl.render.sanitise import all_visible
from cortexctl.text.json_text import json_text

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif_json(diagnostics: Iterable[Diagnostic], stack_path: str) -> str:
    """One run. A diagnostic without a line is placed at the start of the stack file, because a result needs a place."""
    visible = [all_visible(d) for d in diagnostics]
    rules = sorted({d.rule for d in visible})
    document = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "cortexctl",
                        "semanticVersion": __version__,
                        "rules": [_rule(rule) for rule in rules],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(d, rules.index(d.rule), stack_path) for d in visible],
            }
        ],
    }
    return json_text(document, 2) + "\n"


def _rule(rule: str) -> dict[str, Any]:
    heading = RULES.get(rule, rule)
    title = heading.removesuffix(" (warning)")
    return {
        "id": rule,
        "shortDescription": {"text": title},
        "help": {"text": f"{rule}: {title}. See docs/reference/rules.md of cortexctl."},
        "defaultConfiguration": {"level": "error" if title == heading else "warning"},
    }


def _result(d: Diagnostic, rule_index: int, stack_path: str) -> dict[str, Any]:
    sentences = [d.summary, d.detail, f"Help: {d.help}" if d.help else ""]
    path = d.span.path if d.span else stack_path
    fingerprint = hashlib.sha256(f"{d.rule} {path} {d.summary}".encode("utf-8", "replace")).hexdigest()
    return {
        "ruleId": d.rule,
        "ruleIndex": rule_index,
        "level": d.severity.value,
        "message": {"text": " ".join(part if part[-1] in ".!?" else f"{part}." for part in sentences if part)},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(path)}, **_places(d)}}],
        "partialFingerprints": {"cortexctl/v1": fingerprint[:32]},
    }


def _places(d: Diagnostic) -> dict[str, Any]:
    if d.span is None:
        return {"region": {"startLine": 1}}
    region = {"startLine": d.span.line, "startColumn": d.span.column, "endColumn": d.span.end_column}
    line = {"startLine": d.span.line, "snippet": {"text": d.span.line_text}}
    return {"region": region, "contextRegion": line}


def _uri(path: str) -> str:
    """Relative to the working directory, which is the repository's root in a pipeline. Absolute paths stay absolute."""
    pure = PurePath(path)
    return pure.as_uri() if pure.is_absolute() else quote(pure.as_posix().encode("utf-8", "replace"))
