"""A plan as one self-contained HTML file: no request, no font, no library, and it works without its script."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from cortexctl import __version__
from cortexctl.diagnostics import Diagnostic
from cortexctl.plan.action import Action
from cortexctl.plan.diff import FieldChange
from cortexctl.plan.model import Plan
from cortexctl.plan.steps import Step
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
    plan_digest,
    secrets_text,
    start_lines,
    steps_by_change,
)
from cortexctl.render.plan.folding import IN_TITLE, Block, cut, fold
from cortexctl.render.plan.html_memory import ledgers, memory_of
from cortexctl.render.plan.markdown import default_next_step
from cortexctl.render.plan.memory import forecasts_by_address, unknown_memory_lines
from cortexctl.render.plan.outcome import counted, good_news, nothing_to_do
from cortexctl.render.plan.phrases import (
    SYMBOLS,
    action_text,
    change_text,
    cost_text,
    reason_lines,
    task_text,
    value_text,
)
from cortexctl.render.sanitise import visible, visible_plan

if TYPE_CHECKING:
    from jinja2 import Template

DOWN_LISTED = 8
HOSTS_LISTED = 6


def plan_html(plan: Plan, *, next_step: str = "") -> str:
    """The whole document. All text is escaped by the template; style and script are allowed by their hashes only."""
    style, script = _resource("plan.css"), _resource("plan.js")
    digest = plan_digest(plan)
    plan = visible_plan(plan)
    return _template().render(
        style=style,
        script=script,
        policy=_policy(style, script),
        version=__version__,
        digest=digest,
        next_step=visible(next_step or default_next_step(plan)),
        **_content(plan),
    )


@functools.cache
def _template() -> Template:
    """Cached, because compiling takes longer than rendering."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(_resource("plan.html.j2"))


def _resource(name: str) -> str:
    return (files("cortexctl.render.plan") / "templates" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _content(plan: Plan) -> dict[str, Any]:
    blocks, steps = fold(plan.changes), steps_by_change(plan)
    names, forecasts = plan.container_names, forecasts_by_address(plan)
    errors = sum(d.is_error for d in plan.diagnostics)
    numbers = counts(plan)
    reached = len(plan.hosts) - len(plan.unreachable)
    unreachable = f", {len(plan.unreachable)} unreachable" if plan.unreachable else ""
    return {
        "plan": plan,
        "headline": ", ".join(label for _, _, label in numbers) or "nothing to do",
        "host_lines": f"{counted(reached, 'host')}{unreachable}",
        "counts": [(action.value, number, label.partition(" ")[2]) for action, number, label in numbers],
        "good": good_news(plan) if nothing_to_do(plan) else None,
        "errors": f"{counted(errors, 'error')} {'blocks' if errors == 1 else 'block'}" if errors else "",
        "down": cut(down_addresses(blocks), DOWN_LISTED),
        "kept": [*availability_lines(plan), *batch_lines(plan)],
        "hosts_taken": host_lines(plan),
        "starts": start_lines(plan),
        "hooks": hook_lines(plan),
        "secrets": secrets_text(plan),
        "unreachable": plan.unreachable,
        "diagnostics": [_diagnostic(d) for d in plan.diagnostics],
        "blocks": [{**_block(b, steps, names), "memory": memory_of(b, forecasts)} for b in blocks],
        "unknown_memory": unknown_memory_lines(plan.forecasts),
        "ledgers": ledgers(plan),
        "actions": [(a.value, action_text(a)) for a in dict.fromkeys(b.action for b in blocks)],
        "host_steps": {
            h.host.name: "; ".join(task_text(s.task, names) for s in steps[h.host.name, ""])
            for h in plan.hosts
            if (h.host.name, "") in steps
        },
        "unchanged": [c.address for c in plan.changes if c.action is Action.NO_OP],
    }


def _block(block: Block, steps: Mapping[tuple[str, str], Sequence[Step]], names: Mapping[str, str]) -> dict[str, Any]:
    change = block.first
    reasons = reason_lines(change)
    return {
        "action": change.action.value,
        "symbol": SYMBOLS[change.action],
        "name": block.name,
        "hosts": cut(block.hosts, HOSTS_LISTED),
        "title": cut(block.addresses, IN_TITLE),
        "addresses": block.addresses,
        "action_text": change_text(change),
        "cost": cost_text(*block.changes),
        "why": "; ".join(r.removeprefix("because ") for r in reasons),
        "reasons": [r[:1].upper() + r[1:] for r in reasons],
        "fields": [_field(f) for f in change.fields],
        "launch": launch_rows(block) if change.action is Action.CREATE else [],
        "image": image_text(change),
        "steps": [(s.id, task_text(s.task, names)) for c in block.changes for s in steps.get((c.host, c.address), ())],
    }


def _field(f: FieldChange) -> dict[str, Any]:
    if f.sensitive:
        return {"path": f.path, "hidden": hidden_text(f)}
    return {
        "path": f.path,
        "hidden": "",
        "before": value_text(f.path, f.before),
        "after": value_text(f.path, f.after),
        "unset_before": f.before is None,
        "unset_after": f.after is None,
    }


def _diagnostic(d: Diagnostic) -> dict[str, Any]:
    shown = {"error": d.is_error, "rule": d.rule, "summary": d.summary, "detail": d.detail, "help": d.help, "place": ""}
    if d.span is None:
        return shown
    line, begin, end = d.span.line_text, d.span.column - 1, d.span.end_column - 1
    return {
        **shown,
        "place": str(d.span),
        "line": d.span.line,
        "before": line[:begin],
        "marked": line[begin:end],
        "after": line[end:],
    }
