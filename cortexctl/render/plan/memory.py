"""Memory in the views of a plan: a line per change, a line per shared GPU, and the unknown instances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cortexctl.dataclass import dataclass
from cortexctl.engines.launch_forecast import Forecast, StageForecast
from cortexctl.plan.capacity.forecast import GpuLine, InstanceForecast
from cortexctl.plan.model import Plan
from cortexctl.render.plan.folding import Block, cut, listed

WAYS = 4
"""Different forecasts that are shown for one change on many hosts."""
NAMED = 3
VERDICTS = {"refuses": "vLLM would refuse to start", "uncertain": "uncertain whether it starts"}
"""The verdicts that are shown; "starts" is not."""

WITHOUT_NUMBERS = {"heads", "length", "quantised split", "batch", "draft vocabulary"}
"""Rules of refusals before anything is loaded: there are no numbers."""


@dataclass(frozen=True, slots=True)
class Alike:
    """Instances of a block with the same forecast. `text` describes it, without their names."""

    text: str
    first: InstanceForecast
    addresses: tuple[str, ...]


def forecasts_by_address(plan: Plan) -> dict[str, InstanceForecast]:
    return {f.address: f for f in plan.forecasts}


def foreseen(block: Block, forecasts: Mapping[str, InstanceForecast]) -> list[Alike]:
    """The forecasts of a block's instances, equal ones together; unknown ones are left out."""
    same: dict[str, list[InstanceForecast]] = {}
    for address in block.addresses:
        forecast = forecasts.get(address)
        if forecast and forecast.after:
            same.setdefault(_text(forecast.before, forecast.after, len(forecast.gpus)), []).append(forecast)
    return [Alike(text, alike[0], tuple(f.address for f in alike)) for text, alike in same.items()]


def memory_lines(block: Block, forecasts: Mapping[str, InstanceForecast]) -> list[str]:
    """One line, or one for each different forecast."""
    forecast = foreseen(block, forecasts)
    whole = len(forecast) == 1 and len(forecast[0].addresses) == len(block.changes)
    shown, more = cut([a.text if whole else f"{listed(a.addresses, NAMED)}: {a.text}" for a in forecast], WAYS)
    return [*shown, *([f"and {more} more that differ"] if more else [])]


def _text(before: Forecast | None, after: Forecast, gpus: int) -> str:
    verdict = VERDICTS.get(after.verdict, "")
    if after.refusal and after.refusal.rule in WITHOUT_NUMBERS:
        return verdict
    at, per = after.decides, "each GPU" if gpus > 1 else "GPU"
    cache = f", {_cache(after, at):.1f} cache" if after.needed.value else ""
    sizes = f"{per} {at.weights.value:.1f} GiB weights{cache}, of {after.gpu_total:.1f}"
    return "; ".join(part for part in (_at_once(before, after), sizes, verdict) if part)


def _cache(forecast: Forecast, at: StageForecast) -> float:
    return max(0.0, at.available.value) if forecast.needed.value else 0.0


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


def at_once(forecast: Forecast) -> str:
    """How many requests of full length fit at a time, and how long they are."""
    return f"{times(forecast)} of {forecast.max_model_len:,} tokens" if forecast.needed.value else "no KV cache"


def times(forecast: Forecast) -> str:
    """4.2x; without a fraction from 100 on."""
    value = forecast.concurrency.value
    return f"{value:,.0f}x" if value >= 100 else f"{value:.1f}x"


def memory_summary(plan: Plan) -> list[str]:
    """GPUs that are shared or overcommitted; then the instances whose memory is not known, by reason."""
    return [
        *ledger_lines(line for line in plan.ledger if len(line.shares) > 1 or line.over),
        *unknown_memory_lines(plan.forecasts),
    ]


def unknown_memory_lines(forecasts: Iterable[InstanceForecast]) -> list[str]:
    """One line per reason, so that nothing is omitted silently: neither an instance, nor a part of its memory."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for forecast in forecasts:
        if forecast.after is None:
            reasons.setdefault(("memory not computed for", forecast.why_unknown), []).append(forecast.address)
        elif forecast.after.uncounted:
            reasons.setdefault(("memory of", forecast.after.uncounted), []).append(forecast.address)
    return [f"{what} {listed(addresses, NAMED)}: {why}" for (what, why), addresses in reasons.items()]


def unknown_number(plan: Plan) -> int:
    return sum(f.after is None for f in plan.forecasts)


def ledger_lines(lines: Iterable[GpuLine]) -> list[str]:
    """One line for the GPUs of a host that the same containers hold."""
    return [f"{line.host} {gpus}: {share_text(line)}" for gpus, line in alike_gpus(lines)]


def alike_gpus(lines: Iterable[GpuLine]) -> list[tuple[str, GpuLine]]:
    """("GPU 0, 1", one of them): the GPUs of a host with the same shares."""
    same: dict[tuple[object, ...], list[GpuLine]] = {}
    for line in lines:
        same.setdefault((line.host, line.total, line.shares), []).append(line)
    return [(f"GPU {', '.join(str(line.gpu) for line in alike)}", alike[0]) for alike in same.values()]


def share_text(line: GpuLine) -> str:
    shares = ", ".join(f"{s.holder} {s.taken:.1f}" for s in line.shares)
    over = ": more than the GPU has" if line.over else ""
    return f"{line.taken:.1f} of {line.total:.1f} GiB ({shares}){over}"


def parts_of(forecast: Forecast, at: StageForecast) -> list[tuple[str, float]]:
    """(name, GiB) of one GPU: weights, other, KV cache, free."""
    weights, cache = at.weights.value, _cache(forecast, at)
    free = max(0.0, forecast.gpu_total - weights - at.other - cache)
    return [("weights", weights), ("other", max(0.0, at.other)), ("KV cache", cache), ("free", free)]


def bars_of(forecast: InstanceForecast) -> list[tuple[str, Forecast, StageForecast]]:
    """(label, forecast, stage) of the bars to draw: before and after, by stage; a single set if both are the same."""
    if forecast.after is None:
        return []
    if forecast.before is None or forecast.before == forecast.after:
        return _bars("as before" if forecast.before else "", forecast.after)
    return [
        *_bars(f"before, {at_once(forecast.before)}", forecast.before),
        *_bars(f"after, {at_once(forecast.after)}", forecast.after),
    ]


def _bars(label: str, forecast: Forecast) -> list[tuple[str, Forecast, StageForecast]]:
    several = len(forecast.stages) > 1
    named = [", ".join(filter(None, (label, f"stage {n}" if several else ""))) for n in range(len(forecast.stages))]
    return [(name, forecast, at) for name, at in zip(named, forecast.stages, strict=True)]
