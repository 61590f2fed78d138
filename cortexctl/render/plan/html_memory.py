"""Memory in the HTML view: bars with a legend, for a change and for the GPUs of a host."""

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
_SMALLEST = 0.05
"""GiB; smaller parts are not drawn."""
_OVER = ": more than the GPU has"
_SHARERS = 6
"""Number of colours for the holders of a GPU; after that they repeat."""


def memory_of(block: Block, forecasts: Mapping[str, InstanceForecast]) -> list[dict[str, Any]]:
    """The forecasts of a block: one if they are the same for all instances, else several."""
    forecast = foreseen(block, forecasts)
    whole = len(forecast) == 1 and len(forecast[0].addresses) == len(block.changes)
    return [_alike(alike, "" if whole else listed(alike.addresses, NAMED)) for alike in forecast]


def _alike(alike: Alike, addresses: str) -> dict[str, Any]:
    after = alike.first.after
    refusal = after.refusal if after else None
    counts = refusal is None or refusal.rule not in WITHOUT_NUMBERS
    return {
        "addresses": addresses,
        "text": alike.text,
        "bad": bool(after and after.verdict in VERDICTS),
        "bars": [_bar(*each) for each in bars_of(alike.first)] if counts else [],
        "refusal": refusal.text if refusal else "",
        "notes": after.notes if after else (),
        "range": _range(after) if after and counts else "",
    }


def _bar(label: str, forecast: Forecast, at: StageForecast) -> dict[str, Any]:
    parts = [(_CLASSES[name], name, size) for name, size in parts_of(forecast, at) if size >= _SMALLEST]
    over = sum(size for _, _, size in parts) > forecast.gpu_total + _SMALLEST
    sizes = ", ".join(f"{name} {size:.1f}" for _, name, size in parts)
    return {
        "label": label,
        "svg": bar_svg([(kind, size) for kind, _, size in parts], f"GiB on one GPU: {sizes}"),
        "parts": [(kind, f"{name} {size:.1f}") for kind, name, size in parts],
        "total": f"of {forecast.gpu_total:.1f} GiB" + (f" ({forecast.gpu})" if forecast.gpu else "") + _OVER * over,
        "over": over,
    }


def _range(forecast: Forecast) -> str:
    """The range of the estimate; empty if nothing is estimated."""
    tokens, at_once = forecast.tokens, forecast.concurrency
    if tokens.low == tokens.high:
        return ""
    return (
        f"{int(tokens.value):,} KV cache tokens ({int(tokens.low):,} to {int(tokens.high):,}), "
        f"{at_once.low:.1f} to {at_once.high:.1f} requests at once"
    )


def ledgers(plan: Plan) -> list[dict[str, Any]]:
    """By host: its GPUs and their holders."""
    hosts = dict.fromkeys(line.host for line in plan.ledger)
    return [
        {"host": host, "lines": [_gpus(n, line) for n, line in alike_gpus(x for x in plan.ledger if x.host == host)]}
        for host in hosts
    ]


def _gpus(names: str, line: GpuLine) -> dict[str, Any]:
    shares = [(f"share{i % _SHARERS}", f"{s.holder} {s.taken:.1f}", s.taken) for i, s in enumerate(line.shares)]
    free = max(0.0, line.total - line.taken)
    shares += [("free", f"free {free:.1f}", free)] if free >= _SMALLEST else []
    return {
        "label": names,
        "svg": bar_svg([(kind, size) for kind, _, size in shares], f"{names}: GiB by container"),
        "parts": [(kind, text) for kind, text, _ in shares],
        "total": f"{line.taken:.1f} of {line.total:.1f} GiB" + _OVER * line.over,
        "over": line.over,
    }
