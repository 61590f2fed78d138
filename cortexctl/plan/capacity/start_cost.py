"""The time of a start that is not recorded: the range of the engine's forecast, and of the stop before it.

Past starts on the host narrow it: by the rates at which they read their weights, or else by their whole time. The bound
of a change is not this: it stays the gate's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import median

from cortexctl.engines.disk_rate import disk_rate
from cortexctl.engines.launch_forecast import Forecast, StartForecast
from cortexctl.engines.registry import engine_of
from cortexctl.model_files.files import is_below, source_of
from cortexctl.observed.observation import Observed
from cortexctl.plan.capacity.forecast import InstanceForecast
from cortexctl.plan.model import Change, TimeRange
from cortexctl.text.units import GIB


def with_forecasts(
    changes: Iterable[Change], forecasts: Iterable[InstanceForecast], observed: Observed
) -> Iterator[Change]:
    """The changes, with the range of a forecast for each start of a new container without a past one."""
    by_address = {f.address: f for f in forecasts}
    for change in changes:
        foreseen = by_address.get(change.address)
        start = foreseen.after.start if foreseen and foreseen.after and foreseen.after.verdict != "refuses" else None
        if foreseen is None or start is None or change.cost.expected is not None:
            yield change
        else:
            forecast = _range(change, start, foreseen.before, observed)
            yield replace(change, cost=replace(change.cost, forecast=forecast))


def _range(change: Change, start: StartForecast, before: Forecast | None, observed: Observed) -> TimeRange:
    """With the time that the gate watches a started server. Without a recorded rate, a replaced container's past starts
    give that of the disk, if their forecast is known, too.
    """
    record = observed.record(change.host)
    applied, old = record.applied.get(change.address), change.detail.before
    watched = change.detail.policy.gate.stable_for
    past = [s.seconds for s in applied.starts if old and s.model == old.server.model] if applied else []
    by, weights = len(record.rates), start.weights
    if not by and past and before and before.start and before.start.weights.value:
        by, weights = len(past), start.weights_like(before.start, median(past) - watched)
    total = start.total(weights)
    low = start.total(weights, is_first=False).low if _may_keep_compiled(change) else total.low
    soonest, latest = _stop(change, applied.stops if applied else ())
    download = _download(change, start.weights.value * disk_rate(record.rates).value, observed)
    return TimeRange(round(low + watched + soonest), round(total.high + watched + latest), by, download)


def _download(change: Change, read_gib: float, observed: Observed) -> int:
    """Bytes of weights that are known from the Hub only."""
    source = source_of(change.host, change.detail.after) if change.detail.after else ""
    files = None if isinstance(source, str) else observed.model_files.get(source.key)
    return round(read_gib * GIB) if files and files.from_hub else 0


def _stop(change: Change, past: Sequence[float]) -> tuple[float, float]:
    """The least and the most seconds until the old container has stopped: as recorded, or else up to its SIGKILL."""
    old = change.detail.before
    if not change.cost.down or old is None:
        return 0, 0
    return (min(past), max(past)) if past else (0, old.stop_timeout)


def _may_keep_compiled(change: Change) -> bool:
    """Whether the new container may have the cache of compiled graphs of an earlier one: it is on a mount."""
    after = change.detail.after
    if after is None:
        return False
    contract = engine_of(after.server).contract
    cache = after.container.env.get(contract.compile_cache_variable) or contract.compile_cache
    return any(is_below(cache, mount.target) for mount in after.container.mounts)
