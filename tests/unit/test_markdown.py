"""The comment: foreign text starts nothing in it, and it fits."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from cortexctl.cli.show import LEAST_BYTES as CLI_LEAST_BYTES
from cortexctl.plan.planfile import plan_to_json
from cortexctl.render.markdown_text import clip, code, fenced, marker, text
from cortexctl.render.plan.folding import fold
from cortexctl.render.plan.markdown import LEAST_BYTES, LEVELS, ROWS, _footer, _head, plan_markdown
from cortexctl.render.sanitise import visible_plan
from tests.markdown import COMMONMARK, assert_fences
from tests.views import NASTY, case, large_plan, moved_to, rich_plan, texts_of, with_every_text, with_text_at

ROOMY = 50_000_000
REFERENCES = re.compile(r"[@#!~%$&^]\w|://|[wW]{3}\.|:[a-z0-9_+-]+:|[A-Z]-\d|\b[0-9a-f]{7,40}\b")
"""The texts outside code that code hosts turn into references."""


UNREACHABLE = "1 host unreachable and left out"


class Reader(HTMLParser):
    """Tags with the names of their attributes, comments, and the text outside code."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.comments: list[str] = []
        self.prose = ""
        self._code = 0
        self.feed(COMMONMARK.render(markdown))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(" ".join([tag, *(name for name, _ in attrs)]))
        self._code += tag in {"code", "pre"}

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")
        self._code -= tag in {"code", "pre"}

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        self.prose += "" if self._code else data


def check(shown: str, like: str) -> None:
    """Both texts have the same structure, and the prose of the first has no references."""
    reader, expected = Reader(shown), Reader(like)
    assert reader.tags == expected.tags
    assert len(reader.comments) == 1
    assert not {t for t in reader.tags if t.split()[0] in {"a", "img", "script", "input", "b", "h1", "h2", "hr", "del"}}
    assert REFERENCES.findall(reader.prose.replace("cortexctl 0", "")) == []
    rows = [[line.count("|") for line in lines] for lines in tables(shown)]
    assert all(len(set(row)) == 1 for row in rows)
    assert_fences(shown)


def tables(shown: str) -> list[list[str]]:
    return [part.splitlines() for part in shown.split("\n\n") if part.startswith("| ")]


@pytest.mark.parametrize("nasty", NASTY, ids=lambda t: repr(t[:20]))
def test_the_same_nasty_text_everywhere(nasty: str) -> None:
    plan = rich_plan()
    check(
        plan_markdown(with_every_text(plan, nasty), max_bytes=ROOMY),
        plan_markdown(with_every_text(plan, "x"), max_bytes=ROOMY),
    )
    assert len(plan_markdown(with_every_text(plan, nasty), max_bytes=LEAST_BYTES).encode()) <= LEAST_BYTES


SMALL = replace(
    rich_plan(), changes=tuple(c for c in rich_plan().changes if c.host in {"gpu-3", "gpu-4", "gpu-5"}), steps=()
)


@pytest.mark.parametrize("position", range(len(texts_of(SMALL))))
def test_nasty_text_in_each_place(position: int) -> None:
    nasty = "".join(t for t in NASTY if len(t) < 100)
    check(
        plan_markdown(with_text_at(SMALL, position, nasty), max_bytes=ROOMY),
        plan_markdown(with_text_at(SMALL, position, "x"), max_bytes=ROOMY),
    )


def test_fences_are_longer_than_the_fences_in_their_text() -> None:
    assert fenced(["a"], "diff") == "```diff\na\n```"
    assert fenced(["a ```` b", "~~~~~~"], "").splitlines()[0] == "`" * 7


def test_code_spans_and_what_cannot_be_one() -> None:
    assert code("gpu-1/llama-70b") == "`gpu-1/llama-70b`"
    assert code("@org/team #1 <b>") == "`@org/team #1 <b>`"
    assert code("a`b") == "<code>a&#96;b</code>"
    assert code("a|b") == "<code>a&#124;b</code>"


def test_plain_text_stays_unchanged() -> None:
    plain = "gpu-1: port 8001 is used by the container grafana; choose another (or none), e.g. 8002"
    assert text(plain) == plain
    assert text("@a #1 https://x") == "@&#8203;a #&#8203;1 https:&#8203;//x"


