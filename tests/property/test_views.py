"""Comments of any plan in any room: they fit, they are whole, and nothing is lost from the count."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortexctl.plan.action import Action
from cortexctl.plan.diff import FieldChange
from cortexctl.plan.model import Change, Plan
from cortexctl.render.plan.folding import fold
from cortexctl.render.plan.html import plan_html
from cortexctl.render.plan.markdown import LEAST_BYTES, plan_markdown
from cortexctl.render.plan.terminal import plan_text
from cortexctl.render.style import Ink
from tests.markdown import assert_fences
from tests.views import NASTY, moved_to, one, rich_plan

modest = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
KINDS = [
    one("replace_argument", Action.REPLACE),
    one("create", Action.CREATE),
    one("remove_not_in_stack", Action.REMOVE),
    one("update_in_place", Action.UPDATE),
    one("moved", Action.MOVE),
    one("forget", Action.FORGET),
    one("no_changes", Action.NO_OP),
]
_texts = st.text(max_size=30) | st.sampled_from(NASTY)
_fields = st.lists(
    st.builds(FieldChange, _texts, _texts | st.none(), _texts | st.integers(), st.booleans()), max_size=3
)


@st.composite
def _changes(draw: st.DrawFn) -> list[Change]:
    changes = {}
    for number in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(KINDS))
        kind = replace(kind, fields=(*kind.fields, *draw(_fields)))
        for host in range(draw(st.sampled_from([1, 1, 2, 5, 30]))):
            there = moved_to(kind, f"gpu-{host}", f"model-{number}")
            changes[there.address] = there
    return [changes[a] for a in sorted(changes)]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    base = rich_plan()
    problems = [replace(d, summary=draw(_texts), help=draw(_texts)) for d in base.diagnostics * draw(st.integers(0, 9))]
    return replace(
        base, stack=draw(_texts), env=draw(_texts), changes=tuple(draw(_changes())), diagnostics=tuple(problems)
    )


@modest
@given(plans(), st.integers(LEAST_BYTES, 80_000))
def test_a_comment_fits_and_is_whole(plan: Plan, budget: int) -> None:
    shown = plan_markdown(plan, max_bytes=budget)
    size = len(shown.encode("utf-8"))
    assert size <= budget
    assert_fences(shown)
    assert shown.startswith("<!-- cortexctl:plan ")
    assert shown.endswith("</sub>\n")
    for action in {c.action for c in plan.changes} - {Action.NO_OP}:
        number = sum(c.action is action for c in plan.changes)
        assert re.search(rf"— .*\b{number} {'to ' + action.value if action.does_something else ''}", shown)
    for block in fold(plan.changes):
        in_table = f"`{block.name}` | " in shown and (all(f"`{h}`" in shown for h in block.hosts) or " more |" in shown)
        assert in_table or f"<code>{block.name}</code>" in shown or f"`{block.name}`" in shown or "| Changes |" in shown
    assert plan_markdown(plan, max_bytes=budget) == shown


@modest
@given(plans())
def test_every_address_is_in_the_other_views(plan: Plan) -> None:
    text, page = plan_text(plan, Ink(enabled=False)), plan_html(plan)
    for change in plan.changes:
        assert change.address in page
        assert change.action is Action.NO_OP or change.address in text
    assert [b.addresses for b in fold(plan.changes)] == [b.addresses for b in fold(reversed(plan.changes))]
