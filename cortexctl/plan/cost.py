"""The outage of a change while it runs: a bound from the gate, and an estimate from past starts on this host.

The bound holds for a start that shows no progress. A start that makes progress may take longer; past starts show the
usual time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cortexctl.desired.stack import Instance
from cortexctl.instance import labels
from cortexctl.instance.spec import STOP_MARGIN
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import Owned
from cortexctl.plan.model import Cost

if TYPE_CHECKING:
    from cortexctl.observed.record import Applied


def cost_of_start(wanted: Instance, observed: Observed) -> Cost:
    """For a change that stops nothing."""
    seconds = _past_starts(wanted, applied_of(wanted, observed))
    return Cost(
        down=False,
        at_most=wanted.policy.gate.startup_timeout,
        expected=round(_median(seconds)) if seconds else None,
        starts=len(seconds),
    )


def cost_of_restart(wanted: Instance, serving: Owned, observed: Observed) -> Cost:
    """For a container that stops and starts again, or is replaced. `expected` needs a past start of these weights; if
    no stop is recorded (`stops` is 0), it does not include the stop.
    """
    applied = applied_of(wanted, observed, serving)
    starts, stops = _past_starts(wanted, applied), applied.stops if applied else ()
    return Cost(
        down=serving.container.is_running,
        at_most=stop_bound(serving) + wanted.policy.gate.startup_timeout,
        expected=round(_median(starts) + (_median(stops) if stops else 0)) if starts else None,
        starts=len(starts),
        stops=len(stops),
    )


def stop_bound(serving: Owned) -> int:
    """Maximum time in seconds for the old container to stop."""
    return serving.spec.stop_timeout if serving.spec else STOP_MARGIN


def applied_of(wanted: Instance, observed: Observed, serving: Owned | None = None) -> Applied | None:
    """The record of the instance, also under the name that its container was created with."""
    applied = observed.record(wanted.host).applied
    was = serving.container.labels.get(labels.MODEL, wanted.model) if serving else wanted.model
    return applied.get(wanted.address) or applied.get(labels.address(wanted.host, was, wanted.ordinal))


def _past_starts(wanted: Instance, applied: Applied | None) -> Sequence[float]:
    """Starts with other weights do not count."""
    return [s.seconds for s in applied.starts if s.model == wanted.spec.server.model] if applied else []


def _median(seconds: Sequence[float]) -> float:
    from statistics import median  # with fractions and decimals, which a plan without past starts does not need

    return median(seconds)
