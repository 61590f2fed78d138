"""The HTML view in a real browser: it works, sends no requests, and fits a phone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

from cortexctl.plan.action import Action
from cortexctl.plan.model import Plan
from cortexctl.render.plan.folding import fold
from cortexctl.render.plan.html import plan_html
from tests.views import NASTY, case, large_plan, rich_plan, with_every_text

pytestmark = pytest.mark.browser
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM.exists(), "there is no Chromium: tools/browser.sh installs it"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@dataclass
class Opened:
    """A page, with all its messages and requests."""

    page: Page
    file: Path
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.file.as_uri()

    def dismiss(self, dialog: Dialog) -> None:
        self.messages.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def load(self, text: str) -> None:
        self.file.write_text(text, encoding="utf-8")
        self.page.goto(self.url)

    def assert_quiet(self) -> None:
        assert self.messages == []
        assert self.requests == [self.url]


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    opener = Open(browser, tmp_path)
    yield opener
    for context in browser.contexts:
        context.close()


@dataclass
class Open:
    browser: Browser
    folder: Path

    def __call__(self, plan: Plan, *, width: int = 1280, dark: bool = False, scripts: bool = True) -> Opened:
        context = self.browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
        )
        shown = Opened(context.new_page(), self.folder / "plan.html")
        shown.page.on("console", lambda message: shown.messages.append(message.text))
        shown.page.on("pageerror", lambda problem: shown.messages.append(str(problem)))
        shown.page.on("dialog", shown.dismiss)
        shown.page.on("request", lambda request: shown.requests.append(request.url))
        shown.load(plan_html(plan))
        return shown


def overflow(page: Page) -> int:
    """The width of the page beyond the window, in pixels."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def visible_blocks(page: Page) -> list[str]:
    return [t.split("\n")[0] for t in page.locator("details.change:visible > summary").all_inner_texts()]


def test_it_shows_each_change_with_its_details(opened: Open) -> None:
    plan = rich_plan()
    shown = opened(plan)
    page = shown.page
    assert (
        page.title()
        == "inference-prod / prod: 2 to remove, 12 to replace, 1 to restart, 1 to start, 1 to update, 2 to create, 1 to move, 1 forgotten, 12 unchanged"
    )
    blocks = fold(plan.changes)
    assert page.locator("details.change").count() == len(blocks) == page.locator("table.changes tbody tr").count()
    page.click("#expand")
    body = page.inner_text("body")
    for change in plan.changes:
        assert change.action is Action.NO_OP or change.address in body
    for text in (
        "(changed, value hidden)",
        "its endpoint goes away",
        "gpu-13",
        "it does not answer",
        "CX209",
        "--target llama-*",
    ):
        assert text in body
    assert page.locator("mark").all_inner_texts() == ['"vllm/vllm-openai:latest"', "32768"]
    shown.assert_quiet()


def test_folding_and_unfolding(opened: Open) -> None:
    shown = opened(rich_plan())
    page = shown.page
    number = page.locator("details.change").count()
    opened_now = page.locator("details.change[open]")
    assert opened_now.count() == 0
    page.locator("details.change > summary").nth(2).click()
    assert opened_now.count() == 1
    assert page.get_by_text("gpu-12/llama-70b", exact=True).is_visible()
    page.click("#expand")
    assert opened_now.count() == number
    page.click("#collapse")
    assert opened_now.count() == 0
    shown.assert_quiet()


def test_the_filter_shows_one_action_in_table_and_details(opened: Open) -> None:
    shown = opened(rich_plan())
    page = shown.page
    everything = page.locator("details.change").count()
    page.select_option("#filter", "replace")
    assert page.locator("details.change:visible").count() == 1
    assert page.locator("table.changes tbody tr:visible").count() == 1
    assert page.inner_text("#shown") == "12 shown"
    page.click("#expand")
    assert page.locator("details.change[open]").count() == 1, "what is not shown is left as it is"
    page.select_option("#filter", "")
    assert page.locator("details.change:visible").count() == everything
    assert page.inner_text("#shown") == ""
    shown.assert_quiet()


def test_the_keyboard_reaches_everything(opened: Open) -> None:
    page = opened(rich_plan()).page
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"filter", "expand", "collapse", "SUMMARY", "A"} <= set(reached)
    page.locator("details.change > summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.change[open]").count() == 1


def test_a_link_in_the_table_opens_its_change(opened: Open) -> None:
    page = opened(rich_plan()).page
    page.locator("table.changes a").nth(2).click()
    assert page.get_by_text("gpu-12/llama-70b", exact=True).is_visible()


