"""Memory of the containers that a plan creates, and of those that they replace. Pure, as the plan is.

Nothing is guessed: an instance with unknown model files, GPU or arguments gets the reason instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cortexctl.dataclass import dataclass
from cortexctl.desired.measured_card import MeasuredCard
from cortexctl.desired.stack import Host
from cortexctl.engines.companions import NOT_READ, FilesBySource, companion_files
from cortexctl.engines.gpu_models import gpu_on_host
from cortexctl.engines.gpu_table import Gpu, MeasuredConstants
from cortexctl.engines.launch_forecast import Forecast, Unknown
from cortexctl.engines.registry import engine_of
from cortexctl.instance.spec import Spec
from cortexctl.model_files.files import ModelFiles, source_of
from cortexctl.plan.capacity.forecast import InstanceForecast
from cortexctl.text.units import GIB

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Making:
    """A container that will be created, with the one that it replaces."""

    address: str
    host: str
    after: Spec
    before: Spec | None = None


class Forecaster:
    """Forecasts from the known facts about models' files. Equal launches, as on many hosts, are computed once.

    `rates`: by host, the GiB/s at which past starts read their weights.
    """

    def __init__(self, files: FilesBySource, rates: Mapping[str, Sequence[float]] | None = None) -> None:
        self._files, self._rates = files, rates or {}
        self._texts: dict[int, str] = {}
        self._known: dict[tuple[object, ...], Forecast | Unknown] = {}

    def of(self, spec: Spec, host: Host) -> Forecast:
        """The forecast of one launch. Raises Unknown."""
        gpu = gpu_of_host(host, spec.server.version)
        source = source_of(host.name, spec)
        if isinstance(source, str):
            raise Unknown(source)
        files = self._files.get(source.key, NOT_READ)
        if files.problem:
            raise Unknown(files.problem)
        companions = companion_files(host.name, spec, self._files)
        rates = tuple(self._rates.get(host.name, ()))
        key = (
            gpu,
            rates,
            (spec.server.engine, spec.server.version),
            _text([spec.server.args, spec.server.extra_args, spec.container.env]),
            self._text_of(files),
            tuple((name, self._text_of(beside)) for name, beside in companions.items()),
        )
        if key not in self._known:
            try:
                engine = engine_of(spec.server)
                self._known[key] = engine.forecast(spec.server, spec.container.env, files, gpu, companions, rates)
            except Unknown as why:
                self._known[key] = why
        known = self._known[key]
        if isinstance(known, Unknown):
            raise known
        return known

    def _text_of(self, files: ModelFiles) -> str:
        if files.problem:
            return files.problem
        if id(files) not in self._texts:
            self._texts[id(files)] = _text([files.config, files.tensors, files.total])
        return self._texts[id(files)]


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def foresee(
    makings: Iterable[Making], hosts: Mapping[str, Host], forecaster: Forecaster
) -> tuple[InstanceForecast, ...]:
    """One forecast for each container with GPUs, in order."""
    return tuple(_of_instance(m, hosts[m.host], forecaster) for m in makings if m.after.container.gpus)


def _of_instance(making: Making, host: Host, forecaster: Forecaster) -> InstanceForecast:
    forecast = InstanceForecast(making.address, making.host, making.after.container.gpus)
    try:
        forecast = replace(forecast, after=forecaster.of(making.after, host))
    except Unknown as why:
        forecast = replace(forecast, why_unknown=str(why))
    if making.before is None or not making.before.container.gpus:
        return forecast
    try:
        return replace(forecast, before=forecaster.of(making.before, host))
    except Unknown as why:
        return replace(forecast, why_unknown_before=str(why))


def gpu_of_host(host: Host, release: str | None) -> Gpu:
    """A GPU of the host, with the constants that the stack has for this release. Raises Unknown."""
    if not host.gpu_name and not host.gpu_memory:
        raise Unknown(f"the stack does not declare the GPUs of {host.name} (hosts.{host.name}.gpus)")
    try:
        gpu = gpu_on_host(host.gpu_name, host.gpu_memory, host.gpu_capability)
    except ValueError as cause:
        raise Unknown(str(cause)) from None
    card = next((c for c in host.measured_cards if c.release == release), None)
    return with_constants(gpu, card) if card else gpu


def with_constants(gpu: Gpu, card: MeasuredCard) -> Gpu:
    """The GPU as a start showed it, where it differs from the table of cards."""
    measured = MeasuredConstants(
        _in(GIB, card.free), _in(GIB, card.outside_torch), _in(GIB, card.workspace), _in(MIB, card.graph)
    )
    l2_mib = _in(MIB, card.l2)
    return replace(
        gpu,
        multiprocessors=card.multiprocessors or gpu.multiprocessors,
        l2_mib=gpu.l2_mib if l2_mib is None else l2_mib,
        measured=measured,
    )


def _in(unit: int, size: int | None) -> float | None:
    return None if size is None else size / unit
