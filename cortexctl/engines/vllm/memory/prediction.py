"""Forecasts the memory of a vLLM before its start, for plans. It guesses nothing: missing facts raise Unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cortexctl.engines.disk_rate import disk_rate
from cortexctl.engines.estimate import Estimate
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.launch_forecast import STAGES, Forecast, ForecastRefusal, StageForecast, StartForecast, Unknown
from cortexctl.engines.vllm.command.effective import effective
from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.config import UnknownModel
from cortexctl.engines.vllm.memory.drafts import read_draft
from cortexctl.engines.vllm.memory.headers import headers_of
from cortexctl.engines.vllm.memory.model_facts import read_facts
from cortexctl.engines.vllm.memory.speculation import read_speculation
from cortexctl.engines.vllm.memory.stage import BudgetInputs, StageBudget
from cortexctl.instance.spec import Server
from cortexctl.model_files.files import ModelFiles

FITTED = {"one request", "no memory", "auto length", "weights"}
"""Rules that depend on estimates; the others follow from config and arguments alone."""
_DIGITS = 4
"""Decimal digits of a GiB: a tenth of a MiB."""


def forecast(
    server: Server,
    env: Mapping[str, str],
    files: ModelFiles,
    gpu: Gpu,
    companions: Mapping[str, ModelFiles],
    rates: Sequence[float],
) -> Forecast:
    """The forecast for one launch. `companions`: the files of its draft model, by its name. `rates`: GiB/s
    at which past starts on the host read their weights. Raises Unknown.
    """
    args = effective(server).args
    launch = BudgetInputs(args, gpu, server.version, env, disk_rate=disk_rate(rates))
    return _shown(_budget(server, launch, files, companions), server)


def _budget(server: Server, launch: BudgetInputs, files: ModelFiles, companions: Mapping[str, ModelFiles]) -> Budget:
    try:
        facts = read_facts(files.config, launch.args)
        draft = read_draft(read_speculation(launch.args, server.model), companions)
        return budget(facts, replace(launch, headers=headers_of(files, facts), draft=draft))
    except UnknownModel as cause:
        raise Unknown(str(cause)) from None
    except (ValueError, TypeError, KeyError, ArithmeticError, AttributeError, IndexError):
        # A config.json or an argument may contain anything; the plan is valid without this number.
        raise Unknown("its config.json and arguments do not go together") from None


def _shown(computed: Budget, server: Server) -> Forecast:
    refusal = computed.refusal
    verdict: str = computed.verdict
    if verdict == "refuses" and refusal and not _certain(computed, server, refusal.rule):
        verdict = "uncertain"
    return Forecast(
        verdict=verdict,
        gpu=computed.gpu.name if computed.gpu else "",
        gpu_total=_round(computed.gpu.total_gib if computed.gpu else 0.0),
        max_model_len=computed.length,
        tokens=_whole(computed.tokens),
        concurrency=_part(computed.concurrency, 2),
        needed=_part(computed.tightest.needed),
        stages=stage_forecasts(computed),
        tightest=computed.stages.index(computed.tightest),
        refusal=ForecastRefusal(refusal.rule, refusal.text, refusal.advice, refusal.estimated_max_model_len)
        if refusal
        else None,
        notes=computed.notes,
        uncounted=computed.uncounted,
        start=StartForecast(**{name: _part(getattr(computed.start, name), 1) for name in STAGES}),
    )


def _certain(computed: Budget, server: Server, rule: str) -> bool:
    """Whether a refusal is certain: all facts behind it are known."""
    if effective(server).argv or isinstance(server.args.get("hf_overrides"), Mapping):
        return False
    if rule == "heads":
        return True
    return computed.settings.behaviour.known and not (rule in FITTED and computed.facts.unknown)


def stage_forecasts(computed: Budget) -> tuple[StageForecast, ...]:
    return tuple(map(_stage, computed.stages))


def _stage(s: StageBudget) -> StageForecast:
    parts = (s.weights, s.non_torch, s.transient, s.graphs, s.requested, s.available)
    return StageForecast(*map(_part, parts))


def _part(part: Estimate, digits: int = _DIGITS) -> Estimate:
    return Estimate(round(part.value, digits), round(part.low, digits), round(part.high, digits), part.source)


def _whole(part: Estimate) -> Estimate:
    return Estimate(int(part.value), int(part.low), int(part.high), part.source)


def _round(gib: float) -> float:
    return round(gib, _DIGITS)
