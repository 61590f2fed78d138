"""The effect of another vLLM release on a stack, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cortexctl.diagnostics import Diagnostic
from cortexctl.operations.results import Upgrade
from cortexctl.render.diagnostic import diagnostics_text
from cortexctl.render.style import Ink
from cortexctl.render.text_diff import patch_text


def upgrade_text(upgrade: Upgrade, ink: Ink, *, written: bool) -> str:
    """`written`: whether the edits are in the file already."""
    parts = [ink(_headline(upgrade), "bold") + "\n"]
    parts += [diagnostics_text(upgrade.before, ink)] if upgrade.before else []
    if upgrade.has_edits:
        heading = "Written:" if written else "A patch (--write makes these changes):"
        parts.append(ink(heading, "bold") + "\n" + _patch(upgrade))
    if upgrade.by_hand:
        parts.append(ink("By hand:", "bold") + "\n" + "".join(f"  {line}\n" for line in upgrade.by_hand))
    if upgrade.defaults:
        lines = (f"  {name}   {was!s} -> {now!s}\n" for name, was, now in upgrade.defaults)
        parts.append(ink("Changed defaults of options that the stack does not set:", "bold") + "\n" + "".join(lines))
    parts.append(_end(upgrade, ink))
    if upgrade.unread:
        parts.append(f"Not checked: the environments {', '.join(upgrade.unread)}; use --env NAME to check one.\n")
    return "\n".join(parts)


def upgrade_json(upgrade: Upgrade) -> dict[str, Any]:
    return {
        "stack": upgrade.stack,
        "from": upgrade.now,
        "to": upgrade.to,
        "diagnostics": [_diagnostic(d) for d in upgrade.before],
        "patch": _patch(upgrade),
        "manual_edits": upgrade.by_hand,
        "remaining": [_diagnostic(d) for d in upgrade.after],
        "defaults": [{"option": n, "before": w, "after": a} for n, w, a in upgrade.defaults],
        "unchecked_environments": upgrade.unread,
    }


def _patch(upgrade: Upgrade) -> str:
    """Without context: the lines around a change may hold a secret."""
    return patch_text(upgrade.stack, upgrade.old_text, upgrade.new_text, context=0)


def _headline(upgrade: Upgrade) -> str:
    by_release: dict[str, list[str]] = {}
    for model, release in upgrade.now.items():
        by_release.setdefault(release or "an unknown release", []).append(model)
    was = "; ".join(f"{', '.join(sorted(models))} from {release}" for release, models in sorted(by_release.items()))
    return f"{upgrade.stack} to vLLM {upgrade.to}" + (f"   {was}" if was else "")


def _end(upgrade: Upgrade, ink: Ink) -> str:
    errors = sum(d.is_error for d in upgrade.after)
    if errors:
        sentence = f"{errors} {'problem is' if errors == 1 else 'problems are'} left to fix by hand."
        return ink(sentence, "red") + "\n" + (diagnostics_text(upgrade.after, ink) if upgrade.has_edits else "")
    if upgrade.has_edits:
        return f"With the patch, vLLM {upgrade.to} accepts it.\n"
    return f"vLLM {upgrade.to} accepts it unchanged.\n"


def _diagnostic(d: Diagnostic) -> dict[str, Any]:
    return {
        "rule": d.rule,
        "severity": d.severity.value,
        "summary": d.summary,
        "help": d.help,
        "range": asdict(d.span) if d.span else None,
    }
