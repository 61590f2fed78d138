"""Room on GPUs: the forecast for a plan's changes, or for a whole stack, with its diagnostics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic
from cortexctl.engines.companions import FilesBySource
from cortexctl.observed.observation import Observed
from cortexctl.plan.action import Action
from cortexctl.plan.capacity.forecast import GpuLine, InstanceForecast
from cortexctl.plan.capacity.gpu_ledger import Holding, ledger, others_on
from cortexctl.plan.capacity.memory_rules import check_forecasts, check_ledger
from cortexctl.plan.capacity.plan_memory import Forecaster, Making, foresee
from cortexctl.plan.capacity.start_cost import with_forecasts
from cortexctl.plan.model import Change


@dataclass(frozen=True, slots=True)
class Room:
    """Sorted by address, and by host and GPU."""

    forecasts: tuple[InstanceForecast, ...] = ()
    ledger: tuple[GpuLine, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    changes: tuple[Change, ...] = ()
    """The changes of the plan, with the time of each start that has no past one."""


def room_for(
    desired: Desired,
    observed: Observed,
    changes: Sequence[Change],
    everything: Sequence[Change],
    anyway: Sequence[str] = (),
) -> Room:
    """For the containers that `changes` create. `everything` is the plan without its selection: unselected containers
    stay. `anyway`: addresses that are launched whatever the forecast.
    """
    making = [c for c in changes if c.action in {Action.CREATE, Action.REPLACE}]
    makings = [Making(c.address, c.host, c.detail.after, c.detail.before) for c in making if c.detail.after]
    stays = {id(c) for c in everything} - {id(c) for c in changes}
    holdings: dict[str, list[Holding]] = {}
    for host in sorted({m.host for m in makings if m.after.container.gpus}):
        here = [c for c in everything if c.host == host]
        holdings[host] = [h for c in here for h in _holds(c, stays=id(c) in stays)] + others_on(desired, observed, host)
    rates = {host: record.rates for host, record in observed.records.items()}
    room = _room(desired, Forecaster(observed.model_files, rates), makings, holdings, anyway)
    return replace(room, changes=tuple(with_forecasts(changes, room.forecasts, observed)))


def _holds(change: Change, *, stays: bool) -> list[Holding]:
    """The GPUs of an instance after the plan is carried out."""
    if change.action is Action.REMOVE and not stays:
        return []
    spec = change.detail.before if stays else change.detail.after or change.detail.before
    return [Holding(change.address, spec)] if spec and spec.container.gpus and not change.only_tidies else []


def room_in_stack(desired: Desired, files: FilesBySource) -> Room:
    """For all its instances, on empty hosts."""
    makings = [Making(i.address, i.host, i.spec) for i in desired.instances]
    holdings: dict[str, list[Holding]] = {}
    for instance in desired.instances:
        if instance.spec.container.gpus:
            holdings.setdefault(instance.host, []).append(Holding(instance.address, instance.spec))
    return _room(desired, Forecaster(files), makings, holdings)


def _room(
    desired: Desired,
    forecaster: Forecaster,
    makings: Sequence[Making],
    holdings: dict[str, list[Holding]],
    anyway: Sequence[str] = (),
) -> Room:
    hosts = {h.name: h for h in desired.hosts}
    foreseen = foresee(sorted(makings, key=lambda m: m.address), hosts, forecaster)
    lines = tuple(
        line for host in sorted(holdings) for line in ledger(hosts[host], holdings[host], foreseen, forecaster)
    )
    diagnostics = (*check_forecasts(foreseen, desired, anyway), *check_ledger(lines, desired))
    return Room(foreseen, tuple(lines), diagnostics)
