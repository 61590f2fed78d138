"""plan_rollback: the plan that replaces the serving container by a retained one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired, Instance
from cortexctl.diagnostics import Diagnostic, error
from cortexctl.instance.labels import is_undone_name
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import Owned, OwnedInstance, ownership_of
from cortexctl.observed.roles import unnamed_running
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
class RollbackTarget:
    """An instance and the generation to return to. None: the newest retained generation before the serving one."""

    address: str
    generation: int | None = None


def plan_rollback(desired: Desired, observed: Observed, target: RollbackTarget) -> Plan:
    """One change, or the reason why there is none. The spec in the stack does not count; the gate there does, if the
    instance is still in the stack.
    """
    host = next((h for h in desired.hosts if target.address.startswith(f"{h.name}/")), None)
    if host is None:
        return _refused(desired, (), f'there is no host of "{target.address}" in the stack', "write HOST/MODEL")
    seen = observed.host(host.name)
    ownership = ownership_of(seen, desired.owner, desired.moved)
    planned = (planned_host(host, seen, ownership),)
    if not seen.is_reachable:
        return _refused(desired, planned, f"{host.name}: {seen.problem}", seen.next_step)
    existing = ownership.by_address().get(target.address)
    retained = _retained(existing, target)
    if existing is None or retained is None or retained.spec is None:
        return _refused(desired, planned, f"{target.address}: {_why_not(existing, target)}", _there_are(existing))
    instance = _instance(desired, existing, retained)
    change = _change(instance, existing, retained, observed)
    others = (i for i in desired.instances if i.address != target.address)
    as_it_will_be = replace(desired, instances=(*others, instance)).on_hosts([host.name])  # the others were not read
    return Plan(
        stack=desired.stack,
        stack_path=desired.path,
        stack_digest=desired.digest,
        env=desired.env,
        destroy=False,
        basis="",
        selection=(f"rollback {target.address}",),
        invocation=replace(desired.invocation, stack=desired.path, env=desired.env),
        hosts=planned,
        changes=(change,),
        steps=tuple(steps_for_host(seen, [change], Order(), desired.owner)),
        diagnostics=(
            *not_touched(seen, ownership),
            *check_hosts(as_it_will_be, observed, [change]),
        ),
        hooks=hooks_needed(desired.hooks, [change]),
        audit_log=desired.audit_log,
    )


def _retained(existing: OwnedInstance | None, target: RollbackTarget) -> Owned | None:
    proven = list(_proven(existing))
    if target.generation is not None:
        return next((o for o in proven if o.generation == target.generation), None)
    if existing is None:
        return None
    running = unnamed_running(existing)
    undone = [o for o in proven if is_undone_name(o.container.name)]
    if running is not None and any(o.generation > running.generation for o in undone):
        return running  # a rollback to it was killed between its two renames
    serving = existing.serving or running
    if serving is None:
        not_undone = [o for o in proven if o not in undone]
        return next(iter(reversed(not_undone or proven)), None)
    older = [o for o in proven if o.generation < serving.generation]
    return older[-1] if older else None


def _proven(existing: OwnedInstance | None) -> Iterator[Owned]:
    """Containers that have run. One that was only created, or has an unreadable spec, does not count."""
    for owned in existing.others if existing else ():
        if owned.container.state != "created" and owned.spec is not None:
            yield owned


def _serving(existing: OwnedInstance, retained: Owned) -> Owned | None:
    """The container to replace: a running one counts if a run was killed before it got the serving name."""
    running = unnamed_running(existing)
    return existing.serving or (running if running is not retained else None)


def _why_not(existing: OwnedInstance | None, target: RollbackTarget) -> str:
    if existing is None:
        return "the stack has no container of it on that host"
    if existing.serving is not None and existing.serving.generation == target.generation:
        return f"generation {target.generation} is the serving one"
    which = (
        f"generation {target.generation} is not retained"
        if target.generation is not None
        else ("no older one is retained")
    )
    return f"there is no generation to roll back to: {which}"


def _there_are(existing: OwnedInstance | None) -> str:
    generations = [str(o.generation) for o in _proven(existing)]
    if generations:
        return f"retained generations: {', '.join(generations)}; name one with --generation"
    return (
        "rollout.keep sets the number of retained generations; otherwise restore the old text of the "
        "stack, and apply it"
    )


def _instance(desired: Desired, existing: OwnedInstance, retained: Owned) -> Instance:
    """The instance in the stack, with the old spec; an instance that left the stack has the default policy."""
    known = next((i for i in desired.instances if i.address == existing.address), None)
    if retained.spec is None:
        raise ValueError(f"{existing.address}: generation {retained.generation} has no readable spec")
    bare = known or Instance(existing.host, existing.model, retained.spec, existing.ordinal)
    return replace(bare, spec=retained.spec, gpu_count=None)


def _change(instance: Instance, existing: OwnedInstance, retained: Owned, observed: Observed) -> Change:
    serving = _serving(existing, retained)
    fields = diff(serving.spec, instance.spec) if serving and serving.spec else ()
    detail = InstanceChange(
        ordinal=instance.ordinal,
        generation=retained.generation,
        before=serving.spec if serving else None,
        after=instance.spec,
        image=PlannedImage(instance.spec.container.image, id=retained.container.image_id),
        serving=reference(serving) if serving else None,
        candidate=reference(retained),
        policy=replace(instance.policy, on_failure="rollback", keep=max(instance.policy.keep, 1)),
        is_rollback=True,
    )
    return Change(
        address=instance.address,
        host=instance.host,
        model=instance.model,
        action=Action.REPLACE if serving else Action.CREATE,
        detail=detail,
        reasons=(Reason(ReasonCode.ROLLBACK, str(retained.generation)),),
        fields=fields,
        cost=cost_of_restart(instance, serving, observed) if serving else cost_of_start(instance, observed),
    )


def _refused(desired: Desired, hosts: tuple[PlannedHost, ...], problem: str, advice: str) -> Plan:
    refusal: tuple[Diagnostic, ...] = (error("CX415", problem, help=advice),)
    return Plan(
        desired.stack, desired.path, desired.digest, desired.env, False, "", ("rollback",), hosts, (), (),
        diagnostics=refusal,
    )  # fmt: skip
