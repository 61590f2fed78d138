"""What stands against a plan because of what is found on a host: protection, unreadable labels, strange containers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise

from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.diagnostics import Diagnostic, error, warning
from cortexctl.instance.labels import HOST, MODEL, MOST_GENERATIONS, address, is_generation_name, owner_of, serving_name
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.observation import Fact, Observed
from cortexctl.observed.owned import (
    LeftAloneReason,
    OwnedInstance,
    describe_left_alone,
    left_alone,
    misplaced_containers,
    owned_groups,
)
from cortexctl.plan.action import Action
from cortexctl.plan.model import Change
from cortexctl.plan.request import Request

Wanted = Mapping[str, Instance]
"""A host's instances by address."""


def protected(
    changes: list[Change], found: Mapping[str, OwnedInstance], wanted: Wanted, unprotect: Collection[str]
) -> list[Diagnostic]:
    """The stack's word counts while it declares the model; afterwards the label's does."""
    refused = []
    for change in changes:
        instance = found.get(change.address)
        if instance is None or change.action is not Action.REMOVE or change.address in unprotect:
            continue
        declared = wanted.get(change.address)
        if declared.policy.protect if declared else any(o.protect for o in instance.all):
            refused.append(
                error(
                    "CX403",
                    f"{change.address} is protected and would be removed",
                    help=f"if that is what you want, say so: --unprotect {change.address}",
                )
            )
    return refused


def not_yet_protected(changes: list[Change], found: Mapping[str, OwnedInstance], wanted: Wanted) -> list[Diagnostic]:
    """`protect` lives in a label, which a container that is there already cannot get."""
    return [
        warning(
            "CX409",
            f"{change.address}: protect is not recorded in the container that runs, whose labels cannot change",
            wanted[change.address].place_of("protect"),
            help=f"it will be from its next replacement on; to have it now: --replace {change.address}",
        )
        for change in changes
        if change.address in wanted
        and wanted[change.address].policy.protect
        and change.action in {Action.NO_OP, Action.START, Action.UPDATE, Action.ADOPT, Action.RESTART}
        and not any(o.protect for o in found[change.address].all)
    ]


def unreadable(found: Mapping[str, OwnedInstance]) -> list[Diagnostic]:
    return [
        error(
            "CX402",
            f"{instance.address}: the recorded spec of {owned.container.name} cannot be read: {owned.problem}",
            help="it was written by a newer cortexctl, or by hand; upgrade cortexctl, or remove the container",
        )
        for instance in found.values()
        for owned in instance.all
        if owned.spec is None
    ]


def past_the_last_generation(changes: list[Change]) -> list[Diagnostic]:
    """A container would get a label that nobody reads again."""
    return [
        error(
            "CX402",
            f"{change.address}: its next generation would be {change.detail.generation:,}, and the last is "
            f"{MOST_GENERATIONS:,}",
            help="somebody wrote the number of a container or of the host's record by hand; remove the one that has it",
        )
        for change in changes
        if change.detail.generation > MOST_GENERATIONS
    ]


def two_in_one(found: Mapping[str, OwnedInstance]) -> list[Diagnostic]:
    """Two models that serve and are to be one (by `moved`): one of them would be removed as the other's old self."""
    clashes = []
    for instance in found.values():
        serving = [o for o in instance.all if not is_generation_name(o.container.name)]
        names = sorted({o.container.labels.get(MODEL, instance.model) for o in serving})
        if len(names) > 1:
            clashes.append(
                error(
                    "CX414",
                    f"{instance.address}: the containers of two models, {' and '.join(names)}, would be this one's",
                    help="correct `moved`: give each its own name, or remove one of the models first",
                )
            )
    return clashes


def two_meanings(wanted: Wanted, seen: ObservedHost, owner: str, moved: Mapping[str, str]) -> list[Diagnostic]:
    """Containers of one model's replica at the address of another model: `chat.2` may be both."""
    meant: dict[str, set[tuple[int, str]]] = {}
    for at, instance in wanted.items():
        meant.setdefault(at, set()).add((instance.ordinal, instance.model))
    for found in owned_groups(seen, owner, moved):
        meant.setdefault(found.address, set()).add((found.ordinal, found.model))
    return [
        error(
            "CX414",
            f'{at} would be the model "{other}" and replica {ordinal} of the model "{model}"',
            wanted[at].place_of("") if at in wanted else None,
            help=f'leave "{other}" out of the stack, or its replica in; apply that, and then change the other',
        )
        for at, meanings in sorted(meant.items())
        for (_, other), (ordinal, model) in pairwise(sorted(meanings))
    ]


