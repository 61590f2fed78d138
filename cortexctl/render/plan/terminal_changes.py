"""What a plan for a terminal says about changes and problems: their blocks, the diagnostics, and the recap."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from cortexctl.plan.action import Action
from cortexctl.plan.capacity.forecast import InstanceForecast
from cortexctl.plan.diff import FieldChange
from cortexctl.plan.model import Change, Plan
from cortexctl.plan.steps import Step
from cortexctl.render.diagnostic import WIDTH, diagnostics_text
from cortexctl.render.plan.content import (
    availability_lines,
    batch_lines,
    counts,
    down_addresses,
    hidden_text,
    hook_lines,
    host_lines,
    image_text,
    launch_rows,
    secrets_text,
    start_lines,
    steps_by_change,
)
from cortexctl.render.plan.folding import Block, cut, fold, listed
from cortexctl.render.plan.memory import VERDICTS, forecasts_by_address, memory_lines, memory_summary
from cortexctl.render.plan.outcome import counted
from cortexctl.render.plan.phrases import (
    COLOURS,
    SYMBOLS,
    change_text,
    cost_text,
    reason_lines,
    task_text,
    value_text,
)
from cortexctl.render.style import Ink

MARGIN = "        "
DOWN_LISTED = 8
"""Addresses on the Down line; each is also in its block."""


def sections(plan: Plan, ink: Ink, *, news: str, explain: bool, next_step: str) -> list[str]:
    """The blocks, the diagnostics, and the recap. `news`: replaces the recap's numbers if there is nothing to do."""
    steps, names = (steps_by_change(plan) if explain else {}), plan.container_names
    forecasts = forecasts_by_address(plan)
    blocks = fold(plan.changes)
    parts = ["\n".join(_block(block, steps, names, forecasts, ink)) for block in blocks]
    parts += ["\n".join(lines) for lines in [_host_steps(plan, steps, ink)] if lines]
    if plan.diagnostics:
        parts.append(diagnostics_text(plan.diagnostics, ink).rstrip("\n"))
    return [*parts, _recap(plan, blocks, ink, news, next_step)]


def _block(
    block: Block,
    steps: Mapping[tuple[str, str], Sequence[Step]],
    names: Mapping[str, str],
    forecasts: Mapping[str, InstanceForecast],
    ink: Ink,
) -> Iterator[str]:
    change = block.first
    colour = COLOURS[change.action]
    symbol = ink(f"{SYMBOLS[change.action]:<3}", colour, "bold")
    head = f"{block.title}   {change_text(change)}"
    same = "same change   " if len(block.changes) > 1 else ""
    yield f"  {symbol} {ink(head, colour, 'bold')}   {ink(same + cost_text(*block.changes), 'dim')}".rstrip()
    yield from _all_of(block, ink)
    for line in reason_lines(change):
        yield f"{MARGIN}{line}"
    yield from _fields(change, ink)
    if change.action is Action.CREATE:
        for name, text in launch_rows(block):
            yield f"      {ink('+', 'green')} {name:<8}{text}"
    for line in memory_lines(block, forecasts):
        yield f"{MARGIN}memory  {_verdict(line, ink)}"
    if change.detail.image:
        yield f"{MARGIN}{ink(image_text(change), 'dim')}"
    for each in block.changes:
        for step in steps.get((each.host, each.address), ()):
            yield f"{MARGIN}{ink(step.id, 'dim')}  {task_text(step.task, names)}"


def _host_steps(plan: Plan, steps: Mapping[tuple[str, str], Sequence[Step]], ink: Ink) -> list[str]:
    """The steps that belong to no change: images and networks."""
    own = (step for h in plan.hosts for step in steps.get((h.host.name, ""), ()))
    lines = [f"{MARGIN}{ink(step.id, 'dim')}  {task_text(step.task, plan.container_names)}" for step in own]
    return [f"      {ink('Steps for the whole host', 'bold')}", *lines] if lines else []


def _verdict(line: str, ink: Ink) -> str:
    """The line with its verdict in colour."""
    for verdict, colour in (("refuses", "red"), ("uncertain", "yellow")):
        line = line.replace(VERDICTS[verdict], ink(VERDICTS[verdict], colour))
    return line


def _all_of(block: Block, ink: Ink) -> Iterator[str]:
    """All addresses, if the first line does not name them all."""
    if block.title_is_whole:
        return
    lines = textwrap.wrap(
        f"all {len(block.changes)}: {', '.join(block.addresses)}",
        WIDTH,
        break_long_words=False,
        break_on_hyphens=False,
    )
    for line in lines:
        yield f"{MARGIN}{ink(line, 'dim')}"


def _fields(change: Change, ink: Ink) -> Iterator[str]:
    width = max((len(f.path) for f in change.fields), default=0)
    for f in change.fields:
        yield f"      {ink('~', 'yellow')} {f.path:<{width}}   {_arrow(f, ink)}"


def _arrow(f: FieldChange, ink: Ink) -> str:
    if f.sensitive:
        return hidden_text(f)
    before, after = value_text(f.path, f.before), value_text(f.path, f.after)
    return f"{ink(before, 'red')} {ink('->', 'dim')} {ink(after, 'green')}"


def _recap(plan: Plan, blocks: Sequence[Block], ink: Ink, news: str, next_step: str) -> str:
    uncompared = secrets_text(plan)
    secrets = [uncompared] if uncompared else []
    if news:
        return "\n".join([news, *(f"Secrets   {line}" for line in secrets)])
    numbers = [ink(label, COLOURS[action]) for action, _, label in counts(plan)]
    lines = [ink("Plan", "bold") + "   " + ("   ".join(numbers) or "nothing that can be done")]
    errors = sum(d.is_error for d in plan.diagnostics)
    if errors:
        lines[0] += ink(f"   refused: {counted(errors, 'error')}", "red", "bold")
    down = down_addresses(blocks)
    if down:
        lines.append(ink("Down", "bold") + f"   {listed(down, DOWN_LISTED)}")
    sections = (
        ("Keep", availability_lines(plan)),
        ("Order", batch_lines(plan)),
        ("Starts", start_lines(plan)),
        ("Host", host_lines(plan)),
        ("Hooks", hook_lines(plan)),
        ("Secrets", secrets),
        ("GPUs", memory_summary(plan)),
    )
    for title, texts in sections:
        shown, more = cut(texts, DOWN_LISTED)
        lines += [f"{ink(title, 'bold')}   {line}" for line in [*shown, *([f"and {more} more"] if more else [])]]
    if next_step:
        lines.append(ink("Next", "bold") + f"   {next_step}")
    return "\n".join(lines)
