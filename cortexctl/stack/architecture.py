"""The architecture that a model's config.json names, where its folder can be read from here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from cortexctl.diagnostics import Diagnostic, error, warning
from cortexctl.stack.args import At
from cortexctl.vllm.architectures import check_architectures

LARGEST = 4 * 2**20
"""Bytes of a config.json beyond which it is none."""


def check_folder(folder: Path, release: str | None, at: At) -> Iterator[Diagnostic]:
    """Nothing where there is no such folder here: it is on the host, and the host is not asked for it."""
    names = architectures_in(folder)
    if release is None or not names:
        return
    for finding in check_architectures(names, release):
        make = error if finding.fatal else warning
        yield make(finding.rule, finding.summary, at("source"), help=finding.help)


def architectures_in(folder: Path) -> list[str]:
    """What config.json says; empty when it is not there, or not what it should be."""
    file = folder / "config.json"
    try:
        if not file.is_file() or file.stat().st_size > LARGEST:
            return []
        names = json.loads(file.read_text(encoding="utf-8")).get("architectures")
    except (OSError, ValueError, AttributeError):
        return []
    return [n for n in names if isinstance(n, str)] if isinstance(names, list) else []
