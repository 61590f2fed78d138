"""The memory of a vLLM that is not started yet, as plans show it. Nothing is guessed: what is not known is Unknown."""

from __future__ import annotations

from collections.abc import Mapping

from cortexctl.engines.estimate import Estimate
from cortexctl.engines.gpu_models import Gpu
from cortexctl.engines.launch_forecast import Forecast, ForecastRefusal, StageForecast, Unknown
from cortexctl.engines.vllm.command.effective import effective
from cortexctl.engines.vllm.memory.budget import Budget, budget
from cortexctl.engines.vllm.memory.config import UnknownModel
from cortexctl.engines.vllm.memory.headers import Headers, stage_bytes
from cortexctl.engines.vllm.memory.model_facts import Facts, read_facts
from cortexctl.engines.vllm.memory.stage import BudgetInputs, StageBudget
from cortexctl.engines.vllm.memory.tensors import Split
from cortexctl.engines.vllm.memory.weights import Stage, WeightOptions, weight_bytes
from cortexctl.instance.spec import Server
from cortexctl.model_files.files import ModelFiles

FITTED = {"one request", "no memory", "auto length"}
"""Rules that depend on what is estimated; the others follow from config and arguments alone."""
_DIGITS = 4
"""Of a GiB: a tenth of a MiB."""


def forecast(server: Server, env: Mapping[str, str], files: ModelFiles, gpu: Gpu) -> Forecast:
    """Of one launch. Raises Unknown."""
    return _shown(_budget(server, env, files, gpu), server)


def _budget(server: Server, env: Mapping[str, str], files: ModelFiles, gpu: Gpu) -> Budget:
    args = effective(server).args
    try:
        facts = read_facts(files.config, args)
        return budget(facts, BudgetInputs(args, gpu, server.version, env, headers_of(files, facts)))
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


def _shown(found: Budget, server: Server) -> Forecast:
    refusal = found.refusal
    verdict: str = found.verdict
    if verdict == "refuses" and refusal and not _certain(found, server, refusal.rule):
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


def _certain(found: Budget, server: Server, rule: str) -> bool:
    """Whether a refusal is beyond doubt: all is known that it follows from."""
    if effective(server).argv or isinstance(server.args.get("hf_overrides"), Mapping):
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
