"""The diagnosis of an instance or a log: cause, evidence, fix and the next command, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cortexctl.operations.results import Diagnosed
from cortexctl.render.sanitise import visible
from cortexctl.render.style import Ink

LINE_WIDTH = 300


def diagnosed_text(seen: Diagnosed, ink: Ink) -> str:
    """The cause, its evidence, the fix, and the next command."""
    return "\n".join(_lines(seen, ink)) + "\n"


def _lines(seen: Diagnosed, ink: Ink) -> Iterator[str]:
    head = ink(visible(seen.of), "bold")
    yield f"{head}   {state_text(seen)}" if seen.state else head
    if seen.is_well:
        judged = "it serves" if seen.state else "the last start in this log serves"
        yield f"  {ink('healthy', 'green')}  {judged}; there is nothing to fix"
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
            yield f"  {ink('stage', 'bold')}  it reached: {seen.stage}"
    yield f"{ink('Next', 'bold')}   {seen.next_step}"


def state_text(seen: Diagnosed) -> str:
    """The container, its state, and the last stage of its start."""
    state = seen.state
    if state is None:
        return ""
    if state.running:
        became = f"runs; /health: {seen.health or 'not checked'}"
    else:
        became = f"exited with code {state.exit_code}" + (f" ({visible(state.error)})" if state.error else "")
    facts = [f"{seen.container} ({seen.role}, generation {seen.generation}) {became}"]
    facts += ["killed: out of memory"] if state.oom_killed else []
    facts += [f"restarted {state.restarts} {'time' if state.restarts == 1 else 'times'}"] if state.restarts else []
    facts += [f"it reached: {seen.stage}"] if seen.stage and not seen.is_well else []
    return "; ".join(facts)


def diagnosed_json(seen: Diagnosed) -> dict[str, Any]:
    """Version 1: keys are only ever added."""
    state, diagnosis = seen.state, seen.diagnosis
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
        "pattern": diagnosis.pattern if diagnosis else None,
        "cause": diagnosis.cause if diagnosis else None,
        "fix": diagnosis.fix if diagnosis else None,
        "evidence": list(diagnosis.evidence) if diagnosis else [],
        "last_error": seen.last or None,
        "next": None if seen.is_well else seen.next_step,
    }


def _cut(line: str) -> str:
    line = visible(line)
    return line if len(line) <= LINE_WIDTH else line[: LINE_WIDTH - 1] + "…"
