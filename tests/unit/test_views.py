"""The laws of every view of a plan: nothing is lost, nothing is hidden, no secret is shown, and the bytes are always the same."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cortexctl.plan.action import Action
from cortexctl.plan.diff import FieldChange
from cortexctl.plan.model import Change, ContainerRef, Plan
from cortexctl.plan.planfile import plan_from_json, plan_to_json
from cortexctl.render.plan.folding import READING_ORDER, cut, fold, listed
from cortexctl.render.plan.html import plan_html
from cortexctl.render.plan.markdown import plan_markdown
from cortexctl.render.plan.terminal import plan_text, refusal_text
from cortexctl.render.sanitise import visible, visible_plan
from cortexctl.render.style import Ink
from tests.record_case import CASES, comment_of, plan_of_case
from tests.specs import change_spec
from tests.views import NASTY, case, large_plan, moved_to, one, rich_plan, with_every_text

FOLDERS = sorted(p for p in CASES.iterdir() if p.is_dir())
View = Callable[[Plan], str]


def text(plan: Plan) -> str:
    return plan_text(plan, Ink(enabled=False))


VIEWS: list[View] = [text, plan_markdown, plan_html]
each_view = pytest.mark.parametrize("view", VIEWS, ids=["text", "markdown", "html"])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.name)
def test_the_comment_of_a_case(folder: Path) -> None:
    assert comment_of(plan_of_case(folder)) == (folder / "comment.md").read_text()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.name)
@each_view
def test_every_view_of_a_saved_plan_is_that_of_the_plan(view: View, folder: Path) -> None:
    plan = plan_of_case(folder)
    assert view(plan_from_json(plan_to_json(plan))) == view(plan) == view(plan)


@each_view
@pytest.mark.parametrize(
    "plan", [rich_plan(), *(plan_of_case(f) for f in FOLDERS)], ids=["rich", *(f.name for f in FOLDERS)]
)
def test_every_change_is_in_every_view(view: View, plan: Plan) -> None:
    shown = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", view(plan)) if view is plan_html else view(plan)))
    for change in plan.changes:
        if change.action is Action.NO_OP:
            continue
        host, name = change.host, change.address.partition("/")[2]
        whole = re.search(rf"(?<![\w.-]){re.escape(change.address)}(?![\w-])", shown)
        row = re.search(rf"\|[^|]*`{re.escape(host)}`[^|]*\| `{re.escape(name)}` \|", shown)
        assert whole or row, change.address


@each_view
@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("number", [2, 20, 200, 2000])
def test_large_plans(view: View, number: int, alike: bool) -> None:
    plan = large_plan(number, alike=alike)
    shown = view(plan)
    print(f"{number} changes {'alike' if alike else 'different'}: {len(shown.encode()):,} bytes")
    if view is not plan_markdown:
        assert all(c.address in shown for c in plan.changes)
    for action in {c.action for c in plan.changes}:
        assert str(sum(c.action is action for c in plan.changes)) in shown


@each_view
def test_a_secret_is_a_word_that_it_changed(view: View) -> None:
    shown = view(rich_plan())
    assert "(changed, value hidden)" in shown
    assert "fingerprint-" not in shown


@each_view
@pytest.mark.parametrize("nasty", NASTY, ids=lambda t: repr(t[:20]))
def test_no_character_acts_instead_of_being_seen(view: View, nasty: str) -> None:
    shown = view(with_every_text(rich_plan(), nasty))
    shown.encode("utf-8")
    hidden = re.findall(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u061c\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]", shown
    )
    assert hidden == []


def test_visible_text_keeps_its_length() -> None:
    for nasty in NASTY:
        assert len(visible(nasty)) == len(nasty)
    assert visible("a\x1b[0m\n\u202eé👩‍👩‍👧") == "a␛[0m␊\ufffdé👩‍👩‍👧"
    plan = rich_plan()
    assert visible_plan(plan) == plan


def test_folding_is_a_partition_in_reading_order() -> None:
    plan = rich_plan()
    blocks = fold(plan.changes)
    assert sorted(a for b in blocks for a in b.addresses) == [
        c.address for c in plan.changes if c.action is not Action.NO_OP
    ]
    ranks = [READING_ORDER.index(b.action) for b in blocks]
    assert ranks == sorted(ranks)
    assert set(READING_ORDER) == set(Action) - {Action.NO_OP}
    assert next(b for b in blocks if b.name == "llama-70b").hosts == tuple(f"gpu-{i}" for i in range(1, 13))


def with_detail(change: Change, **fields: Any) -> Change:
    return replace(change, detail=replace(change.detail, **fields))


def test_changes_that_differ_only_in_facts_of_their_host_are_folded() -> None:
    change = one("replace_argument", Action.REPLACE)
    there = moved_to(change, "there")
    same = [
        there,
        with_detail(there, generation=9),
        with_detail(there, serving=ContainerRef("other", "vllm-model-chat", "running", 8, "run9")),
    ]
    for other in same:
        assert len(fold([change, other])) == 1
    after = change.detail.after
    assert after is not None
    different = [
        moved_to(change, "there", "other"),
        replace(there, action=Action.CREATE),
        replace(there, reasons=()),
        with_detail(there, policy=replace(there.detail.policy, protect=True)),
        with_detail(there, after=change_spec(after, args={**after.server.args, "max_model_len": 1})),
        replace(there, fields=(*change.fields[:-1], replace(change.fields[-1], after=True))),
        with_detail(there, image=None),
        replace(there, cost=replace(there.cost, at_most=1)),
    ]
    for other in different:
        assert len(fold([change, other])) == 2
    one_and_true = [replace(change, fields=(FieldChange("x", None, v),)) for v in (1, True, 1.0)]
    assert len(fold(moved_to(c, f"h{i}") for i, c in enumerate(one_and_true))) == 3


def test_lists_are_cut_only_when_that_is_shorter() -> None:
    assert cut("abc", 2) == (["a", "b", "c"], 0)
    assert listed("abcd", 2) == "a, b and 2 more"
    assert listed("", 2) == ""


def test_the_terminal_folds_and_explains_each() -> None:
    shown = plan_text(rich_plan(), Ink(enabled=False), explain=True)
    assert "  -/+ gpu-1/llama-70b, gpu-2/llama-70b and 10 more   replace (stop first)   same change   " in shown
    assert "        all 12: gpu-1/llama-70b, " in shown
    assert shown.count("max_model_len    ") == 1
    for i in range(1, 13):
        assert f"gpu-{i}/04  stop vllm-model-llama-70b" in shown


def test_a_plan_that_cannot_be_applied_starts_with_its_refusal() -> None:
    assert refusal_text(case("create"), Ink(enabled=False)) == ""
    assert refusal_text(case("port_taken"), Ink(enabled=False)).startswith(
        "This plan has 1 error and cannot be applied"
    )
