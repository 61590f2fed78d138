"""Checks a model's folder if it is readable here: its config.json, and the kinds of weights in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cortexctl.diagnostics import Diagnostic, error, warning
from cortexctl.engines.vllm.checkpoint_formats import Checkpoint, check_checkpoint
from cortexctl.files.checkout import Checkout
from cortexctl.stack.argument_checks import At

LARGEST = 4 * 2**20
"""The largest plausible size of a config.json, in bytes."""


def check_folder(folder: Path, release: str | None, at: At, within: Checkout | None = None) -> Iterator[Diagnostic]:
    """No diagnostics if the folder does not exist here: it is on the host, which is not contacted for this. The same if
    the folder, or its config, is not `within` the checkout.
    """
    if within and not (within.holds(folder) and within.holds(folder / "config.json")):
        return
    checkpoint = checkpoint_in(folder)
    if checkpoint is None:
        return
    for finding in check_checkpoint(checkpoint, release):
        make = error if finding.fatal else warning
        yield make(finding.rule, finding.summary, at("source"), help=finding.help)


def checkpoint_in(folder: Path) -> Checkpoint | None:
    """None for a folder that does not exist here, or cannot be listed."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return None
    config = config_in(folder)
    quantization = config.get("quantization_config")
    return Checkpoint(
        architectures=_texts(config.get("architectures")),
        quantization=_text(quantization.get("quant_method")) if isinstance(quantization, dict) else "",
        has_own_code=isinstance(config.get("auto_map"), dict),
        suffixes=frozenset(name.rpartition(".")[2] for name in names if "." in name),
    )


def config_in(folder: Path) -> dict[str, Any]:
    """config.json; empty if it does not exist or is not valid."""
    file = folder / "config.json"
    try:
        if not file.is_file() or file.stat().st_size > LARGEST:
            return {}
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
