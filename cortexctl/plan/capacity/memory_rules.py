"""Memory diagnostics of a plan: launches that vLLM would refuse or may refuse, and GPUs with more memory promised than
they have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from cortexctl.desired.stack import Desired, Instance
from cortexctl.diagnostics import Diagnostic, Severity, error, several, warning
from cortexctl.engines.base import Contract
from cortexctl.engines.launch_forecast import Forecast, ForecastRefusal
from cortexctl.engines.registry import DEFAULT, engine_named, engine_of
from cortexctl.plan.capacity.forecast import GpuLine, InstanceForecast
from cortexctl.plan.conflicts import oversubscribed_gpus


def check_forecasts(
    foreseen: Iterable[InstanceForecast], desired: Desired, anyway: Collection[str] = ()
) -> Iterator[Diagnostic]:
    """One diagnostic for all instances of a model with the same problem; a warning if the model is launched
    `anyway`.
    """
    wanted = {i.address: i for i in desired.instances}
    search = f"for the calculation: {desired.invocation.command('fit')}"
    same: dict[tuple[str, str, str, bool], list[InstanceForecast]] = {}
    for forecast in foreseen:
        if forecast.after and forecast.after.verdict in {"refuses", "uncertain"}:
            text = forecast.after.refusal.text if forecast.after.refusal else ""
            key = (wanted[forecast.address].model, forecast.after.verdict, text, forecast.address in anyway)
            same.setdefault(key, []).append(forecast)
    for (*_, is_launched), alike in same.items():
        first = alike[0]
        if first.after is not None:
            diagnostic = _of(several([f.address for f in alike]), first.after, wanted[first.address], search)
            yield replace(diagnostic, severity=Severity.WARNING) if is_launched else diagnostic


def _of(addresses: str, forecast: Forecast, instance: Instance, search: str) -> Diagnostic:
    refusal, release = forecast.refusal, instance.spec.server.version or "of an unknown release"
    contract = engine_of(instance.spec.server).contract
    if refusal is None:
        at = forecast.decides
        return warning(
            "CX317",
            f"{addresses}: uncertain whether it starts: about {at.available.value:.2f} GiB are left for its KV "
            f"cache ({at.available.low:.2f} to {at.available.high:.2f}), and one request of {forecast.max_model_len:,} "
            f"tokens needs {forecast.needed.value:.2f}",
            instance.place_of(f"args.{contract.length_setting}"),
            detail=forecast.uncounted,
            help=f"{_for_certainty(forecast, contract)}; {search}",
        )
    why, argument = contract.refusals.get(refusal.rule, (refusal.rule, ""))
    title = contract.title
    place, detail = instance.place_of(f"args.{argument}"), f"{title}'s message would be: {refusal.text}"
    if forecast.verdict == "refuses":
        summary = f"{addresses}: {title} {release} would refuse to start: {why}"
        return error("CX316", summary, place, detail=detail, help=_advice(refusal, search))
    summary = f"{addresses}: {title} {release} may refuse to start: {why}"
    return warning("CX317", summary, place, detail=detail, help=_advice(refusal, search))


def _for_certainty(forecast: Forecast, contract: Contract) -> str:
    if forecast.uncounted:
        return "its memory is counted when its files can be read: here, on the host, or with --hub"
    return f"a smaller {contract.length_setting}, or a larger {contract.share_setting}, makes the start certain"


def _advice(refusal: ForecastRefusal, search: str) -> str:
    return f"{refusal.advice}; {search}" if refusal.advice else search


def check_ledger(lines: Iterable[GpuLine], desired: Desired) -> Iterator[Diagnostic]:
    """GPUs with more memory promised than they have, by the forecast. GPUs whose shares alone sum to more than 1 are
    reported by another rule.
    """
    wanted = {i.address: i for i in desired.instances}
    known = oversubscribed_gpus(desired.instances)
    same: dict[str, tuple[list[int], GpuLine]] = {}
    for line in lines:
        reported = {i.address for i in known.get((line.host, line.gpu), ())}
        if (line.over or line.close) and not reported.issuperset(s.holder for s in line.shares):
            parts = ", ".join(f"{s.holder} {s.taken:.1f}" for s in line.shares)
            same.setdefault(f"{line.host} {parts}", ([], line))[0].append(line.gpu)
    for gpus, line in same.values():
        yield _of_gpus(gpus, line, wanted)


def _of_gpus(gpus: Sequence[int], line: GpuLine, wanted: Mapping[str, Instance]) -> Diagnostic:
    parts = ", ".join(f"{s.holder} {s.taken:.1f}" for s in line.shares)
    where = f"{line.host}: GPU {', '.join(map(str, gpus))}"
    last = next((wanted[s.holder] for s in reversed(line.shares) if s.holder in wanted), None)
    contract = engine_of(last.spec.server).contract if last else engine_named(DEFAULT).contract
    place = last.place_of(f"args.{contract.cache_setting}") if last else None
    advice = f"a smaller {contract.cache_setting} or {contract.share_setting}, or other GPUs"
    if line.over:
        summary = f"{where} is promised {line.taken:.1f} GiB, but has {line.total:.1f} ({parts})"
        return error("CX318", summary, place, help=advice)
    summary = f"{where} may be promised more than it has: about {line.taken:.1f} of {line.total:.1f} GiB ({parts})"
    return warning("CX317", summary, place, help=advice)
