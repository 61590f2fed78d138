"""A plan for a terminal. Rendered from the plan value only; plain text without colour."""

from __future__ import annotations

from cortexctl.plan.action import Action
from cortexctl.plan.model import Plan
from cortexctl.render.plan.outcome import counted, good_news, nothing_to_do
from cortexctl.render.sanitise import visible, visible_plan
from cortexctl.render.style import Ink


def plan_text(plan: Plan, ink: Ink, *, explain: bool = False, next_step: str = "") -> str:
    """Header, changes, diagnostics, recap, the next command. Ends with a newline."""
    plan = visible_plan(plan)
    news = _news(plan, ink) if nothing_to_do(plan) else ""
    if news and not _has_more(plan):
        return f"{_header(plan, ink)}\n\n{news}\n"
    from cortexctl.render.plan.terminal_changes import sections

    parts = sections(plan, ink, news=news, explain=explain, next_step=visible(next_step))
    return "\n\n".join([_header(plan, ink), *parts]) + "\n"


def _has_more(plan: Plan) -> bool:
    """Whether a plan with nothing to do has more to show: an instance that is only forgotten, a warning, a network."""
    has_blocks = any(c.action is not Action.NO_OP for c in plan.changes)
    return bool(has_blocks or plan.steps or plan.diagnostics or plan.uncompared)


def _news(plan: Plan, ink: Ink) -> str:
    headline, rest = good_news(plan)
    return f"{ink(headline, 'green', 'bold')} {rest}"


def refusal_text(plan: Plan, ink: Ink) -> str:
    """A line to put before a plan with errors, which cannot be applied; empty without errors."""
    errors = sum(d.is_error for d in plan.diagnostics)
    if not errors:
        return ""
    message = f"This plan has {counted(errors, 'error')} and cannot be applied. The errors are listed below."
    return ink(message, "red", "bold") + "\n\n"


def _header(plan: Plan, ink: Ink) -> str:
    title = ink(f"Stack {plan.stack}", "bold")
    source = f"({plan.stack_path})" if plan.stack_path else ""
    env = ink(f"env {plan.env}", "bold") if plan.env else ""
    basis = ink(f"against {plan.basis}", "cyan") if plan.basis else ""
    partial = ink(f"partial plan ({' '.join(plan.selection)})", "yellow", "bold") if plan.selection else ""
    reached = len(plan.hosts) - len(plan.unreachable)
    hosts = counted(reached, "host") + (f", {len(plan.unreachable)} unreachable" if plan.unreachable else "")
    ours = counted(sum(h.containers for h in plan.hosts), "managed container")
    unmanaged = sum(h.unmanaged for h in plan.hosts)
    others = f"{unmanaged} unmanaged, not touched" if unmanaged else ""
    destroy = ink("DESTROY", "red", "bold") if plan.destroy else ""
    return "   ".join(
        part for part in (destroy, f"{title} {source}".rstrip(), env, basis, partial, hosts, ours, others) if part
    )
