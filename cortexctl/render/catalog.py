"""The catalogue for people: the history of an option, and the changes between two releases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cortexctl.engines.vllm.architectures import check_architectures
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.catalogue.changes import Between
from cortexctl.engines.vllm.catalogue.facts import Option
from cortexctl.engines.vllm.catalogue.reviewed import decided_at_start, instead_of, no_effect
from cortexctl.render.style import Ink


def option_text(name: str, version: str, ink: Ink) -> str:
    """One option in a release, and the releases that have it. Empty for a name that no release has."""
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


def option_facts(name: str, version: str) -> dict[str, Any]:
    """One option for programs; `option` is null if the release does not have it."""
    option = catalogue.release(version).option(name)
    advice, idle = instead_of(name, version), no_effect(name, version)
    decided = next((d for d in decided_at_start() if d.option == name and d.holds_in(version)), None)
    facts = None
    if option is not None:
        known = {"flags": option.flags, "off_flags": option.off_flags, "kind": option.kind, "nargs": option.nargs}
        values = {"choices": option.choices, "known_values": option.soft_choices, "default": option.default}
        rest = {"config": option.config, "group": option.group, "limits": dict(option.bounds), "entry": option.entry}
        facts = {**known, **values, "decided_at_start": decided.value if decided else None, **rest}
        facts |= {"positional": option.positional, "repeats": option.repeats, "deprecated": option.deprecated}
    return {
        "name": name,
        "release": version,
        "releases": [{"since": s.since, "until": s.until or None} for s in catalogue.option_spans(name)],
        "changed_in": catalogue.option_changes(name),
        "option": facts,
        "no_effect": idle.text if idle else None,
        "instead": advice.text if advice else None,
    }


def releases_facts() -> list[dict[str, Any]]:
    """Oldest first."""
    facts = []
    for version in catalogue.releases():
        of = catalogue.release(version)
        built = {"torch": of.torch, "transformers": of.transformers, "python": of.requires_python, "cuda": of.cuda}
        counts = {"options": len(of.options), "environment": len(of.environment)}
        facts.append({"release": version, "date": of.date, "entry_point": of.entry, **built, **counts})
    return facts


def releases_text(ink: Ink) -> str:
    """Newest first, because readers usually need the newest."""
    keys = ("release", "date", "entry_point", "torch", "cuda", "options")
    rows = [["release", "day", "entry point", "torch", "CUDA", "options"]]
    rows += ([str(facts[key]) for key in keys] for facts in reversed(releases_facts()))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([ink(lines[0], "bold"), *lines[1:]]) + "\n"


def architecture_facts(name: str, version: str) -> dict[str, Any]:
    architecture = catalogue.architecture(name)
    spans = architecture.spans if architecture else ()
    return {
        "name": name,
        "release": version,
        "group": catalogue.release(version).architecture(name),
        "releases": [{"since": s.since, "until": s.until or None, "group": s.kind} for s in spans],
        "plugin": architecture.plugin or None if architecture else None,
        "findings": [f.summary for f in check_architectures([name], version)],
    }


def architecture_text(name: str, version: str) -> str:
    facts = architecture_facts(name, version)
    architecture = catalogue.architecture(name)
    ranges = ", ".join(map(str, architecture.spans)) if architecture else ""
    lines = [f"{name}   " + (f"vLLM {ranges}" if ranges else "no release has its own class for it")]
    lines += [f"  {facts['group']} in {version}"] if facts["group"] else []
    for finding in check_architectures([name], version):
        lines += [f"  {finding.summary}", f"    {finding.help}"]
    return "\n".join(lines) + "\n"


def between_text(between: Between, ink: Ink) -> str:
    """Removed options first, because their removal breaks stacks."""
    lines = [ink(f"vLLM {between.old} -> {between.new}", "bold")]
    for name, advice in between.gone:
        lines.append(f"  {ink('-', 'red')} {name}" + (f"   {advice}" if advice else ""))
    for name, why in between.idle:
        lines.append(f"  {ink('!', 'yellow')} {name}   has no effect any more: {why}")
    for change in between.changed:
        facts = "; ".join(f"{fact} {_short(was, now)}" for fact, (was, now) in change.facts.items())
        lines.append(f"  {ink('~', 'yellow')} {change.name}   {facts}")
    lines += [f"  {ink('+', 'green')} {name}" for name in between.added]
    lines.append("")
    lines.append(f"{len(between.gone)} gone, {len(between.changed)} changed, {len(between.added)} new.")
    return "\n".join(lines) + "\n"


def _short(was: Any, now: Any) -> str:
    """Of lists, the added and removed values."""
    if isinstance(was, tuple) and isinstance(now, tuple):
        shown = [f"+{v}" for v in now if v not in was] + [f"-{v}" for v in was if v not in now]
        return " ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")
    return f"{_value(was)} -> {_value(now)}"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
