"""The bars of the text view as one SVG without scripts or fonts; or a single bar, for a page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from cortexctl.engines.vllm.memory.budget import Budget
from cortexctl.render.fit.terminal import parts_of

_COLOURS = ("#3b6fb6", "#d8a23a", "#4d9a5f", "#e6e6e6")
_NAMES = ("weights", "other", "KV cache", "free")
WIDTH, ROW, LEFT = 640, 34, 150


def budgets_svg(budgets: Sequence[tuple[str, Budget]]) -> str:
    """One bar per stage of every (name, budget). Every part has its size as a tooltip and for screen readers."""
    rows = [(name, budget, i) for name, budget in budgets for i in range(len(budget.stages))]
    height = ROW * len(rows) + 26
    drawn = [_row(n, *row) for n, row in enumerate(rows)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="GPU memory by model" font-family="sans-serif" font-size="12">'
        f"{''.join(drawn)}{_legend(height - 10)}</svg>"
    )


def bar_svg(parts: Sequence[tuple[str, float]], label: str) -> str:
    """One bar without a legend, for a page that has its own texts and colours. `parts`: (class, GiB)."""
    total = sum(size for _, size in parts) or 1.0
    drawn, x = [], 0.0
    for kind, size in parts:
        width = 1000 * size / total
        drawn.append(f'<rect class="{escape(kind)}" x="{x:.1f}" y="0" width="{width:.1f}" height="10"></rect>')
        x += width
    return (
        f'<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
        f"{''.join(drawn)}</svg>"
    )


def _row(n: int, name: str, budget: Budget, stage: int) -> str:
    parts = parts_of(budget, stage)
    total = sum(parts) or 1.0
    y, x = n * ROW + 4, float(LEFT)
    label = name if len(budget.stages) == 1 else f"{name} stage {stage}"
    drawn = [f'<text x="0" y="{y + 15}">{escape(_short(label))}<title>{escape(label)}</title></text>']
    for part, colour, kind in zip(parts, _COLOURS, _NAMES, strict=True):
        width = (WIDTH - LEFT) * part / total
        drawn.append(
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="22" fill="{colour}">'
            f"<title>{kind}: {part:.2f} GiB</title></rect>"
        )
        x += width
    return "".join(drawn)


def _short(text: str) -> str:
    return text if len(text) <= 22 else f"{text[:21]}…"


def _legend(y: int) -> str:
    drawn = []
    for i, (colour, name) in enumerate(zip(_COLOURS, _NAMES, strict=True)):
        x = LEFT + i * 90
        drawn.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
        drawn.append(f'<text x="{x + 14}" y="{y}">{name}</text>')
    return "".join(drawn)
