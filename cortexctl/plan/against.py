"""Desired against desired: what a change of the stack's text would change, with no host at all."""

from __future__ import annotations

from cortexctl.observed.state import Observed, ObservedContainer, ObservedHost
from cortexctl.plan.place import placed
from cortexctl.spec import labels
from cortexctl.spec.codec import spec_to_label
from cortexctl.spec.desired import Desired, Instance

AS_APPLIED = "as in the other stack"


def as_if_applied(other: Desired, desired: Desired) -> Observed:
    """The hosts as they would be if `other` had just been applied: every instance runs, and nothing else does."""
    other, _ = placed(other)
    names = {h.name for h in other.hosts} | {h.name for h in desired.hosts}
    return Observed(tuple(_host(name, other) for name in sorted(names)))


def _host(name: str, other: Desired) -> ObservedHost:
    containers = (_container(i, other.owner) for i in other.instances if i.host == name)
    return ObservedHost(name, tuple(containers), engine=AS_APPLIED, api="")


def _container(instance: Instance, owner: str) -> ObservedContainer:
    marks = {
        **labels.owner_labels(owner),
        labels.MODEL: instance.model,
        labels.HOST: instance.host,
        labels.ORDINAL: str(instance.ordinal),
        labels.GENERATION: "1",
        labels.SPEC: spec_to_label(instance.spec),
        labels.PROTECT: "true" if instance.protect else "false",
        labels.ON_REMOVE: instance.on_remove,
    }
    return ObservedContainer(
        id=f"stack:{instance.address}",
        name=labels.serving_name(instance.model, instance.ordinal),
        image=instance.spec.image,
        image_id="",
        state="running",
        labels=marks,
        networks=(instance.spec.network,),
    )
