"""Problems of a plan with the observed hosts: protection, unreadable labels, misplaced containers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise

from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.diagnostics import Diagnostic, error, warning
from cortexctl.instance.labels import (
    HOST,
    MODEL,
    MOST_GENERATIONS,
    address,
    is_generation_name,
    owner_of,
    serving_name,
    without_generation,
)
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.observation import Fact, Observed
from cortexctl.observed.owned import (
    LeftAloneReason,
    OwnedInstance,
    Ownership,
    describe_left_alone,
    owned_instances,
)
from cortexctl.plan.action import Action
from cortexctl.plan.model import Change
from cortexctl.plan.request import Request

Wanted = Mapping[str, Instance]
"""A host's instances by address."""


def protected(
    changes: list[Change], existing: Mapping[str, OwnedInstance], wanted: Wanted, unprotect: Collection[str]
) -> list[Diagnostic]:
    """While the stack declares the model, its value counts; afterwards the label's does."""
    refused = []
    for change in changes:
        instance = existing.get(change.address)
        if instance is None or change.action is not Action.REMOVE or change.address in unprotect:
            continue
        declared = wanted.get(change.address)
        if declared.policy.protect if declared else any(o.protect for o in instance.all):
            refused.append(
                error(
                    "CX403",
                    f"{change.address} is protected and would be removed",
                    help=f"if that is intended, confirm it: --unprotect {change.address}",
                )
            )
    return refused


def not_yet_protected(changes: list[Change], existing: Mapping[str, OwnedInstance], wanted: Wanted) -> list[Diagnostic]:
    """`protect` is stored in a label, which an existing container cannot get."""
    return [
        warning(
            "CX409",
            f"{change.address}: protect is not recorded in the running container, because labels cannot change",
            wanted[change.address].place_of("protect"),
            help=f"its next replacement records it; to record it now: --replace {change.address}",
        )
        for change in changes
        if change.address in wanted
        and wanted[change.address].policy.protect
        and change.action in {Action.NO_OP, Action.START, Action.UPDATE, Action.ADOPT, Action.RESTART}
        and not any(o.protect for o in existing[change.address].all)
    ]


def unreadable(existing: Mapping[str, OwnedInstance]) -> list[Diagnostic]:
    return [
        error(
            "CX402",
            f"{instance.address}: the recorded spec of {owned.container.name} cannot be read: {owned.problem}",
            help="a newer cortexctl wrote it, or it was edited by hand; upgrade cortexctl, or remove the container",
        )
        for instance in existing.values()
        for owned in instance.all
        if owned.spec is None
    ]


def past_the_last_generation(changes: list[Change]) -> list[Diagnostic]:
    """A container would get a label that no later run can read."""
    return [
        error(
            "CX402",
            f"{change.address}: its next generation would be {change.detail.generation:,}, but the last "
            f"possible one is {MOST_GENERATIONS:,}",
            help=(
                "the generation of a container or of the host's record was edited by hand; remove the container "
                "or record that has it"
            ),
        )
        for change in changes
        if change.detail.generation > MOST_GENERATIONS
    ]


def two_in_one(existing: Mapping[str, OwnedInstance]) -> list[Diagnostic]:
    """Two serving models that `moved` maps to one: one of them would be removed as an old generation of the other."""
    clashes = []
    for instance in existing.values():
        serving = [o for o in instance.all if not is_generation_name(o.container.name)]
        names = sorted({o.container.labels.get(MODEL, instance.model) for o in serving})
        if len(names) > 1:
            clashes.append(
                error(
                    "CX414",
                    f"{instance.address}: `moved` maps two running models, {' and '.join(names)}, to this address",
                    help="correct `moved`: give each its own name, or remove one of the models first",
                )
            )
    return clashes


def two_meanings(wanted: Wanted, ownership: Ownership) -> list[Diagnostic]:
    """Containers of one model's replica at the address of another model: `chat.2` can mean both."""
    meant: dict[str, set[tuple[int, str]]] = {}
    for at, instance in wanted.items():
        meant.setdefault(at, set()).add((instance.ordinal, instance.model))
    for group in ownership.instances:
        meant.setdefault(group.address, set()).add((group.ordinal, group.model))
    return [
        error(
            "CX414",
            f'{at} would be both the model "{other}" and replica {ordinal} of the model "{model}"',
            wanted[at].place_of("") if at in wanted else None,
            help=f'keep "{other}" out of the stack, or the replica in it; apply, and then make the other change',
        )
        for at, meanings in sorted((at, meanings) for at, meanings in meant.items() if len(meanings) > 1)
        for (_, other), (ordinal, model) in pairwise(sorted(meanings))
    ]