def test_without_scripts_all_is_there_and_no_dead_button(opened: Open) -> None:
    shown = opened(rich_plan(), scripts=False)
    page = shown.page
    assert not page.locator("#tools").is_visible()
    page.locator("details.change > summary").nth(2).click()
    assert page.get_by_text("gpu-12/llama-70b", exact=True).is_visible()
    assert shown.requests == [shown.url]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 768, 1280])
@pytest.mark.parametrize(
    "plan",
    [rich_plan(), case("no_changes"), case("unreachable_host"), large_plan(60), case("memory_promised_twice")],
    ids=["rich", "none", "unreachable", "large", "memory"],
)
def test_nothing_sticks_out(opened: Open, plan: Plan, width: int, dark: bool) -> None:
    shown = opened(plan, width=width, dark=dark)
    assert overflow(shown.page) == 0
    shown.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert overflow(shown.page) == 0
    ground, ink = (shown.page.evaluate(f"getComputedStyle(document.body).{p}") for p in ("backgroundColor", "color"))
    assert (luminance(ground) < luminance(ink)) is dark
    shown.assert_quiet()


def luminance(colour: str) -> int:
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")[:3])


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("plan", [rich_plan(), case("memory_promised_twice")], ids=["rich", "memory"])
def test_all_text_has_contrast(opened: Open, plan: Plan, dark: bool) -> None:
    """WCAG AA: at least 4.5 to 1, for every text against its background."""
    page = opened(plan, dark=dark).page
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate(CONTRAST) == []


CONTRAST = """() => {
  const parts = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = (c) => {
    const [r, g, b] = parts(c).slice(0, 3).map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (parts(c).length < 4 || parts(c)[3] > 0) return c;
    }
    return "rgb(255,255,255)";
  };
  const bad = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || e.tagName === "SCRIPT") continue;
    const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) bad.push(e.tagName + "." + e.className + " " + e.textContent.slice(0, 30));
  }
  return [...new Set(bad)];
}"""


def test_memory_is_a_bar_with_text_beside_it(opened: Open) -> None:
    shown = opened(case("memory_before_and_after"))
    page = shown.page
    page.click("#expand")
    bars = page.locator("details.change svg.bar")
    assert bars.count() == 2
    assert "before, 11.6x of 8,192 tokens" in page.inner_text("body")
    widths = [bars.nth(1).locator("rect").nth(n).bounding_box() for n in range(4)]
    sizes = [box["width"] for box in widths if box]
    assert sizes[0] > sizes[2] > sizes[3] > sizes[1] > 0  # weights, cache, free, other: drawn to scale
    assert page.get_by_role("img", name="weights 32.9").count() == 2
    shown.assert_quiet()


@pytest.mark.parametrize("width", [320, 1280])
def test_nasty_text_does_nothing(opened: Open, width: int) -> None:
    """One page for all of them, for a page a text would take minutes."""
    plan = replace(rich_plan(), changes=rich_plan().changes[::4], steps=())
    shown = opened(with_every_text(plan, "x"), width=width)
    plain = shown.page.evaluate(STRUCTURE)
    for nasty in NASTY:
        shown.load(plan_html(with_every_text(plan, nasty)))
        assert shown.page.evaluate(STRUCTURE) == plain, nasty
        assert overflow(shown.page) == 0, nasty
    assert shown.messages == []
    assert set(shown.requests) == {shown.url}


STRUCTURE = "[...document.querySelectorAll('*')].map((e) => e.tagName + [...e.attributes].map((a) => a.name)).join()"


def test_the_policy_stops_what_gets_in_all_the_same(opened: Open) -> None:
    shown = opened(rich_plan())
    page = shown.page
    refused: list[str | None] = []
    page.on("requestfailed", lambda request: refused.append(request.failure))
    page.evaluate("""() => {
      document.body.insertAdjacentHTML("beforeend", "<img src='http://127.0.0.1:9/x.png'><b style='color:red' onclick='window.got = 1'>x</b>");
      const script = document.createElement("script");
      script.textContent = "window.got = 1";
      document.body.append(script);
      document.querySelector("b[style]").click();
    }""")
    assert page.evaluate("window.got") is None
    assert any("Content Security Policy" in text for text in shown.messages)
    assert refused == ["csp"]


def test_paper_shows_what_is_folded(opened: Open) -> None:
    page = opened(rich_plan(), scripts=False).page
    page.emulate_media(media="print")
    assert page.get_by_text("gpu-12/llama-70b", exact=True).is_visible()
    assert not page.locator("#tools").is_visible()
    assert page.pdf().startswith(b"%PDF")
