"""The gate of what comes back when a change fails: it must serve what it served, not what was wanted of it."""

from __future__ import annotations

from dataclasses import replace

from cortexctl.desired.stack import GatePolicy
from cortexctl.instance.spec import ContainerSpec
from cortexctl.plan.model import Change

_KIND = ("task", "runner", "convert")
"""Arguments that make another kind of server of a model, with other requests."""


def as_it_was(change: Change) -> Change:
    """It may take as long as ever, and nothing is measured: what the new one must be says nothing about the old one.
    Where it was another kind of server, how it is asked is not known any more, and it is not.
    """
    gate, smoke = change.gate, change.gate.smoke
    if smoke is not None:
        smoke = replace(smoke, dimensions=None) if _kind(change.before) == _kind(change.after) else None
    was = replace(
        gate,
        startup_timeout=max(gate.startup_timeout, GatePolicy().startup_timeout),
        smoke=smoke,
        max_ttft=None,
        min_tokens_per_second=None,
    )
    return replace(change, after=change.before or change.after, gate=was)


def _kind(spec: ContainerSpec | None) -> list[object]:
    return [spec.args.get(key) for key in _KIND] if spec else []