def not_touched(seen: ObservedHost, ownership: Ownership) -> list[Diagnostic]:
    """Containers with the stack's labels that are not its own. They block nothing, so the plan continues."""
    return [
        warning(
            "CX416",
            f"{seen.name}: {describe_left_alone(other)}; cortexctl does not touch it",
            help=_TO_DO[other.reason],
        )
        for other in ownership.left_alone
    ]


_TO_DO = {
    LeftAloneReason.COPY: "no action is needed: remove it yourself when it is no longer used",
    LeftAloneReason.UNPROVEN: "if it is ours, restore its old name (docker rename); else remove it yourself",
    LeftAloneReason.UNREADABLE: "labels cannot change: remove it yourself when it is no longer used",
}


def left_behind(
    changes: list[Change], wanted: Wanted, seen: ObservedHost, host: Host, *, destroy: bool
) -> list[Diagnostic]:
    """Containers that were adopted and then replaced. They have no labels, only the name that the replacement gave
    them: they stay when their model is removed, and so does their network.
    """
    goes = {(c.model, c.detail.ordinal) for c in changes if c.action is Action.REMOVE and not c.only_tidies}
    goes |= {(i.model, i.ordinal) for i in wanted.values()} if destroy else set()
    names = {serving_name(model, ordinal): address(seen.name, model, ordinal) for model, ordinal in goes}
    touched = {ref.id for change in changes for ref in change.detail.touched}
    stays = [
        (names[without_generation(c.name)], c)
        for c in seen.containers
        if c.id not in touched
        and not owner_of(c.labels)
        and is_generation_name(c.name)
        and without_generation(c.name) in names
    ]
    return [
        warning(
            "CX417",
            f"{whose}: {c.name} stays; it was adopted and later replaced, and has no labels that show its owner",
            detail=f"the network {' and '.join(c.networks)} stays with it" if destroy and c.networks else "",
            help=f"if it is no longer used: docker -H {host.docker} rm {c.name}"
            + ("; then run destroy again to remove the network" if destroy and c.networks else ""),
        )
        for whose, c in stays
    ]


def misplaced(seen: ObservedHost, ownership: Ownership) -> list[Diagnostic]:
    return [
        error(
            "CX404",
            f'{seen.name}: the container {container.name} was created for the host "{container.labels[HOST]}"',
            help="if the host was renamed, restore its old name; if two hosts of the stack are one daemon, keep "
            "one of them",
        )
        for container in ownership.misplaced
    ]


def unreachable(wanted: Wanted, seen: ObservedHost, request: Request) -> list[Diagnostic]:
    """A host that cannot be read blocks the plan, unless that is allowed, or nothing on it is selected."""
    models = sorted({i.model for i in wanted.values() if request.wants(i.host, i.model, i.address)})
    if not models and (request.target or request.exclude):
        return []
    left_out = f"; omitted from this plan: {', '.join(models)}" if models else ""
    severity = warning if request.allow_unreachable else error
    return [severity("CX401", f"{seen.name}: {seen.problem}{left_out}", help=seen.next_step)]


def gone_hosts(known: Observed, desired: Desired, request: Request) -> list[Diagnostic]:
    """Hosts of another stack, or of a snapshot, that this stack does not have: no command reads them any more."""
    names = {h.name for h in desired.hosts}
    left = {
        host.name: owned_instances(host, desired.owner, desired.moved)
        for host in known.hosts
        if host.name not in names and host.name in request.hosts_to_read([h.name for h in known.hosts])
    }
    return [
        warning(
            "CX419",
            f"{host} is no longer in the stack, so cortexctl cannot read it; its containers stay: "
            + ", ".join(instances),
            help=f"keep [hosts.{host}] with retired = true for one apply, which removes them; then remove the block",
        )
        for host, instances in left.items()
        if instances
    ]


_NOT_KNOWN = {
    Fact.RECORD: "the last applied specs and the start times are not known",
    Fact.IMAGE: "whether a registry has them is not known",
    Fact.LIMITS: "manual changes of limits are not detected",
}
"""The effect of each missing fact. Other gaps of a snapshot have diagnostics of their own."""


def not_in_snapshot(observed: Observed, name: str) -> list[Diagnostic]:
    """Facts that a plan needs and the snapshot does not have: one warning per kind of fact."""
    names = {(h.name, c.id): f"{c.name} on {h.name}" for h in observed.hosts for c in h.containers}
    lacking: dict[Fact, list[str]] = {}
    for fact, (host, what) in sorted(observed.unknown):
        lacking.setdefault(fact, []).append(names.get((host, what), f"{what} on {host}" if what else host))
    return [
        warning("CX418", f"{name} has no {fact} for {', '.join(lacking[fact])}: {meaning}")
        for fact, meaning in _NOT_KNOWN.items()
        if fact in lacking
    ]
