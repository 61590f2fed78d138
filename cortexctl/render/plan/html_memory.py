"""Memory in the HTML view: bars with their words beside them, for a change and for the GPUs of a host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortexctl.engines.launch_forecast import Forecast, StageForecast
from cortexctl.plan.capacity.forecast import GpuLine, InstanceForecast
from cortexctl.plan.model import Plan
from cortexctl.render.fit.svg import bar_svg
from cortexctl.render.plan.folding import Block, listed
from cortexctl.render.plan.memory import (
    NAMED,
    VERDICTS,
    WITHOUT_NUMBERS,
    Alike,
    alike_gpus,
    bars_of,
    foreseen,
    parts_of,
)

_CLASSES = {"weights": "weights", "other": "rest", "KV cache": "cache", "free": "free"}
_SEEN = 0.05
"""GiB; less is none."""
_MORE = ": more than there is"
_SHARERS = 6
"""Colours for holders of a GPU; then they begin again."""


def memory_of(block: Block, forecasts: Mapping[str, InstanceForecast]) -> list[dict[str, Any]]:
    """What is foreseen of a block: the same for all of its instances, or several."""
    found = foreseen(block, forecasts)
    whole = len(found) == 1 and len(found[0].addresses) == len(block.changes)
    return [_alike(alike, "" if whole else listed(alike.addresses, NAMED)) for alike in found]


def _alike(alike: Alike, who: str) -> dict[str, Any]:
    after = alike.first.after
    refusal = after.refusal if after else None
    counts = refusal is None or refusal.rule not in WITHOUT_NUMBERS
    return {
        "who": who,
        "words": alike.words,
        "bad": bool(after and after.verdict in VERDICTS),
        "bars": [_bar(*each) for each in bars_of(alike.first)] if counts else [],
        "refusal": refusal.text if refusal else "",
        "notes": after.notes if after else (),
        "range": _range(after) if after and counts else "",
    }


def _bar(label: str, found: Forecast, at: StageForecast) -> dict[str, Any]:
    parts = [(_CLASSES[name], name, size) for name, size in parts_of(found, at) if size >= _SEEN]
    over = sum(size for _, _, size in parts) > found.gpu_total + _SEEN
    said = ", ".join(f"{name} {size:.1f}" for _, name, size in parts)
    return {
        "label": label,
        "svg": bar_svg([(kind, size) for kind, _, size in parts], f"GiB on one GPU: {said}"),
        "parts": [(kind, f"{name} {size:.1f}") for kind, name, size in parts],
        "total": f"of {found.gpu_total:.1f} GiB" + (f" ({found.gpu})" if found.gpu else "") + _MORE * over,
        "over": over,
    }


def _range(found: Forecast) -> str:
    """How far off the estimate may be; empty where nothing is estimated."""
    tokens, at_once = found.tokens, found.concurrency
    if tokens.low == tokens.high:
        return ""
    return (
        f"{int(tokens.value):,} KV cache tokens ({int(tokens.low):,} to {int(tokens.high):,}), "
        f"{at_once.low:.1f} to {at_once.high:.1f} requests at once"
    )


def ledgers(plan: Plan) -> list[dict[str, Any]]:
    """By host: its GPUs and who holds them."""
    hosts = dict.fromkeys(line.host for line in plan.ledger)
    return [
        {"host": host, "lines": [_gpus(n, line) for n, line in alike_gpus(x for x in plan.ledger if x.host == host)]}
        for host in hosts
    ]


def _gpus(names: str, line: GpuLine) -> dict[str, Any]:
    shares = [(f"share{i % _SHARERS}", f"{s.who} {s.taken:.1f}", s.taken) for i, s in enumerate(line.shares)]
    free = max(0.0, line.total - line.taken)
    shares += [("free", f"free {free:.1f}", free)] if free >= _SEEN else []
    return {
        "label": names,
        "svg": bar_svg([(kind, size) for kind, _, size in shares], f"{names}: GiB by container"),
        "parts": [(kind, words) for kind, words, _ in shares],
        "total": f"{line.taken:.1f} of {line.total:.1f} GiB" + _MORE * line.over,
        "over": line.over,
    }
