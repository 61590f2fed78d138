"""The fleet now: every instance of the stack, its state, health and endpoint."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from cortexctl.concurrently import at_once
from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.engines.registry import DEFAULT, contract_named
from cortexctl.errors import DaemonError
from cortexctl.instance.codec import spec_to_label
from cortexctl.instance.spec import Spec
from cortexctl.observe.gather import unread_host, with_identity
from cortexctl.observe.recheck import read_lock
from cortexctl.observed.health import Answer, HealthOutcome
from cortexctl.observed.host import Listed, ObservedHost
from cortexctl.observed.lock_holder import HeldLock
from cortexctl.observed.observation import Fact, Observed
from cortexctl.observed.owned import Owned, OwnedInstance, describe_left_alone, left_alone
from cortexctl.operations.connections import Connections, OpenHosts, open_hosts
from cortexctl.operations.lock import lock_state
from cortexctl.operations.status_results import UNREACHABLE, FleetStatus, HostLock, InstanceStatus
from cortexctl.plan.adopt.adopt import is_adopted, owned_on
from cortexctl.plan.decide import state_text
from cortexctl.plan.differing import differing_fields
from cortexctl.plan.placement import placed
from cortexctl.waiting import Watch

if TYPE_CHECKING:
    from cortexctl.engines.measurement import Measurement

Answered = ObservedHost | HeldLock | DaemonError | None
"""By a host: its containers, or the holder of its lock."""


def fleet_status(desired: Desired, connections: Connections | None = None) -> FleetStatus:
    """Changes nothing. `connections`: of the run."""
    with open_hosts(desired, connections, locates=True) as hosts:
        listed, locks = _listed_with_locks(desired, hosts)
        observed = with_identity(listed, desired, hosts, hosts.watch)
        instances = _instances(desired, observed, hosts)
    return FleetStatus(desired.owner, tuple(instances), locks, _left_alone(desired, observed))


def _with_measured(rows: list[tuple[InstanceStatus, Host, Spec | None]]) -> list[InstanceStatus]:
    """With the measurements of earlier equal starts, from this machine's store: no log is read."""
    from cortexctl.store.measurements import read_all

    known = read_all()
    if not known:
        return [row for row, _, _ in rows]
    from cortexctl.engines.measurement import same_start
    from cortexctl.operations.equal_starts import started_as

    by_start: dict[tuple[object, ...], Measurement | None] = {}

    def measured(host: Host, spec: Spec) -> Measurement | None:
        """Most hosts of a fleet have the same GPUs, and start the same."""
        start = (spec_to_label(spec), host.gpu_name, host.gpu_memory, host.gpu_capability)
        if start not in by_start:
            by_start[start] = same_start(known, started_as(host, spec))
        return by_start[start]

    return [replace(row, measured=measured(host, spec)) if spec else row for row, host, spec in rows]


def _listed_with_locks(desired: Desired, hosts: OpenHosts) -> tuple[Observed, tuple[HostLock, ...]]:
    """The containers of each host and the holder of its lock, all requests at once. A host whose lock cannot be read
    counts as unread.
    """
    names = [h.name for h in desired.hosts]
    answers = _both_of_each((hosts.observe, partial(read_lock, hosts)), names, hosts.watch)
    listed = Observed(tuple(answer for answer in answers if isinstance(answer, ObservedHost)))
    reachable = {h.name for h in listed.hosts if h.is_reachable}
    locks = {name: at for name, at in zip(names, answers[len(names) :], strict=True) if name in reachable}
    unread = {name: unread_host(name, Fact.LOCK, at) for name, at in locks.items() if isinstance(at, DaemonError)}
    current = (HostLock(name, lock_state(at)) for name, at in locks.items() if isinstance(at, HeldLock))
    return listed.with_hosts(unread), tuple(current)


def _both_of_each(
    reads: tuple[Callable[[str], Answered], Callable[[str], Answered]], names: Sequence[str], watch: Watch
) -> list[Answered]:
    """All answers to the first request, then all to the second. A host has answered once it has answered both."""
    answered_one: set[str] = set()
    guard = threading.Lock()

    def answer(request: tuple[Callable[[str], Answered], str]) -> Answered:
        read, name = request
        try:
            return read(name)
        finally:
            with guard:
                is_last = name in answered_one
                answered_one.add(name)
            if is_last:
                watch.answered(name)

    watch.begins(names)
    try:
        return at_once(answer, [(read, name) for read in reads for name in names])
    finally:
        watch.begins(())


def _left_alone(desired: Desired, observed: Observed) -> tuple[str, ...]:
    """Containers with the stack's labels that do not belong to it."""
    return tuple(
        f"{seen.name}: {describe_left_alone(other)}; cortexctl does not touch it"
        for seen in observed.hosts
        for other in left_alone(seen, desired.owner, desired.moved)
    )


