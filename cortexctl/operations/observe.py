"""Take a snapshot of the stack's hosts, for a review without credentials."""

from __future__ import annotations

from cortexctl.desired.stack import Desired
from cortexctl.observe.from_snapshot import observe_for_snapshot
from cortexctl.observed.observation import Observed
from cortexctl.operations.adapters import model_readers, open_hosts


def take_snapshot(desired: Desired) -> Observed:
    """Everything that a later plan of the stack may need. A host that cannot be read says why."""
    with open_hosts(desired) as hosts:
        return observe_for_snapshot(desired, hosts, model_readers(desired, host=hosts))
