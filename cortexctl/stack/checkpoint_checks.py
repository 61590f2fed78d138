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
from cortexctl.files.consulted import Consulted
from cortexctl.instance.spec import Spec
from cortexctl.stack.argument_checks import At
from cortexctl.text.suggest import nearest


def check_folder(
    folder: Path, release: str | None, at: At, files: Consulted, within: Checkout | None = None
) -> Iterator[Diagnostic]:
    """No diagnostics if the folder does not exist here: it is on the host, which is not contacted for this. The same if
    the folder, or its config, is not `within` the checkout.
    """
    if within and not (within.holds(folder) and within.holds(folder / "config.json")):
        return
    checkpoint = _checkpoint_in(folder, files)
    if checkpoint is None:
        return
    for finding in check_checkpoint(checkpoint, release):
        make = error if finding.fatal else warning
        yield make(finding.rule, finding.summary, at("source"), help=finding.help)


def check_present(
    models_dir: Path, path: str, at: At, files: Consulted, within: Checkout | None = None
) -> Iterator[Diagnostic]:
    """A folder that is missing in a `models_dir` on this machine. No diagnostics if there is no such `models_dir` here,
    or if it is not `within` the checkout.
    """
    folder = models_dir / path
    if within and not within.holds(models_dir):
        return
    present = files.names(models_dir)
    if present and not files.is_present(folder):
        close = nearest(path.split("/", maxsplit=1)[0], present)
        advice = f'did you mean "{close}"?' if close else f"it has: {', '.join(present[:8])}"
        yield warning("CX236", f"{models_dir} on this machine has no folder {path}", at("source"), help=advice)


_BY_CONFIG = {"heads", "length", "draft vocabulary"}
"""Refusals that config.json alone decides: that of the model, and that of its draft."""


def check_launch(
    folder: Path, spec: Spec, at: At, files: Consulted, within: Checkout | None = None
) -> Iterator[Diagnostic]:
    """Refusals that config.json alone decides, for a model whose memory is not computed: it, or its host, has no GPUs.
    No diagnostics if there is no config.json here.
    """
    if within and not (within.holds(folder) and within.holds(folder / "config.json")):
        return
    config = _config_in(folder, files)
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
    files.is_complete = files.is_complete and not beside
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


def _checkpoint_in(folder: Path, files: Consulted) -> Checkpoint | None:
    """None for a folder that does not exist here, or cannot be listed."""
    names = files.names(folder)
    if names is None:
        return None
    config = _config_in(folder, files)
    quantization = config.get("quantization_config")
    return Checkpoint(
        architectures=_texts(config.get("architectures")),
        quantization=_text(quantization.get("quant_method")) if isinstance(quantization, dict) else "",
        has_own_code=isinstance(config.get("auto_map"), dict),
        suffixes=frozenset(name.rpartition(".")[2] for name in names if "." in name),
    )


def _config_in(folder: Path, files: Consulted) -> dict[str, Any]:
    """config.json; empty if it does not exist or is not valid."""
    try:
        config = json.loads(files.text(folder / "config.json") or "{}")
    except (ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
