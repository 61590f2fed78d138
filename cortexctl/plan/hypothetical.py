"""Desired against desired: the changes that an edit of the stack would cause, without any host."""

from __future__ import annotations

from cortexctl.desired.stack import Desired, Instance
from cortexctl.engines.registry import command_of
from cortexctl.instance import labels
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.shape import shape_of
from cortexctl.instance.spec import Spec
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.inspected import Inspected
from cortexctl.observed.observation import Observed
from cortexctl.plan.placement import placed

AS_APPLIED = "as in the other stack"


def as_if_applied(other: Desired, desired: Desired) -> Observed:
    """The hosts right after an apply of `other`: every instance runs, and nothing else."""
    other, _ = placed(other)
    names = {h.name for h in other.hosts} | {h.name for h in desired.hosts}
    before = {i.address for i in other.instances}
    by_hand = [i for i in placed(desired)[0].instances if i.adopt and i.address not in before]
    adoptable = {(i.host, _id(i)): as_made(i.spec) for i in by_hand}
    containers: dict[str, list[ObservedContainer]] = {name: [] for name in names}
    for instance in other.instances:
        containers[instance.host].append(_container(instance, other.owner))
    for instance in by_hand:
        containers[instance.host].append(_by_hand(instance))
    hosts = (ObservedHost(name, tuple(here), daemon=AS_APPLIED, api="") for name, here in sorted(containers.items()))
    return Observed(tuple(hosts), adoptable=adoptable)


def as_made(spec: Spec) -> Inspected:
    """The inspection of a container that was created from `spec` and changed by nothing else."""
    command, shape, publish = command_of(spec), shape_of(spec.container), spec.container.publish
    return Inspected(
        entrypoint=command.program,
        command=command.arguments,
        env=dict(spec.container.env),
        secrets={s.name: s.fingerprint for s in spec.container.secrets},
        in_place=spec.container.in_place,
        publish=(f"{publish.address}:{publish.port or ''}",) if publish else (),
        mounts={m.target: m.source + (" (read-only)" if m.read_only else "") for m in shape.mounts},
        gpus=tuple(sorted(shape.gpus)),
        ipc=shape.ipc,
        shm_size=shape.shm_size or 0,
        cap_drop=shape.cap_drop,
        security_opt=shape.security_opt,
        stop_signal=shape.stop_signal,
        log_driver=shape.log_driver,
        log_options=dict(shape.log_options),
        images=(spec.container.image,),
    )


def _by_hand(instance: Instance) -> ObservedContainer:
    """The container that `adopt` names is assumed to exist and to match the stack: no host is read."""
    spec = instance.spec
    return ObservedContainer(
        _id(instance), instance.adopt, spec.container.image, "", "running", networks=(spec.container.network,)
    )


def _id(instance: Instance) -> str:
    return f"stack:{instance.address}"


def _container(instance: Instance, owner: str) -> ObservedContainer:
    marks = {
        **labels.owner_labels(owner),
        labels.MODEL: instance.model,
        labels.HOST: instance.host,
        labels.ORDINAL: str(instance.ordinal),
        labels.GENERATION: "1",
        labels.SPEC: spec_to_label(instance.spec),
        labels.PROTECT: "true" if instance.policy.protect else "false",
        labels.ON_REMOVE: instance.policy.on_remove,
    }
    return ObservedContainer(
        id=_id(instance),
        name=labels.serving_name(instance.model, instance.ordinal),
        image=instance.spec.container.image,
        image_id="",
        state="running",
        labels=marks,
        networks=(instance.spec.container.network,),
    )
