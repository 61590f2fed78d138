"""What ails an instance, or a log: cause, evidence, fix and the next command, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cortexctl.operations.results import Diagnosed
from cortexctl.render.sanitise import visible
from cortexctl.render.style import Ink

LINE_WIDTH = 300


def diagnosed_text(seen: Diagnosed, ink: Ink) -> str:
    """The paragraph, its lines of evidence, and what to do next."""
    return "\n".join(_lines(seen, ink)) + "\n"


def _lines(seen: Diagnosed, ink: Ink) -> Iterator[str]:
    head = ink(visible(seen.of), "bold")
    yield f"{head}   {state_text(seen)}" if seen.state else head
    if seen.is_well:
        yield f"  {ink('healthy', 'green')}  it serves; there is nothing to fix"
        return
    if seen.diagnosis:
        yield f"  {ink('cause', 'bold')}  {visible(seen.diagnosis.cause)}"
        yield f"  {ink('fix', 'bold')}    {visible(seen.diagnosis.fix)}"
        for line in seen.diagnosis.evidence:
            yield f"    {ink('|', 'blue')} {_cut(line)}"
    else:
        yield f"  {ink('cause', 'bold')}  no known cause"
        if seen.last:
            yield f"  {ink('last', 'bold')}   {_cut(seen.last)}"
        if seen.stage and not seen.state:
            yield f"  {ink('stage', 'bold')}  it came as far as: {seen.stage}"
    yield f"{ink('Next', 'bold')}   {seen.next_step}"


def state_text(seen: Diagnosed) -> str:
    """The container, what became of it, and how far it came."""
    state = seen.state
    if state is None:
        return ""
    if state.running:
        became = f"runs; /health: {seen.health or 'not asked'}"
    else:
        became = f"exited with code {state.exit_code}" + (f" ({visible(state.error)})" if state.error else "")
    words = [f"{seen.container} ({seen.role}, generation {seen.generation}) {became}"]
    words += ["killed for its memory"] if state.oom_killed else []
    words += [f"restarted {state.restarts} {'time' if state.restarts == 1 else 'times'}"] if state.restarts else []
    words += [f"it came as far as: {seen.stage}"] if seen.stage and not seen.is_well else []
    return "; ".join(words)


def diagnosed_json(seen: Diagnosed) -> dict[str, Any]:
    """Version 1: keys are only ever added."""
    state, found = seen.state, seen.diagnosis
    return {
        "format_version": 1,
        "of": seen.of,
        "container": seen.container or None,
        "role": seen.role or None,
        "generation": seen.generation or None,
        "running": state.running if state else None,
        "exit_code": state.exit_code if state and not state.running else None,
        "oom_killed": state.oom_killed if state else None,
        "restarts": state.restarts if state else None,
        "health": seen.health or None,
        "stage": seen.stage or None,
        "pattern": found.pattern if found else None,
        "cause": found.cause if found else None,
        "fix": found.fix if found else None,
        "evidence": list(found.evidence) if found else [],
        "last_error": seen.last or None,
        "next": None if seen.is_well else seen.next_step,
    }


def _cut(line: str) -> str:
    line = visible(line)
    return line if len(line) <= LINE_WIDTH else line[: LINE_WIDTH - 1] + "…"
