"""What the views of a plan say of memory: a line a change, a line a shared GPU, and what is not known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cortexctl.engines.launch_forecast import Forecast, StageForecast
from cortexctl.plan.capacity.forecast import GpuLine, InstanceForecast
from cortexctl.plan.model import Plan
from cortexctl.render.plan.folding import Block, cut, listed

WAYS = 4
"""Different forecasts that are written out of a change that is the same on many hosts."""
NAMED = 3
VERDICTS = {"refuses": "vLLM would refuse to start", "too close to call": "too close to call whether it starts"}
"""What is worth a word; one that starts is none."""

WITHOUT_NUMBERS = {"heads", "length", "quantised split", "batch"}
"""Refusals of launches that come to no numbers: nothing is loaded."""


@dataclass(frozen=True, slots=True)
class Alike:
    """Instances of a block of which the same is foreseen; `words` says it, without their names."""

    words: str
    first: InstanceForecast
    addresses: tuple[str, ...]


def forecasts_by_address(plan: Plan) -> dict[str, InstanceForecast]:
    return {f.address: f for f in plan.forecasts}


def foreseen(block: Block, forecasts: Mapping[str, InstanceForecast]) -> list[Alike]:
    """What is foreseen of a block's instances, alike ones together; nothing of those that are unknown."""
    same: dict[str, list[InstanceForecast]] = {}
    for address in block.addresses:
        found = forecasts.get(address)
        if found and found.after:
            same.setdefault(_words(found.before, found.after, len(found.gpus)), []).append(found)
    return [Alike(words, alike[0], tuple(f.address for f in alike)) for words, alike in same.items()]


def memory_lines(block: Block, forecasts: Mapping[str, InstanceForecast]) -> list[str]:
    """One line, or one for each of the hosts on which it differs."""
    found = foreseen(block, forecasts)
    whole = len(found) == 1 and len(found[0].addresses) == len(block.changes)
    shown, more = cut([a.words if whole else f"{listed(a.addresses, NAMED)}: {a.words}" for a in found], WAYS)
    return [*shown, *([f"and {more} more that differ"] if more else [])]


def _words(before: Forecast | None, after: Forecast, gpus: int) -> str:
    verdict = VERDICTS.get(after.verdict, "")
    if after.refusal and after.refusal.rule in WITHOUT_NUMBERS:
        return verdict
    at, per = after.decides, "each GPU" if gpus > 1 else "GPU"
    cache = f", {_cache(after, at):.1f} cache" if after.needed.value else ""
    sizes = f"{per} {at.weights.value:.1f} GiB weights{cache}, of {after.gpu_total:.1f}"
    return "; ".join(part for part in (_at_once(before, after), sizes, verdict) if part)


def _cache(found: Forecast, at: StageForecast) -> float:
    return max(0.0, at.available.value) if found.needed.value else 0.0


def _at_once(before: Forecast | None, after: Forecast) -> str:
    """How many requests of full length fit at a time, before and after."""
    if not after.needed.value:
        return "no KV cache"
    if before is None or not before.needed.value:
        return at_once(after)
    was, now, length = times(before), times(after), f"{after.max_model_len:,}"
    if before.max_model_len != after.max_model_len:
        return f"{was} of {before.max_model_len:,} tokens -> {now} of {length}"
    return f"{now} of {length} tokens, as before" if was == now else f"{was} -> {now} of {length} tokens"


def at_once(found: Forecast) -> str:
    """How many requests of full length fit at a time, and how long they are."""
    return f"{times(found)} of {found.max_model_len:,} tokens" if found.needed.value else "no KV cache"


def times(found: Forecast) -> str:
    """4.2x; without a fraction where it tells nothing."""
    value = found.concurrency.value
    return f"{value:,.0f}x" if value >= 100 else f"{value:.1f}x"


def memory_summary(plan: Plan) -> list[str]:
    """GPUs with several holders, or promised more than they have; then of whom memory is not known, by the reason."""
    return [
        *ledger_lines(line for line in plan.ledger if len(line.shares) > 1 or line.over),
        *unknown_memory_lines(plan.forecasts),
    ]


def unknown_memory_lines(forecasts: Iterable[InstanceForecast]) -> list[str]:
    """One line a reason. Nobody is left out without a word."""
    reasons: dict[str, list[str]] = {}
    for found in forecasts:
        if found.after is None:
            reasons.setdefault(found.why_unknown, []).append(found.address)
    return [f"memory not computed for {listed(who, NAMED)}: {why}" for why, who in reasons.items()]


def unknown_number(plan: Plan) -> int:
    return sum(f.after is None for f in plan.forecasts)


def ledger_lines(lines: Iterable[GpuLine]) -> list[str]:
    """One line for GPUs of a host that the same containers hold."""
    return [f"{line.host} {gpus}: {share_text(line)}" for gpus, line in alike_gpus(lines)]


def alike_gpus(lines: Iterable[GpuLine]) -> list[tuple[str, GpuLine]]:
    """("GPU 0, 1", one of them) for those of a host that are held alike."""
    same: dict[tuple[object, ...], list[GpuLine]] = {}
    for line in lines:
        same.setdefault((line.host, line.total, line.shares), []).append(line)
    return [(f"GPU {', '.join(str(line.gpu) for line in alike)}", alike[0]) for alike in same.values()]


def share_text(line: GpuLine) -> str:
    shares = ", ".join(f"{s.who} {s.taken:.1f}" for s in line.shares)
    over = ": more than there is" if line.over else ""
    return f"{line.taken:.1f} of {line.total:.1f} GiB ({shares}){over}"


def parts_of(found: Forecast, at: StageForecast) -> list[tuple[str, float]]:
    """(name, GiB) of one GPU: weights, other, KV cache, free."""
    weights, cache = at.weights.value, _cache(found, at)
    free = max(0.0, found.gpu_total - weights - at.other - cache)
    return [("weights", weights), ("other", max(0.0, at.other)), ("KV cache", cache), ("free", free)]


def bars_of(found: InstanceForecast) -> list[tuple[str, Forecast, StageForecast]]:
    """(label, forecast, stage) of the bars to draw: before and after, by stage; one of them where both are the same."""
    if found.after is None:
        return []
    if found.before is None or found.before == found.after:
        return _bars("as before" if found.before else "", found.after)
    return [
        *_bars(f"before, {at_once(found.before)}", found.before),
        *_bars(f"after, {at_once(found.after)}", found.after),
    ]


def _bars(label: str, found: Forecast) -> list[tuple[str, Forecast, StageForecast]]:
    several = len(found.stages) > 1
    named = [", ".join(filter(None, (label, f"stage {n}" if several else ""))) for n in range(len(found.stages))]
    return [(name, found, at) for name, at in zip(named, found.stages, strict=True)]
