"""The errors of one forecast by term. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from bench.memory.starts import Start
from cortexctl.engines.vllm.memory.budget import Budget

WITHIN = 0.005
"""Tokens that follow from the measured memory are right up to this part."""


@dataclass(frozen=True, slots=True)
class Error:
    """`value`: signed, forecast less truth, in the unit of its term; of a term that is right or wrong, 0 or 1.
    `reason`: the numbers behind it.
    """

    case: str
    family: str
    term: str
    value: float
    reason: str


def errors_of(start: Start, computed: Budget, exact: Budget | None) -> Iterator[Error]:
    """`exact`: the forecast given the measured memory for the cache, where there is one."""
    parts = (
        _parts(start, computed),
        _tokens(start, computed, exact),
        _answers(start, computed),
        _time(start, computed),
    )
    for term, value, reason in chain(*parts):
        yield Error(start.name, start.family, term, value, reason)


def _parts(start: Start, computed: Budget) -> Iterator[tuple[str, float, str]]:
    at = computed.tightest
    if weights := start.gib("weights"):
        yield "weights", 100 * (at.weights.value / weights - 1), f"{at.weights.value:.3f} for {weights:.3f} GiB"
    overheads = (
        ("activation peak", "peak_activation", at.transient),
        ("outside torch", "non_torch", at.non_torch),
        ("graph estimate", "cudagraph_estimate", at.graphs),
    )
    for term, what, estimate in overheads:
        truth = start.gib(what)
        if truth is not None:
            yield term, estimate.value - truth, f"{estimate.value:.3f} for {truth:.3f} GiB"
    truth, left = start.gib("available_kv"), at.available
    if truth is None or not start.has_cache or left.source == "given":
        return
    numbers = f"{left.value:.3f} ({left.low:.3f} to {left.high:.3f}) for {truth:.3f} GiB"
    yield "memory for the cache", left.value - truth, numbers
    yield "range holds the memory", float(not left.low <= truth <= left.high), numbers
    yield "width of the range", left.high - left.low, numbers


def _tokens(start: Start, computed: Budget, exact: Budget | None) -> Iterator[tuple[str, float, str]]:
    truth = start.measured.get("kv_cache_tokens")
    if not truth:
        return
    value = computed.tokens.value
    yield "tokens from flags", 100 * (value / truth - 1), f"{value:,.0f} for {truth:,}"
    if exact is not None:
        value = exact.tokens.value
        yield "tokens given the memory", float(abs(value / truth - 1) > WITHIN), f"{value:,.0f} for {truth:,}"


def _answers(start: Start, computed: Budget) -> Iterator[tuple[str, float, str]]:
    effective, s = start.measured["effective"], computed.settings  # before max_model_len -1 becomes what fits
    assumed = {
        "max_num_batched_tokens": s.batched_tokens,
        "max_num_seqs": s.max_num_seqs,
        "max_model_len": s.max_model_len,
        "v2_model_runner": s.second_runner,
    }
    wrong = [f"{k} {v} for {effective[k]}" for k, v in assumed.items() if k in effective and effective[k] != v]
    if start.has_cache and (block := start.measured.get("block_size")):
        assumed_block = computed.tightest.pool.block_size or s.max_model_len
        wrong += [f"block_size {assumed_block} for {block}"] if assumed_block != block else []
    yield "settings", float(bool(wrong)), ", ".join(wrong)
    refusal = computed.refusal.text if computed.refusal else ""
    if start.measured["started"]:
        yield "false alarms", float(computed.verdict == "refuses"), refusal
    else:
        text = _first_sentence(start.measured["refusal"])
        yield "missed refusals", float(computed.verdict == "starts"), text
        yield "texts of refusals", float(_without_numbers(refusal) != _without_numbers(text)), f"{refusal} FOR {text}"
    yield "unsure", float(computed.verdict == "uncertain"), refusal


def unread(start: Start, cause: Exception) -> Iterator[Error]:
    """Of a model without a forecast: its settings and its verdict are wrong."""
    verdict = "false alarms" if start.measured["started"] else "missed refusals"
    for term in ("settings", verdict):
        yield Error(start.name, start.family, term, 1.0, f"no forecast: {cause}")


def _time(start: Start, computed: Budget) -> Iterator[tuple[str, float, str]]:
    """The seconds in the engine: imports and reading weights from disk are not in the truth, whose weights are random.
    A start that was stopped before its graphs has none.
    """
    seconds, whole = start.measured["seconds"], getattr(computed, "start", None)
    if not start.measured["started"] or whole is None:  # older commits, for `--before`, have no forecast of it
        return
    from cortexctl.engines.estimate import summed

    again = start.measured["compiled"] == "from its cache"
    stages = [whole.engine, whole.compiled if again else whole.compiling]
    expected = summed(*stages, *([whole.graphs] if "capture" in seconds else []))
    truth = seconds["total"]
    numbers = f"{expected.value:.0f} ({expected.low:.0f} to {expected.high:.0f}) for {truth:.0f} s"
    yield "start-up time", 100 * (expected.value / truth - 1), numbers
    yield "range holds the time", float(not expected.low <= truth <= expected.high), numbers
    yield "width of the time's range", expected.high - expected.low, numbers


def _first_sentence(refusal: Mapping[str, str]) -> str:
    """The text; of torch's error only its kind and first sentence: what follows is where memory ran out by chance."""
    text = refusal["text"]
    if not refusal.get("kind", "").endswith("OutOfMemoryError"):
        return text
    return f"{refusal['kind']}: {text.partition('. ')[0].rstrip('.')}."


def _without_numbers(text: str) -> str:
    """The numbers of a refusal are those of other terms; its form is the release's."""
    return re.sub(r"\d+(\.\d+)?", "0", text)
