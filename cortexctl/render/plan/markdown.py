"""A plan as a comment on a change: the essential parts are always complete, details as far as they fit.

The text is made to fit by levels of detail, never by cutting it. A lower level gives less about the plan as a whole.
Each block then has its details, or one line instead of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from cortexctl import __version__
from cortexctl.dataclass import dataclass
from cortexctl.diagnostics import Diagnostic
from cortexctl.plan.action import Action, Reason, ReasonCode
from cortexctl.plan.model import Plan
from cortexctl.plan.pace import expected_range
from cortexctl.render.markdown_text import code, marker, text
from cortexctl.render.plan.content import (
    availability_lines,
    batch_lines,
    counts,
    hook_lines,
    host_lines,
    plan_digest,
    secrets_text,
    start_lines,
)
from cortexctl.render.plan.folding import Block, cut, fold, listed
from cortexctl.render.plan.markdown_detail import details
from cortexctl.render.plan.memory import forecasts_by_address, memory_summary, unknown_number
from cortexctl.render.plan.outcome import counted, good_news, nothing_to_do
from cortexctl.render.plan.phrases import action_text, bound_text, change_text, cost_text, reason_lines
from cortexctl.render.sanitise import visible_plan
from cortexctl.text.units import about_range

MAX_BYTES = 60_000
"""GitHub takes 65,536 characters."""
LEAST_BYTES = 6_000
"""The lowest level fits into this, for any plan."""
ROWS = 200
DOTS = {
    Action.REMOVE: "🔴",
    Action.REPLACE: "🟠",
    Action.RESTART: "🟠",
    Action.START: "🟡",
    Action.UPDATE: "🔵",
    Action.CREATE: "🟢",
    Action.ADOPT: "🔵",
    Action.MOVE: "⚪",
    Action.FORGET: "⚪",
    Action.NO_OP: "⚪",
}


@dataclass(frozen=True, slots=True)
class Level:
    """Limits: hosts per row (0: no rows, counts by action), names and characters per sentence, diagnostics."""

    places: int
    names: int
    problems: int
    length: int


LEVELS = (
    Level(places=2000, names=8, problems=200, length=600),
    Level(places=20, names=8, problems=50, length=400),
    Level(places=4, names=8, problems=20, length=300),
    Level(places=0, names=2, problems=20, length=300),
    Level(places=0, names=2, problems=5, length=150),
    Level(places=0, names=0, problems=1, length=40),
)


def plan_markdown(plan: Plan, *, max_bytes: int = MAX_BYTES, next_step: str = "") -> str:
    """At most `max_bytes` of UTF-8. Raises ValueError if `max_bytes` is below LEAST_BYTES.

    `next_step`: the command that applies it. Default: derived from the plan.
    """
    if max_bytes < LEAST_BYTES:
        raise ValueError(f"a plan needs at least {LEAST_BYTES} bytes")
    digest = plan_digest(plan)
    plan = visible_plan(plan)
    blocks = fold(plan.changes)
    head = foot = ""
    for level in LEVELS:
        if level.places and len(blocks) > ROWS:
            continue
        head = "\n\n".join(part for part in _head(plan, blocks, level) if part)
        foot = _footer(plan, digest, next_step or default_next_step(plan), level)
        if _size(head) + _size(foot) + 3 <= max_bytes:
            break
    room = max_bytes - _size(head) - _size(foot) - 5
    middle = details(blocks, room, forecasts_by_address(plan))
    return "\n\n".join(part for part in (head, middle, foot) if part) + "\n"


def default_next_step(plan: Plan) -> str:
    """The command that applies the plan, as far as the plan shows it; empty if none does."""
    if not plan.effective or plan.has_errors or plan.basis or plan.lacking:
        return ""
    return plan.invocation.same("destroy" if plan.destroy else "apply")


def _size(part: str) -> int:
    return len(part.encode("utf-8"))


def _head(plan: Plan, blocks: Sequence[Block], level: Level) -> Iterator[str]:
    yield marker(stack=plan.stack, env=plan.env)
    yield _headline(plan, level)
    yield _heads_up(plan, blocks, level)
    if blocks:
        yield "\n".join(_table(blocks, level) if level.places else _counts_table(blocks))
    yield _hosts(plan, level)
    yield _starts(plan, level)
    yield _hooks(plan, level)
    yield _gpus(plan, level)
    yield "\n".join(_diagnostics(plan.diagnostics, level))


def _headline(plan: Plan, level: Level) -> str:
    name = text(plan.stack, min(level.length, 60)) + (f" / {text(plan.env, min(level.length, 60))}" if plan.env else "")
    verb = "plan --destroy" if plan.destroy else "plan"
    numbers = ", ".join(label for action, _, label in counts(plan) if action is not Action.NO_OP)
    if not numbers:
        numbers = "nothing to do" if plan.destroy else "no changes"
    return f"### cortexctl {verb}: {name} — {numbers}"


def _heads_up(plan: Plan, blocks: Sequence[Block], level: Level) -> str:
    """What a reader must not miss: errors, downtime, removals, and the parts that were not read."""
    if nothing_to_do(plan):
        news, rest = good_news(plan)
        limits = "; ".join(_limits(plan, level))
        return f"**{news}** {text(rest, level.length)}" + (f" This is {limits}." if limits else "")
    remarks = []
    errors = sum(d.is_error for d in plan.diagnostics)
    if errors:
        remarks.append(f"this plan is refused: {counted(errors, 'error')} below")
    removed = [b for b in blocks if b.action is Action.REMOVE]
    down = [b for b in blocks if b.first.cost.down and b.action is not Action.REMOVE]
    outages = [f"{name} goes down on {_places(same)}{_time(same)}" for name, same in _by_name(down)]
    remarks += _some(outages, "go down", level)
    remarks += _some(
        [f"{name} is removed from {_places(same)}" for name, same in _by_name(removed)], "are removed", level
    )
    remarks += _some([text(line, 120) for line in availability_lines(plan)], "stay partly up", level)
    remarks += _some([f"in order: {text(line, 160)}" for line in batch_lines(plan)], "change in batches", level)
    if plan.unreachable:
        hosts = listed((code(h.host.name, 60) for h in plan.unreachable), level.names)
        named = f": {hosts}" if level.names else ""
        remarks.append(f"{counted(len(plan.unreachable), 'host')} unreachable and left out{named}")
    remarks += _limits(plan, level)
    return f"**Heads-up:** {'; '.join(remarks)}." if remarks else "Nothing goes down."


def _limits(plan: Plan, level: Level) -> Iterator[str]:
    """The limits of the plan: a part of the stack only, not the live hosts, secrets not compared."""
    if plan.selection:
        yield f"a partial plan: {text(' '.join(plan.selection), min(level.length, 200))}"
    if plan.basis:
        yield f"for review only, planned against {text(plan.basis, min(level.length, 200))}"
    if plan.uncompared:
        secrets = secrets_text(plan) if level.names else "not compared"
        yield f"secrets {text(secrets, min(level.length, 200))}"


def _hosts(plan: Plan, level: Level) -> str:
    shown, more = cut([text(line, 120) for line in host_lines(plan)], level.names) if level.names else ([], 0)
    hosts = "; ".join([*shown, *([f"{more} more hosts"] if more else [])])
    return f"Hosts: {hosts}." if hosts else ""


def _starts(plan: Plan, level: Level) -> str:
    shown, more = cut([text(line, 160) for line in start_lines(plan)], level.names) if level.names else ([], 0)
    return f"Starts: {'; '.join([*shown, *([f'{more} more hosts'] if more else [])])}." if shown else ""


def _hooks(plan: Plan, level: Level) -> str:
    if not level.names:
        return f"Hooks: {len(plan.hooks)}." if plan.hooks else ""
    hooks = "; ".join(text(line, min(level.length, 200)) for line in hook_lines(plan))
    return f"Hooks: {hooks}." if hooks else ""


def _gpus(plan: Plan, level: Level) -> str:
    """The memory of shared GPUs, and the instances whose memory is not known."""
    unknown = unknown_number(plan)
    if not level.names:
        return f"GPUs: memory not computed for {counted(unknown, 'instance')}." if unknown else ""
    shown, more = cut([text(line, 200) for line in memory_summary(plan)], level.names)
    lines = "; ".join([*shown, *([f"{more} more lines"] if more else [])])
    return f"GPUs: {lines}." if lines else ""


def _some(texts: list[str], what: str, level: Level) -> list[str]:
    """The texts, limited to the names of the level; the table and the details have the others."""
    shown, more = cut(texts, level.names) if level.names else ([], len(texts))
    return [*shown, f"{more} {'more' if shown else 'models'} {what}"] if more else shown


def _by_name(blocks: Sequence[Block]) -> list[tuple[str, list[Block]]]:
    by_name: dict[str, list[Block]] = {}
    for block in blocks:
        by_name.setdefault(code(block.name, 60), []).append(block)
    return list(by_name.items())


def _places(blocks: Sequence[Block]) -> str:
    hosts = [host for b in blocks for host in b.hosts]
    return counted(len(hosts), "host") if len(hosts) > 3 else ", ".join(code(host, 60) for host in hosts)


def _time(blocks: Sequence[Block]) -> str:
    """The expected range of all of them, unless one has neither a past start nor a forecast, and the bound of each."""
    ranges = [expected_range(change) for b in blocks for change in b.changes]
    known = [times for times in ranges if times]
    expected = ""
    if known and len(known) == len(ranges):
        expected = f" for about {about_range(min(low for low, _ in known), max(high for _, high in known))}"
    seconds = max(b.first.cost.at_most or 0 for b in blocks)
    each = " each" if sum(len(b.hosts) for b in blocks) > 1 else ""
    return expected + (f", {bound_text(seconds, each)}" if seconds else "")


def _table(blocks: Sequence[Block], level: Level) -> Iterator[str]:
    """One row per block."""
    yield "| | Where | Model | Action | Why | Cost |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for block in blocks:
        hosts = [code(h) for h in block.hosts[: level.places]]
        if len(block.hosts) > len(hosts):
            hosts.append(f"{len(block.hosts) - len(hosts)} more")
        cells = (
            DOTS[block.action],
            ", ".join(hosts),
            code(block.name),
            change_text(block.first),
            _why(block),
            cost_text(*block.changes),
        )
        yield f"| {' | '.join(cells)} |"


def _why(block: Block) -> str:
    """The changed fields, and the other reasons."""
    changed = [r.detail for r in block.first.reasons if r.code is ReasonCode.CHANGED]
    others = reason_lines(replace(block.first, reasons=_not_changed(block)))
    shown = [code(path, 60) for path in changed[:3]]
    more = [f"{len(changed) - 3} more"] if len(changed) > 3 else []
    return ", ".join([*shown, *more, *(text(line.removeprefix("because "), 120) for line in others)])


def _not_changed(block: Block) -> tuple[Reason, ...]:
    return tuple(r for r in block.first.reasons if r.code is not ReasonCode.CHANGED)


def _counts_table(blocks: Sequence[Block]) -> Iterator[str]:
    """One row per action, if there are too many rows to read, or to fit."""
    yield "| | Action | Changes | Hosts | Models |"
    yield "| --- | --- | --- | --- | --- |"
    for action in dict.fromkeys(b.action for b in blocks):
        changes = [c for b in blocks if b.action is action for c in b.changes]
        hosts, models = {c.host for c in changes}, {c.model for c in changes}
        yield f"| {DOTS[action]} | {action_text(action)} | {len(changes)} | {len(hosts)} | {len(models)} |"


def _diagnostics(diagnostics: Sequence[Diagnostic], level: Level) -> Iterator[str]:
    """Errors first, as the plan has them."""
    for d in diagnostics[: level.problems]:
        place = f" {code(f'{d.span.path}:{d.span.line}', min(level.length, 120))}" if d.span else ""
        notes = [note for note in (d.detail, f"Help: {d.help}" if d.help else "") if note]
        message = ". ".join(text(part, level.length) for part in (d.summary, *notes))
        yield f"- {'❌' if d.is_error else '⚠️'} **{text(d.rule, 20)}**{place} {message}"
    left = diagnostics[level.problems :]
    if left:
        errors = sum(d.is_error for d in left)
        yield f"- and {counted(errors, 'error')} and {counted(len(left) - errors, 'warning')} more"


def _footer(plan: Plan, digest: str, next_step: str, level: Level) -> str:
    parts = [f"plan digest {code(digest[:16])}", f"cortexctl {__version__}"]
    if plan.stack_digest:
        parts.append(f"stack digest {code(plan.stack_digest, 20)}")
    if next_step and len(next_step) <= min(level.length, 300):  # a part of a command is none
        parts.append(f"next: {code(next_step, 300)}, refused if anything above has changed since")
    return f"<sub>{' · '.join(parts)}</sub>"
