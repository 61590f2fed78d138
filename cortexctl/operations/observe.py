"""Take a snapshot of the stack's hosts, for a review without credentials."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from cortexctl.desired.stack import Desired
from cortexctl.observe.from_snapshot import observe_for_snapshot
from cortexctl.observed.observation import Observed
from cortexctl.observed.snapshot import without_other_stacks
from cortexctl.operations.adapters import model_readers
from cortexctl.operations.connections import Connections, open_hosts


def take_snapshot(desired: Desired, connections: Connections | None = None) -> Observed:
    """Everything that a later plan of the stack may need, and no more of other stacks. A host that cannot be read says
    why. `connections`: of the run.
    """
    taken_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    with open_hosts(desired, connections) as hosts:
        observed = observe_for_snapshot(desired, hosts, model_readers(desired, host=hosts), hosts.watch)
    return without_other_stacks(replace(observed, taken_at=taken_at), desired.owner)