def not_touched(seen: ObservedHost, desired: Desired) -> list[Diagnostic]:
    """Containers with the stack's labels that are none of its own. They are in nobody's way, so nothing stops."""
    return [
        warning("CX416", f"{seen.name}: {describe_left_alone(other)}; it is left alone", help=_TO_DO[other.reason])
        for other in left_alone(seen, desired.owner, desired.moved)
    ]


_TO_DO = {
    LeftAloneReason.COPY: "no action is needed: remove it yourself when it is no longer used",
    LeftAloneReason.UNPROVEN: "if it is ours, restore its old name (docker rename); else remove it yourself",
    LeftAloneReason.UNREADABLE: "labels cannot change: remove it yourself when it is no longer used",
}


def left_behind(
    changes: list[Change], wanted: Wanted, seen: ObservedHost, host: Host, *, destroy: bool
) -> list[Diagnostic]:
    """Containers that were adopted and then replaced. No label says that they are ours: they stay as their model goes,
    and with them the network that they are on.
    """
    goes = {(c.model, c.detail.ordinal) for c in changes if c.action is Action.REMOVE and not c.only_tidies}
    goes |= {(i.model, i.ordinal) for i in wanted.values()} if destroy else set()
    names = {serving_name(model, ordinal): address(seen.name, model, ordinal) for model, ordinal in goes}
    touched = {ref.id for change in changes for ref in change.detail.touched}
    stays = [
        (names[c.name.rpartition("--g")[0]], c)
        for c in seen.containers
        if c.id not in touched and not owner_of(c.labels) and is_generation_name(c.name)
        and c.name.rpartition("--g")[0] in names
    ]  # fmt: skip
    return [
        warning(
            "CX417",
            f"{whose}: {c.name} stays; it was adopted and later replaced, and has no labels that say whose it is",
            detail=f"the network {' and '.join(c.networks)} stays with it" if destroy and c.networks else "",
            help=f"if nobody needs it any more: docker -H {host.docker} rm {c.name}"
            + ("; then destroy again takes the network" if destroy and c.networks else ""),
        )
        for whose, c in stays
    ]


def strange(seen: ObservedHost, desired: Desired) -> list[Diagnostic]:
    return [
        error(
            "CX404",
            f'{seen.name}: the container {container.name} was made for the host "{container.labels[HOST]}"',
            help="if the host was renamed, give it its old name back; if two hosts of the stack are one daemon, "
            "keep one of them",
        )
        for container in misplaced_containers(seen, desired.owner, desired.moved)
    ]


def unreachable(wanted: Wanted, seen: ObservedHost, request: Request) -> list[Diagnostic]:
    """A host that cannot be read stands against the plan, unless that is allowed, or nothing there was asked for."""
    models = sorted({i.model for i in wanted.values() if request.wants(i.host, i.model, i.address)})
    if not models and (request.target or request.exclude):
        return []
    left_out = f"; left out of this plan: {', '.join(models)}" if models else ""
    said = warning if request.allow_unreachable else error
    return [said("CX401", f"{seen.name}: {seen.problem}{left_out}", help=seen.next_step)]


_NOT_KNOWN = {
    Fact.RECORD: "what was applied last and how long starts take is not known",
    Fact.IMAGE: "whether a registry has them is not known",
    Fact.LIMITS: "a change of limits by hand is not seen",
}
"""What is not known without a fact. What else a snapshot may lack has diagnostics of its own."""


def not_in_snapshot(observed: Observed, name: str) -> list[Diagnostic]:
    """What a plan asked a snapshot for, and it does not have: one warning a kind of fact."""
    names = {(h.name, c.id): f"{c.name} on {h.name}" for h in observed.hosts for c in h.containers}
    lacking: dict[Fact, list[str]] = {}
    for fact, (host, what) in sorted(observed.unknown):
        lacking.setdefault(fact, []).append(names.get((host, what), f"{what} on {host}" if what else host))
    return [
        warning("CX418", f"{name} has no {fact} for {', '.join(lacking[fact])}: {meaning}")
        for fact, meaning in _NOT_KNOWN.items()
        if fact in lacking
    ]
