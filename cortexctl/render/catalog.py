"""The catalogue for people: an option's history, and what changes between two releases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cortexctl.render.ink import Ink
from cortexctl.vllm import catalogue
from cortexctl.vllm.catalogue_facts import Option
from cortexctl.vllm.catalogue_reviewed import decided_at_start, instead_of, no_effect
from cortexctl.vllm.changes import Between


def option_text(name: str, version: str, ink: Ink) -> str:
    """One option in a release, and where it was and was not. Empty for a name that no release ever had."""
    spans = catalogue.option_spans(name)
    if not spans:
        return ""
    option = catalogue.release(version).option(name)
    lines = [ink(name, "bold") + f"   vLLM {', '.join(map(str, spans))}"]
    if option is None:
        lines.append(f"  not in vLLM {version}")
    else:
        lines += [f"  {title:<9}{text}" for title, text in _rows(option, version) if text]
    advice, idle = instead_of(name, version), no_effect(name, version)
    lines += [f"  {ink('no effect', 'yellow')} {idle.text}"] if idle else []
    lines += [f"  {ink('instead', 'yellow')}  {advice.text}"] if advice else []
    lines.append(f"  changed in {', '.join(catalogue.option_changes(name))}")
    return "\n".join(lines) + "\n"


def _rows(option: Option, version: str) -> Iterator[tuple[str, str]]:
    yield "flags", ", ".join((*option.flags, *option.off_flags))
    yield (
        "takes",
        option.kind + (f", {option.nargs}" if option.nargs else "") + (f" ({option.config})" * bool(option.config)),
    )
    yield "choices", ", ".join(str(c) for c in option.choices or ())
    yield "known", ", ".join(option.soft_choices)
    decided = next((d for d in decided_at_start() if d.option == option.name and d.holds_in(version)), None)
    yield "default", decided.value if decided else "not set" if option.default is None else _value(option.default)
    yield "limits", ", ".join(f"{name} {limit:g}" for name, limit in option.bounds)
    yield "note", "deprecated" if option.deprecated else ""


def between_text(found: Between, ink: Ink) -> str:
    """Gone first: that is what breaks."""
    lines = [ink(f"vLLM {found.old} -> {found.new}", "bold")]
    for name, advice in found.gone:
        lines.append(f"  {ink('-', 'red')} {name}" + (f"   {advice}" if advice else ""))
    for name, why in found.idle:
        lines.append(f"  {ink('!', 'yellow')} {name}   has no effect any more: {why}")
    for change in found.changed:
        facts = "; ".join(f"{fact} {_short(was, now)}" for fact, (was, now) in change.facts.items())
        lines.append(f"  {ink('~', 'yellow')} {change.name}   {facts}")
    lines += [f"  {ink('+', 'green')} {name}" for name in found.added]
    lines.append("")
    lines.append(f"{len(found.gone)} gone, {len(found.changed)} changed, {len(found.added)} new.")
    return "\n".join(lines) + "\n"


def _short(was: Any, now: Any) -> str:
    """Of lists, what came and went."""
    if isinstance(was, tuple) and isinstance(now, tuple):
        words = [f"+{v}" for v in now if v not in was] + [f"-{v}" for v in was if v not in now]
        return " ".join(words[:12]) + (f" and {len(words) - 12} more" if len(words) > 12 else "")
    return f"{_value(was)} -> {_value(now)}"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
