"""How drift is observed: once, if nothing is suspicious; twice if something seems wrong, with the lock read first, so
that a running apply is never mistaken for drift; then inspections, then the servers themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from cortexctl.concurrently import HOSTS, at_once_watched
from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired
from cortexctl.errors import DaemonError
from cortexctl.observe.gather import gather, list_hosts, read_records, unread_host
from cortexctl.observe.recheck import LockReaders, reread
from cortexctl.observed.health import Answer, HealthOutcome
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.inspected import InspectedHost
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.observed.observation import Fact, Observed
from cortexctl.plan.adopt.adopt import owned_on
from cortexctl.plan.drift.finding import Facts, Kind
from cortexctl.plan.drift.instance_findings import serving_of
from cortexctl.plan.drift.report import DriftSelection, find_drift
from cortexctl.plan.drift.servers import Server, servers_of, sorted_answers
from cortexctl.plan.needs import Adoptable, needs_of_drift
from cortexctl.waiting import UNWATCHED, Watch

CheckHealth = Callable[[Sequence[Server]], Mapping[tuple[str, str], Answer]]
"""All servers at once, by host and container; omits servers that it does not know."""


class DriftReaders(LockReaders, Protocol):
    """Inspects serving containers, too."""

    def deep(self, host: str, ours: Mapping[str, Adoptable]) -> InspectedHost: ...


@dataclass(frozen=True, slots=True)
class DriftObserver:
    """What to read, and in which depth. `check_health`: None if no server is checked. `is_dead`: whether the holder of
    a lock is provably gone, by its daemon's time. `version`: this cortexctl's.
    """

    desired: Desired
    only: DriftSelection
    readers: DriftReaders
    check_health: CheckHealth | None
    is_dead: Callable[[LockInfo, int], bool]
    version: str
    deep: bool = False
    watch: Watch = UNWATCHED

    def observe(self) -> tuple[Observed, Facts]:
        """All facts that `find_drift` needs. A host that stops answering meanwhile counts as unreachable."""
        observed, facts = self._first()
        observed, facts = self._again(observed, facts, self._suspicious(observed, facts))
        facts = self._health(observed, facts)
        observed, facts = self._again(observed, facts, _unhealthy(facts))
        return self._deep(observed, facts) if self.deep else (observed, facts)

    def _first(self) -> tuple[Observed, Facts]:
        """Two requests per host if nothing is in doubt: the list, and the record in its usual place."""
        listed = list_hosts(self.desired, self.readers, watch=self.watch)
        recorded = read_records(listed, lambda name: self.readers.record(name, unfinished=False), self.watch)
        observed = gather(recorded, partial(needs_of_drift, self.desired), self.readers, watch=self.watch)
        return observed, Facts(deep=self.deep, version=self.version, in_place=observed.in_place)

    def _suspicious(self, observed: Observed, facts: Facts) -> set[str]:
        """The hosts where something seems wrong."""
        findings = find_drift(self.desired, observed, facts, self.only).findings
        return {f.host for f in findings if f.kind not in {Kind.UNREACHABLE, Kind.UNMANAGED}}

    def _again(self, observed: Observed, facts: Facts, suspicious: Collection[str]) -> tuple[Observed, Facts]:
        """These hosts are read once more, each after its lock."""
        hosts = {name for name in suspicious if name not in facts.busy}
        if not hosts:
            return observed, facts
        again = reread(self.desired, hosts, self.readers, self.watch)
        observed = observed.renewed(again.observed)
        busy = {name: at.holder for name, at in again.locks.items() if not self.is_dead(at.holder, int(at.now))}
        return observed, replace(facts, in_place=observed.in_place, busy={**facts.busy, **busy})

    def _health(self, observed: Observed, facts: Facts) -> Facts:
        if self.check_health is None:
            return replace(facts, health_checked=False)
        servers = [
            s for s in servers_of(self.desired, observed, facts.busy) if self.only.wants_instance(s.subject, s.model)
        ]
        health, unchecked = sorted_answers(servers, self.check_health(servers))
        return replace(facts, health=health, unchecked=unchecked)

    def _deep(self, observed: Observed, facts: Facts) -> tuple[Observed, Facts]:
        hosts = [h for h in observed.hosts if h.is_reachable and h.name not in facts.busy]
        read = at_once_watched(
            partial(self._inspect, observed), hosts, self.watch, name=lambda seen: seen.name, most=HOSTS
        )
        answers = dict(zip((h.name for h in hosts), read, strict=True))
        inspected = {name: answer for name, answer in answers.items() if isinstance(answer, InspectedHost)}
        lost = {n: unread_host(n, Fact.ADOPTION, a) for n, a in answers.items() if isinstance(a, DaemonError)}
        observed = observed.with_hosts(lost)
        containers = {(name, id_): one for name, at in inspected.items() for id_, one in at.inspected.items()}
        return observed, replace(facts, inspected=containers, images={n: at.images for n, at in inspected.items()})

    def _inspect(self, observed: Observed, seen: ObservedHost) -> InspectedHost | DaemonError:
        try:
            return self.readers.deep(seen.name, _ours(self.desired, observed, seen))
        except DaemonError as cause:
            return cause


def _unhealthy(facts: Facts) -> set[str]:
    return {host for (host, _), answer in facts.health.items() if answer.outcome is not HealthOutcome.HEALTHY}


def _ours(desired: Desired, observed: Observed, seen: ObservedHost) -> Mapping[str, Adoptable]:
    """The serving containers of wanted instances: there are no expectations about others."""
    wanted = desired.by_host()[seen.name]
    applied = observed.record(seen.name).applied
    owned = owned_on(seen, desired, wanted, observed)
    serving = {a: serving_of(i, applied.get(a)) for a, i in owned.items() if a in wanted}
    return {
        o.container.id: (o.container, applied[a].spec if o.imported and a in applied else o.spec)
        for a, o in serving.items()
        if o is not None and o.spec is not None
    }
