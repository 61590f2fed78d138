"""Checks a model's folder if it is readable here: its config.json, and the kinds of weights in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cortexctl.diagnostics import Diagnostic, error, warning
from cortexctl.engines.companions import companion_files, companion_sources
from cortexctl.engines.registry import DEFAULT, engine_named
from cortexctl.engines.vllm.checkpoint_formats import Checkpoint, check_checkpoint
from cortexctl.engines.vllm.command.effective import effective
from cortexctl.files.checkout import Checkout
from cortexctl.instance.spec import Spec
from cortexctl.stack.argument_checks import At
from cortexctl.text.suggest import nearest

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


def check_present(models_dir: Path, path: str, at: At, within: Checkout | None = None) -> Iterator[Diagnostic]:
    """A folder that is missing in a `models_dir` on this machine. No diagnostics if there is no such `models_dir` here,
    or if it is not `within` the checkout.
    """
    folder = models_dir / path
    if within and not within.holds(models_dir):
        return
    try:
        present = sorted(entry.name for entry in models_dir.iterdir())
    except OSError:
        return
    if present and not folder.exists():
        close = nearest(path.split("/", maxsplit=1)[0], present)
        advice = f'did you mean "{close}"?' if close else f"it has: {', '.join(present[:8])}"
        yield warning("CX236", f"{models_dir} on this machine has no folder {path}", at("source"), help=advice)


_BY_CONFIG = {"heads", "length", "draft vocabulary"}
"""Refusals that config.json alone decides: that of the model, and that of its draft."""


def check_launch(folder: Path, spec: Spec, at: At, within: Checkout | None) -> Iterator[Diagnostic]:
    """Refusals that config.json alone decides, for a model whose memory is not computed: it, or its host, has no GPUs.
    No diagnostics if there is no config.json here.
    """
    if within and not (within.holds(folder) and within.holds(folder / "config.json")):
        return
    config = config_in(folder)
    if not config:
        return
    from cortexctl.engines.vllm.memory.budget import budget
    from cortexctl.engines.vllm.memory.config import UnknownModel
    from cortexctl.engines.vllm.memory.drafts import read_draft
    from cortexctl.engines.vllm.memory.model_facts import read_facts
    from cortexctl.engines.vllm.memory.speculation import read_speculation
    from cortexctl.engines.vllm.memory.stage import BudgetInputs
    from cortexctl.stack.model_folder import files_here

    server, args = spec.server, effective(spec.server).args
    beside = {s.key: files_here(s, within) for s in companion_sources("", spec).values() if not isinstance(s, str)}
    draft = read_draft(read_speculation(args, server.model), companion_files("", spec, beside))
    try:
        inputs = BudgetInputs(args, None, server.version, spec.container.env, draft=draft)
        refusal = budget(read_facts(config, args), inputs).refusal
    except (UnknownModel, ValueError, TypeError, KeyError, ArithmeticError, AttributeError, IndexError):
        return
    if refusal is not None and refusal.rule in _BY_CONFIG:
        why, argument = engine_named(DEFAULT).contract.refusals[refusal.rule]
        summary = f"vLLM {server.version or 'of an unknown release'} would refuse to start: {why}"
        yield error(
            "CX316",
            summary,
            at("args", argument),
            detail=f"vLLM's message would be: {refusal.text}",
            help=refusal.advice,
        )


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
