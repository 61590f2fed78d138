"""A plan for a terminal. Written from the plan value and nothing else; plain text where there is no colour."""

from __future__ import annotations

from collections.abc import Iterator

from cortexctl.plan.action import Action
from cortexctl.plan.diff import FieldChange, fields_of
from cortexctl.plan.model import Change, Plan
from cortexctl.render.diagnostic import diagnostics_text
from cortexctl.render.ink import Ink
from cortexctl.render.words import (
    COLOURS,
    DONE_WORDS,
    SYMBOLS,
    action_words,
    cost_words,
    reason_words,
    task_words,
    value_words,
)

MARGIN = "        "
_READING_ORDER = (Action.REMOVE, Action.REPLACE, Action.START, Action.CREATE)
"""What takes something away first: it must not scroll off."""


def plan_text(plan: Plan, ink: Ink, *, explain: bool = False, next_step: str = "") -> str:
    """Header, changes, diagnostics, recap, the one next command. Ends with a newline."""
    parts = [_header(plan, ink)]
    changes = sorted(plan.effective, key=lambda c: (_READING_ORDER.index(c.action), c.address))
    parts += ["\n".join(_change(plan, change, ink, explain=explain)) for change in changes]
    if plan.diagnostics:
        parts.append(diagnostics_text(plan.diagnostics, ink).rstrip("\n"))
    parts.append(_recap(plan, ink, next_step))
    return "\n\n".join(parts) + "\n"


def nothing_to_do(plan: Plan) -> bool:
    """Whether the plan is the good news: all hosts read, nothing wrong, nothing to change."""
    return not plan.effective and not plan.unreachable and not plan.has_errors


def _header(plan: Plan, ink: Ink) -> str:
    title = ink(f"Stack {plan.stack}", "bold")
    source = f"({plan.stack_path})" if plan.stack_path else ""
    env = f"env {plan.env}" if plan.env else ""
    reached = len(plan.hosts) - len(plan.unreachable)
    hosts = _count(reached, "host") + (f", {len(plan.unreachable)} unreachable" if plan.unreachable else "")
    found = _count(sum(h.containers for h in plan.hosts), "container") + " of ours"
    unmanaged = sum(h.unmanaged for h in plan.hosts)
    others = f"{unmanaged} of others, left alone" if unmanaged else ""
    destroy = ink("DESTROY", "red", "bold") if plan.destroy else ""
    return "   ".join(part for part in (destroy, f"{title} {source}".rstrip(), env, hosts, found, others) if part)


def _change(plan: Plan, change: Change, ink: Ink, *, explain: bool) -> Iterator[str]:
    colour = COLOURS[change.action]
    symbol = ink(f"{SYMBOLS[change.action]:<3}", colour, "bold")
    head = f"{change.address}   {action_words(change.action)}"
    yield f"  {symbol} {ink(head, colour, 'bold')}   {ink(cost_words(change), 'dim')}".rstrip()
    for line in reason_words(change):
        yield f"{MARGIN}{line}"
    yield from _fields(change, ink)
    if change.action is Action.CREATE:
        yield from _new(change, ink)
    if change.image:
        yield f"{MARGIN}{ink(_image(change), 'dim')}"
    if explain:
        for step in plan.steps_of(change):
            yield f"{MARGIN}{ink(step.id, 'dim')}  {task_words(step.task, plan.container_names)}"


def _fields(change: Change, ink: Ink) -> Iterator[str]:
    width = max((len(f.path) for f in change.fields), default=0)
    for f in change.fields:
        yield f"      {ink('~', 'yellow')} {f.path:<{width}}   {_arrow(f, ink)}"


def _arrow(f: FieldChange, ink: Ink) -> str:
    if f.sensitive:
        was, now = f.before is not None, f.after is not None
        return "(changed, value hidden)" if was and now else "(added, value hidden)" if now else "(removed)"
    before, after = value_words(f.path, f.before), value_words(f.path, f.after)
    return f"{ink(before, 'red')} {ink('->', 'dim')} {ink(after, 'green')}"


def _new(change: Change, ink: Ink) -> Iterator[str]:
    """What will run, in a few lines: the fields that a reviewer asks about."""
    spec = change.after
    if spec is None:
        return
    flat = fields_of(spec)
    args = [f"{p.removeprefix('args.')} {value_words(p, flat[p])}" for p in flat if p.startswith("args.")]
    rows = [
        ("model", f"{spec.model}, served as {', '.join(spec.served_names)}"),
        ("args", ", ".join(args) or "vLLM's defaults"),
        ("extra", " ".join(spec.extra_args)),
        ("gpus", value_words("gpus", flat["gpus"])),
        ("port", flat.get("publish", "not published")),
        ("env", ", ".join(f"{k}={v}" for k, v in spec.env.items())),
        ("secrets", ", ".join(f"{s.name} from {s.origin}" for s in spec.secrets)),
        (
            "mounts",
            ", ".join(f"{m.source} on {m.target}" + (" ro" if m.read_only else "") for m in spec.mounts),
        ),
    ]
    for name, text in rows:
        if text:
            yield f"      {ink('+', 'green')} {name:<8}{text}"


def _image(change: Change) -> str:
    image = change.image
    if image is None:
        return ""
    if image.pull:
        return f"image {image.reference} is pulled first ({image.digest[:19]})"
    return f"image {image.reference}" + (f" is on the host ({image.id[7:19]})" if image.id else "")


def _recap(plan: Plan, ink: Ink, next_step: str) -> str:
    if nothing_to_do(plan):
        source = f" match {plan.stack_path}" if plan.stack_path else ""
        total = _count(len(plan.changes), "container")
        if plan.destroy:
            return ink("Nothing to destroy.", "green", "bold") + f" No container of {plan.stack} is left."
        source = source if len(plan.changes) != 1 else source.replace(" match ", " matches ")
        return ink("No changes.", "green", "bold") + f" {total} on {_count(len(plan.hosts), 'host')}{source}."
    counts = []
    for action in (*_READING_ORDER, Action.NO_OP):
        number = sum(c.action is action for c in plan.changes)
        if number:
            word = DONE_WORDS[action] if action is Action.NO_OP else f"to {action.value}"
            counts.append(ink(f"{number} {word}", COLOURS[action]))
    lines = [ink("Plan", "bold") + "   " + ("   ".join(counts) or "nothing that can be done")]
    errors = sum(d.is_error for d in plan.diagnostics)
    if errors:
        lines[0] += ink(f"   refused: {_count(errors, 'error')}", "red", "bold")
    down = [c.address for c in plan.effective if c.cost.down]
    if down:
        lines.append(ink("Down", "bold") + f"   {', '.join(down)}")
    if next_step:
        lines.append(ink("Next", "bold") + f"   {next_step}")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
