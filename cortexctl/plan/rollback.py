"""plan_rollback: the plan that puts a kept container back in the place of the one that serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cortexctl.desired.stack import Desired, Instance
from cortexctl.diagnostics import Diagnostic, error
from cortexctl.instance.labels import is_undone_name
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import Owned, OwnedInstance, owned_instances
from cortexctl.plan.action import Action, Reason, ReasonCode
from cortexctl.plan.cost import cost_of_restart, cost_of_start
from cortexctl.plan.decide import reference
from cortexctl.plan.diff import diff
from cortexctl.plan.guards import check_hosts
from cortexctl.plan.guards_observed import not_touched
from cortexctl.plan.hook_points import hooks_needed
from cortexctl.plan.host_plan import planned_host
from cortexctl.plan.model import Change, InstanceChange, Plan, PlannedHost, PlannedImage
from cortexctl.plan.order import Order
from cortexctl.plan.recipes import steps_for_host


@dataclass(frozen=True, slots=True)
class Back:
    """Which instance goes back, and to which generation. None: the newest kept one that is older than what serves."""

    address: str
    generation: int | None = None


def plan_rollback(desired: Desired, observed: Observed, back: Back) -> Plan:
    """One change, or the reason why there can be none. What the stack says of the instance's spec does not count; its
    gate does, if the instance is still in the stack.
    """
    host = next((h for h in desired.hosts if back.address.startswith(f"{h.name}/")), None)
    if host is None:
        return _refused(desired, (), f'there is no host of "{back.address}" in the stack', "write HOST/MODEL")
    seen = observed.host(host.name)
    planned = (planned_host(host, seen, desired),)
    if not seen.is_reachable:
        return _refused(desired, planned, f"{host.name}: {seen.problem}", seen.next_step)
    found = owned_instances(seen, desired.owner, desired.moved).get(back.address)
    target = _target(found, back)
    if found is None or target is None or target.spec is None:
        return _refused(desired, planned, f"{back.address}: {_why_not(found, back)}", _there_are(found))
    instance = _instance(desired, found, target)
    change = _change(instance, found, target, observed)
    others = (i for i in desired.instances if i.address != back.address)
    as_it_will_be = replace(desired, instances=(*others, instance)).on_hosts([host.name])  # the others were not read
    return Plan(
        stack=desired.stack,
        stack_path=desired.path,
        stack_digest=desired.digest,
        env=desired.env,
        destroy=False,
        basis="",
        selection=(f"rollback {back.address}",),
        hosts=planned,
        changes=(change,),
        steps=tuple(steps_for_host(seen, [change], Order(), desired.owner)),
        diagnostics=(
            *not_touched(seen, desired),
            *check_hosts(as_it_will_be, observed, [change]),
        ),
        hooks=hooks_needed(desired.hooks, [change]),
        audit_log=desired.audit_log,
    )


def _target(found: OwnedInstance | None, back: Back) -> Owned | None:
    kept = list(_kept(found))
    if back.generation is not None:
        return next((o for o in kept if o.generation == back.generation), None)
    serving = found.serving if found else None
    if serving is None:  # between its two renames a rollback was killed: what runs is what it went back to
        running = [o for o in kept if o.container.is_running]
        proven = [o for o in kept if not is_undone_name(o.container.name)]
        return next(iter(reversed(running or proven or kept)), None)
    older = [o for o in kept if o.generation < serving.generation]
    return older[-1] if older else None


def _kept(found: OwnedInstance | None) -> Iterator[Owned]:
    """Containers that have run; one that was only made, or whose spec cannot be read, proves nothing."""
    for owned in found.others if found else ():
        if owned.container.state != "created" and owned.spec is not None:
            yield owned


def _why_not(found: OwnedInstance | None, back: Back) -> str:
    if found is None:
        return "the stack has no container of it on that host"
    if found.serving is not None and found.serving.generation == back.generation:
        return f"generation {back.generation} is the one that serves"
    which = f"generation {back.generation} is not kept" if back.generation is not None else "no older one is kept"
    return f"there is nothing to go back to: {which}"


def _there_are(found: OwnedInstance | None) -> str:
    kept = [str(o.generation) for o in _kept(found)]
    if kept:
        return f"generations that are kept: {', '.join(kept)}; name one with --generation"
    return "rollout.keep says how many generations are kept; else put the stack's old text back, and apply it"


def _instance(desired: Desired, found: OwnedInstance, target: Owned) -> Instance:
    """As the stack has it, with the old spec; one that left the stack has the defaults of all others."""
    known = next((i for i in desired.instances if i.address == found.address), None)
    if target.spec is None:
        raise ValueError(f"{found.address}: generation {target.generation} has no readable spec")
    bare = known or Instance(found.host, found.model, target.spec, found.ordinal)
    return replace(bare, spec=target.spec, gpu_count=None)


def _change(instance: Instance, found: OwnedInstance, target: Owned, observed: Observed) -> Change:
    serving = found.serving
    fields = diff(serving.spec, instance.spec) if serving and serving.spec else ()
    detail = InstanceChange(
        ordinal=instance.ordinal,
        generation=target.generation,
        before=serving.spec if serving else None,
        after=instance.spec,
        image=PlannedImage(instance.spec.container.image, id=target.container.image_id),
        serving=reference(serving) if serving else None,
        candidate=reference(target),
        policy=replace(instance.policy, on_failure="rollback", keep=max(instance.policy.keep, 1)),
        is_rollback=True,
    )
    return Change(
        address=instance.address,
        host=instance.host,
        model=instance.model,
        action=Action.REPLACE if serving else Action.CREATE,
        detail=detail,
        reasons=(Reason(ReasonCode.ROLLBACK, str(target.generation)),),
        fields=fields,
        cost=cost_of_restart(instance, serving, observed) if serving else cost_of_start(instance, observed),
    )


def _refused(desired: Desired, hosts: tuple[PlannedHost, ...], said: str, advice: str) -> Plan:
    found: tuple[Diagnostic, ...] = (error("CX415", said, help=advice),)
    return Plan(
        desired.stack, desired.path, desired.digest, desired.env, False, "", ("rollback",), hosts, (), (),
        diagnostics=found,
    )  # fmt: skip
