"""Memory of the containers that a plan makes, and of those whose place they take. Pure, as the plan is.

Nothing is guessed: an instance whose model's files, GPU or arguments are not known has the reason instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cortexctl.desired.stack import Host
from cortexctl.engines.vllm.command.effective import effective
from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.config import UnknownModel
from cortexctl.engines.vllm.memory.estimate import Estimate
from cortexctl.engines.vllm.memory.gpu_models import Gpu, gpu_on_host
from cortexctl.engines.vllm.memory.headers import Headers, stage_bytes
from cortexctl.engines.vllm.memory.model_facts import Facts, read_facts
from cortexctl.engines.vllm.memory.stage import BudgetInputs, StageBudget
from cortexctl.engines.vllm.memory.tensors import Split
from cortexctl.engines.vllm.memory.weights import Stage, WeightOptions, weight_bytes
from cortexctl.instance.spec import Spec
from cortexctl.model_files.files import ModelFiles, source_of
from cortexctl.plan.capacity.forecast import (
    Forecast,
    ForecastRefusal,
    InstanceForecast,
    StageForecast,
)

Files = Mapping[tuple[str, str], ModelFiles]
"""By host and a source's name."""
NOT_READ = ModelFiles(problem="its config.json was not read")
FITTED = {"one request", "no memory", "auto length"}
"""Rules that depend on what is estimated; the others follow from config and arguments alone."""
_DIGITS = 4
"""Of a GiB: a tenth of a MiB."""


class Unknown(ValueError):
    """Why an instance's memory is not computed, in a sentence's words and without its name."""


@dataclass(frozen=True, slots=True)
class Making:
    """A container that will be made, with the one whose place it takes."""

    address: str
    host: str
    after: Spec
    before: Spec | None = None


class Forecaster:
    """Forecasts by what is known of models' files. Launches that are alike, as on many hosts, are computed once."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._texts: dict[int, str] = {}
        self._known: dict[tuple[object, ...], Forecast | Unknown] = {}

    def of(self, spec: Spec, host: Host) -> Forecast:
        """Of one launch. Raises Unknown."""
        gpu = gpu_of_host(host)
        source = source_of(host.name, spec)
        if isinstance(source, str):
            raise Unknown(source)
        files = self._files.get(source.key, NOT_READ)
        if files.problem:
            raise Unknown(files.problem)
        key = (
            gpu,
            spec.server.version,
            _text([spec.server.args, spec.server.extra_args, spec.container.env]),
            self._text_of(files),
        )
        if key not in self._known:
            try:
                self._known[key] = _shown(_budget(spec, gpu, files), spec)
            except Unknown as why:
                self._known[key] = why
        found = self._known[key]
        if isinstance(found, Unknown):
            raise found
        return found

    def _text_of(self, files: ModelFiles) -> str:
        if id(files) not in self._texts:
            self._texts[id(files)] = _text([files.config, files.tensors, files.total])
        return self._texts[id(files)]


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def foresee(
    makings: Iterable[Making], hosts: Mapping[str, Host], forecaster: Forecaster
) -> tuple[InstanceForecast, ...]:
    """Of each that has GPUs, in order."""
    return tuple(_of_instance(m, hosts[m.host], forecaster) for m in makings if m.after.container.gpus)


def _of_instance(making: Making, host: Host, forecaster: Forecaster) -> InstanceForecast:
    found = InstanceForecast(making.address, making.host, making.after.container.gpus)
    try:
        found = replace(found, after=forecaster.of(making.after, host))
    except Unknown as why:
        found = replace(found, why_unknown=str(why))
    if making.before is None or not making.before.container.gpus:
        return found
    try:
        return replace(found, before=forecaster.of(making.before, host))
    except Unknown as why:
        return replace(found, why_unknown_before=str(why))


def gpu_of_host(host: Host) -> Gpu:
    """Raises Unknown."""
    if not host.gpu_name and not host.gpu_memory:
        raise Unknown(f"the stack does not say which GPUs {host.name} has")
    try:
        return gpu_on_host(host.gpu_name, host.gpu_memory, host.gpu_capability)
    except ValueError as cause:
        raise Unknown(str(cause)) from None


def _budget(spec: Spec, gpu: Gpu, files: ModelFiles) -> Budget:
    args = effective(spec.server).args
    try:
        facts = read_facts(files.config, args)
        return budget(facts, BudgetInputs(args, gpu, spec.server.version, spec.container.env, headers_of(files, facts)))
    except UnknownModel as cause:
        raise Unknown(str(cause)) from None
    except (ValueError, TypeError, KeyError, ArithmeticError, AttributeError, IndexError):
        # A config.json or an argument may hold anything; the plan stands without this number.
        raise Unknown("its config.json and arguments do not go together") from None


def headers_of(files: ModelFiles, facts: Facts) -> Headers | None:
    """Sizes of the weights, where more is known than config.json tells. An index that is far from it is passed over:
    some are left from the model that was quantised.
    """
    found = Headers(files.tensors, files.total)
    if files.tensors or not files.total:
        return found if files.tensors else None
    whole, how = Stage(range(len(facts.layers))), WeightOptions(Split(absorbed=""), 2)
    share = stage_bytes(found, facts, whole, how) / weight_bytes(facts, whole, facts.quant, how)
    return found if 2 / 3 < share < 3 / 2 else None


def _shown(found: Budget, spec: Spec) -> Forecast:
    refusal = found.refusal
    verdict: str = found.verdict
    if verdict == "refuses" and refusal and not _certain(found, spec, refusal.rule):
        verdict = "too close to call"
    return Forecast(
        verdict=verdict,
        gpu=found.gpu.name if found.gpu else "",
        gpu_total=_round(found.gpu.total_gib if found.gpu else 0.0),
        max_model_len=found.length,
        tokens=_whole(found.tokens),
        concurrency=_part(found.concurrency, 2),
        needed=_part(found.tightest.needed),
        stages=stage_forecasts(found),
        tightest=found.stages.index(found.tightest),
        refusal=ForecastRefusal(refusal.rule, refusal.text, refusal.advice, refusal.estimated_max_model_len)
        if refusal
        else None,
        notes=found.notes,
    )


def _certain(found: Budget, spec: Spec, rule: str) -> bool:
    """Whether a refusal is beyond doubt: all is known that it follows from."""
    if effective(spec.server).words or isinstance(spec.server.args.get("hf_overrides"), Mapping):
        return False
    if rule == "heads":
        return True
    return found.settings.behaviour.known and not (rule in FITTED and found.facts.unknown)


def stage_forecasts(found: Budget) -> tuple[StageForecast, ...]:
    return tuple(map(_stage, found.stages))


def _stage(s: StageBudget) -> StageForecast:
    parts = (s.weights, s.non_torch, s.transient, s.graphs, s.requested, s.available)
    return StageForecast(*map(_part, parts))


def _part(part: Estimate, digits: int = _DIGITS) -> Estimate:
    return Estimate(round(part.value, digits), round(part.low, digits), round(part.high, digits), part.source)


def _whole(part: Estimate) -> Estimate:
    return Estimate(int(part.value), int(part.low), int(part.high), part.source)


def _round(gib: float) -> float:
    return round(gib, _DIGITS)