def _instances(desired: Desired, observed: Observed, hosts: OpenHosts) -> list[InstanceStatus]:
    desired, _ = placed(desired, observed)
    wanted_on = desired.by_host()
    owned_at = {h.name: owned_on(h, desired, wanted_on[h.name], observed) for h in observed.hosts if h.is_reachable}
    listed = {h.name: h.listed for h in observed.hosts}
    serving_now = [(i.host, i.serving) for on in owned_at.values() for i in on.values() if i.serving]
    queries = {(at, s.container.id): _query(s, listed[at]) for at, s in serving_now if s.container.is_running}
    servers = _servers(queries, hosts)
    rows: list[tuple[InstanceStatus, Host, Spec | None]] = []
    for seen in observed.hosts:
        host = desired.host(seen.name)
        if not seen.is_reachable:
            rows.append((InstanceStatus(seen.name, UNREACHABLE, detail=seen.problem), host, None))
            continue
        wanted, owned = wanted_on[seen.name], owned_at[seen.name]
        for address in sorted(wanted.keys() | owned.keys()):
            instance = owned.get(address)
            serving = instance.serving if instance else None
            if serving is None:
                rows.append((InstanceStatus(address, "missing", detail=_others(instance)), host, None))
                continue
            detail = _beside(wanted[address], serving) if address in wanted else "no longer in the stack"
            rows.append(
                (_row(address, serving, servers.get((seen.name, serving.container.id)), detail), host, serving.spec)
            )
    return _with_measured(rows)


def _beside(wanted: Instance, serving: Owned) -> str:
    """The note beside its state."""
    if serving.imported and not is_adopted(serving):
        return f"{serving.container.name} is not adopted yet"
    if serving.imported:
        differs = bool(differing_fields(wanted, serving))
        return "differs from the stack" if differs else "adopted; it gets labels at its next replacement"
    same = serving.spec is not None and serving.spec == _with_recorded_fingerprints(wanted.spec, serving.spec)
    return "" if same else "differs from the stack"


@dataclass(frozen=True, slots=True)
class _Server:
    """A container that runs: where it is reached, and its health."""

    endpoint: str
    health: Answer


@dataclass(frozen=True, slots=True)
class _Query:
    """What to ask of a server: the path of its health. `listed`, with its `port`: where it is."""

    path: str
    listed: Listed | None
    port: int


def _query(serving: Owned, listed: Mapping[str, Listed]) -> _Query:
    """A container without a label may listen anywhere."""
    spec, by_label = serving.spec, serving.spec is not None and not serving.imported
    path = contract_named(spec.server.engine if spec else DEFAULT).health
    return _Query(path, listed.get(serving.container.id) if by_label else None, spec.container.port if spec else 0)


def _servers(queries: Mapping[tuple[str, str], _Query], hosts: OpenHosts) -> dict[tuple[str, str], _Server]:
    """By host and container id, all queried at once."""
    from cortexctl.health.health_check import QUICK, query_all

    hosts.watch.begins([host for host, _ in queries], "servers")
    reaches = {at: hosts.reach(*at, q.listed, q.port) for at, q in queries.items()}
    servers = {at: (reaches[at], q.path) for at, q in queries.items()}
    health = query_all(servers, QUICK, lambda at: hosts.watch.answered(at[0]))
    return {at: _Server(reaches[at].endpoint, health[at]) for at in queries}


def _row(address: str, serving: Owned, server: _Server | None, detail: str) -> InstanceStatus:
    state, endpoint = state_text(serving.container), ""
    if server is not None:
        (state, detail), endpoint = _health(server.health, detail), server.endpoint
    spec = serving.spec
    return InstanceStatus(
        address,
        state,
        generation=serving.generation,
        vllm=spec.server.version or "" if spec else "",
        serves_names=spec.server.served_names if spec else (),
        endpoint=endpoint,
        detail=detail,
    )


def _health(answer: Answer, detail: str) -> tuple[str, str]:
    """The state and the detail to show."""
    if answer.outcome is HealthOutcome.UNREACHED:
        return "running, cannot be reached", answer.why
    return (f"running, {answer.text}" if answer.text else "healthy"), detail


def _others(instance: OwnedInstance | None) -> str:
    names = [f"{o.container.name} is {o.container.state}" for o in instance.others] if instance else []
    return "; ".join(names)


def _with_recorded_fingerprints(wanted: Spec, recorded: Spec) -> Spec:
    """Status does not read secrets, so it compares with their recorded fingerprints."""
    import dataclasses

    if not wanted.container.secrets:
        return wanted
    known = {s.name: s.fingerprint for s in recorded.container.secrets}
    secrets = tuple(dataclasses.replace(s, fingerprint=known.get(s.name, "")) for s in wanted.container.secrets)
    return dataclasses.replace(wanted, container=dataclasses.replace(wanted.container, secrets=secrets))