def test_the_marker_is_one_safe_comment_and_always_the_same() -> None:
    assert marker(stack="inference-prod", env="prod") == "<!-- cortexctl:plan stack=inference-prod env=prod -->"
    hostile = marker(stack="a --> b", env="c--d-")
    assert hostile.count("-->") == 1
    assert "--" not in hostile[4:-3]
    assert " -->" in hostile
    long = [marker(stack="x" * 5000 + end, env="") for end in "ab"]
    assert long[0] != long[1]
    assert all(len(m) < 300 for m in long)


def test_clipping_cuts_no_character() -> None:
    family = "👩‍👩‍👧‍👦"
    for most in range(1, 30):
        cut, _, rest = clip(family * 6, most).partition("…")
        assert rest.startswith(" (")
        assert most < 14 or cut == family * (len(cut) // len(family)), most
    assert clip("e\u0301" * 10, 11).startswith("e\u0301" * 5 + "…")
    assert clip("abc", 3) == "abc"


def test_the_footer_names_the_plan() -> None:
    plan = case("replace_argument")
    digest = json.loads(plan_to_json(plan))["digest"]
    assert f"plan digest `{digest[:16]}`" in plan_markdown(plan)
    assert "next: `cortexctl apply`" in plan_markdown(plan)
    assert "next: `cortexctl apply p.json`" in plan_markdown(plan, next_step="cortexctl apply p.json")
    for name in ("no_changes", "port_taken"):
        assert "next:" not in plan_markdown(case(name))


def test_the_heads_up_lists_the_outages() -> None:
    shown = plan_markdown(rich_plan())
    line = next(line for line in shown.splitlines() if line.startswith("**Heads-up:**"))
    for item in (
        "refused: 1 error below",
        "`llama-70b` goes down on 12 hosts for about 3m30s, at most",
        "`old-embedder` is removed from `gpu-3`",
        f"{UNREACHABLE}: `gpu-13`",
        "a partial plan: --target llama-&#42;",
    ):
        assert item in line


def test_a_long_comment_is_cut_to_its_budget() -> None:
    plan = large_plan(150)
    sizes = []
    for budget in (LEAST_BYTES, 10_000, 20_000, 40_000, 60_000, 100_000):
        shown = plan_markdown(plan, max_bytes=budget)
        sizes.append(len(shown.encode()))
        assert sizes[-1] <= budget
        assert_fences(shown)
        assert "<sub>plan digest" in shown
    assert all(a < b for a, b in pairwise(sizes))
    assert "more that do not fit here" in plan_markdown(plan, max_bytes=LEAST_BYTES)
    assert "in the job's output" in plan_markdown(plan)
    assert plan_markdown(plan, max_bytes=200_000).count("<details>") == 150
    assert plan_markdown(plan, max_bytes=200_000).index("remove</summary>") < plan_markdown(
        plan, max_bytes=200_000
    ).index("create</summary>")


def test_a_table_of_many_rows_counts_by_action() -> None:
    many = plan_markdown(large_plan(ROWS + 1))
    assert "| 🔴 | remove | 57 | 29 | 2 |" in many
    assert "| | Where |" not in many
    assert "| | Where |" in plan_markdown(large_plan(ROWS))


def test_too_small_a_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        plan_markdown(case("create"), max_bytes=LEAST_BYTES - 1)
    assert CLI_LEAST_BYTES == LEAST_BYTES


@pytest.mark.parametrize("worst", ["~_", "#a", "|", "~𐐀", "👩‍👩‍👧‍👦"])
def test_the_worst_plan_fits_into_the_least_budget(worst: str) -> None:
    """Characters that take the most bytes when they are escaped, in names that are all different."""
    long = worst * 200
    plan = with_every_text(rich_plan(), long)
    changes = [
        replace(moved_to(c, f"{i}{long}", f"{i}{long}"), model=f"{i}{long}") for i, c in enumerate(plan.changes * 5)
    ]
    plan = replace(plan, hosts=plan.hosts * 50, changes=tuple(changes), diagnostics=plan.diagnostics * 100)
    shown = plan_markdown(plan, max_bytes=LEAST_BYTES, next_step=long)
    assert len(shown.encode()) <= LEAST_BYTES
    assert_fences(shown)
    always = "\n\n".join(_head(visible_plan(plan), fold(plan.changes), LEVELS[-1])) + _footer(
        plan, "0" * 64, long, LEVELS[-1]
    )
    assert len(always.encode()) < LEAST_BYTES - 500, "numbers may have more digits"
