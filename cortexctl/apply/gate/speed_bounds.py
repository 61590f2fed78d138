"""The gate's bounds on speed: the measurements, and whether they are good enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median

from cortexctl.desired.stack import GatePolicy
from cortexctl.observed.health import Speed
from cortexctl.text.units import show_short


def figures(speeds: Sequence[Speed]) -> str:
    """The measurements as text: medians, and for more than one request their range."""
    first = sorted(s.first_token for s in speeds)
    text = f"first token after {show_short(median(first))}{_range(first, show_short)}"
    rates = sorted(s.tokens_per_second for s in speeds)
    text += f", {median(rates):.1f} tokens a second{_range(rates, lambda rate: f'{rate:.1f}')}"
    return f"{text}, {len(speeds)} {'request' if len(speeds) == 1 else 'requests'}"


def missed(gate: GatePolicy, speeds: Sequence[Speed]) -> tuple[str, str] | None:
    """(what was missed, how to fix it), or None if every bound is met. The median counts: one slow request does not
    fail a model.
    """
    what, fix = [], []
    first, rate = median(s.first_token for s in speeds), median(s.tokens_per_second for s in speeds)
    if gate.max_ttft is not None and first > gate.max_ttft:
        what.append(f"its first token takes {show_short(first)}, but gate.max_ttft is {show_short(gate.max_ttft)}")
        fix.append(f'raise gate.max_ttft (such as "{_rounded_up(first)}")')
    wanted = gate.min_tokens_per_second
    if wanted is not None and rate < wanted:
        what.append(f"it generates {rate:.1f} tokens a second, but gate.min_tokens_per_second is {wanted:g}")
        fix.append(f"lower gate.min_tokens_per_second (below {rate:.1f})")
    if not what:
        return None
    advice = f"check what else uses that host or its GPUs; if this is its normal speed, {' and '.join(fix)}"
    return "; ".join(what), advice


def _range(values: Sequence[float], show: Callable[[float], str]) -> str:
    return f" ({show(values[0])} to {show(values[-1])})" if len(values) > 1 else ""


def _rounded_up(seconds: float) -> str:
    """One and a half times the value, in the stack's form: a bound that noise does not break."""
    milliseconds = math.ceil(seconds * 15) * 100
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"
