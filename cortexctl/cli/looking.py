"""How `drift` looks at hosts: once, where that raises no question; twice where something seems wrong, with the lock
asked first, so that the middle of an apply is never taken for drift; then inspections, then the servers themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cortexctl import __version__
from cortexctl.cli.wiring import proven
from cortexctl.desired.stack import Desired, Host
from cortexctl.hosts.drift_read import Ours, as_observed, inspect_in_place, look_again, look_at, look_deep
from cortexctl.hosts.lock import is_dead
from cortexctl.observed.health import HealthOutcome
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.plan.drift.finding import Facts, Kind
from cortexctl.plan.drift.instance_findings import serving_of
from cortexctl.plan.drift.report import DriftSelection, find_drift
from cortexctl.plan.drift.servers import found_on, servers_of, sorted_answers
from cortexctl.plan.planner import adoptions_needed, inspections_needed


@dataclass(frozen=True, slots=True)
class Looking:
    """What to look at, and how closely. `health_timeout`: seconds for a server's answer; None: none is asked."""

    desired: Desired
    only: DriftSelection
    deep: bool
    health_timeout: float | None

    @property
    def hosts(self) -> tuple[Host, ...]:
        return self.desired.hosts

    def look(self) -> tuple[Observed, Facts]:
        """All that `find_drift` needs. A host that stops answering on the way counts as unreachable."""
        observed = self._with_adoptable(proven(self.desired, as_observed(look_at(self.hosts, self.desired.owner))))
        facts = self._in_place(observed, Facts(deep=self.deep, version=__version__))
        observed, facts = self._again(observed, facts, self._suspicious(observed, facts))
        facts = self._health(observed, facts)
        observed, facts = self._again(observed, facts, _sick(facts))
        return self._deep(observed, facts) if self.deep else (observed, facts)

    def _suspicious(self, observed: Observed, facts: Facts) -> set[str]:
        """The hosts where something seems wrong."""
        found = find_drift(self.desired, observed, facts, self.only).findings
        return {f.host for f in found if f.kind not in {Kind.UNREACHABLE, Kind.UNMANAGED}}

    def _again(self, observed: Observed, facts: Facts, suspicious: set[str]) -> tuple[Observed, Facts]:
        """These hosts are read once more, each after its lock."""
        hosts = [h for h in self.hosts if h.name in suspicious and h.name not in facts.busy]
        if not hosts:
            return observed, facts
        looks = {at.seen.name: at for at in look_again(hosts, self.desired.owner)}
        busy = {name: at.holder for name, at in looks.items() if at.holder and not is_dead(at.holder, int(at.now))}
        seen = tuple(looks[h.name].seen if h.name in looks else h for h in observed.hosts)
        records = {**observed.records, **{name: at.record for name, at in looks.items()}}
        observed = self._with_adoptable(proven(self.desired, replace(observed, hosts=seen, records=records)))
        return observed, self._in_place(observed, replace(facts, busy={**facts.busy, **busy}))

    def _with_adoptable(self, observed: Observed) -> Observed:
        """Inspect what the stack takes by its name: no label tells what it is."""
        wanted = adoptions_needed(self.desired, observed)
        if not wanted:
            return observed
        looks = look_deep([h for h in self.hosts if h.name in wanted], wanted, self.desired.owner)
        found = {(name, id_): one for name, at in looks.items() for id_, one in at.inspected.items()}
        return replace(observed, adoptable=found)

    def _in_place(self, observed: Observed, facts: Facts) -> Facts:
        """Inspect what may have been updated in place since it was made."""
        wanted: dict[str, list[str]] = {}
        for host, container in inspections_needed(self.desired, observed):
            wanted.setdefault(host, []).append(container)
        return replace(facts, in_place=inspect_in_place(self.hosts, wanted)) if wanted else facts

    def _health(self, observed: Observed, facts: Facts) -> Facts:
        if self.health_timeout is None:
            return replace(facts, health_asked=False)
        from cortexctl.health.health_check import query_all
        from cortexctl.hosts.container_reach import ContainerReach

        servers = [
            s for s in servers_of(self.desired, observed, facts.busy) if self.only.wants_instance(s.subject, s.model)
        ]
        docker = {h.name: h.docker for h in self.hosts}
        answers = query_all({s.key: ContainerReach(docker[s.host], s.container) for s in servers}, self.health_timeout)
        health, not_asked = sorted_answers(servers, answers)
        return replace(facts, health=health, not_asked=not_asked)

    def _deep(self, observed: Observed, facts: Facts) -> tuple[Observed, Facts]:
        seen = {h.name: h for h in observed.hosts}
        hosts = [h for h in self.hosts if seen[h.name].is_reachable and h.name not in facts.busy]
        ours = {h.name: _ours(self.desired, observed, seen[h.name]) for h in hosts}
        deep = look_deep(hosts, ours, self.desired.owner)
        lost = {name: d.problem for name, d in deep.items() if d.problem}
        problems = {n: ObservedHost(n, problem=p.message, next_step=p.next_step) for n, p in lost.items()}
        observed = replace(observed, hosts=tuple(problems.get(h.name, h) for h in observed.hosts))
        inspected = {(name, id_): found for name, d in deep.items() for id_, found in d.inspected.items()}
        return observed, replace(facts, inspected=inspected, images={name: d.images for name, d in deep.items()})


def _sick(facts: Facts) -> set[str]:
    return {host for (host, _), answer in facts.health.items() if answer.outcome is not HealthOutcome.HEALTHY}


def _ours(desired: Desired, observed: Observed, seen: ObservedHost) -> Ours:
    """The serving containers of wanted instances: of the others nothing is expected."""
    wanted = desired.by_host()[seen.name]
    applied = observed.record(seen.name).applied
    found = found_on(seen, desired, wanted, observed)
    serving = {a: serving_of(i, applied.get(a)) for a, i in found.items() if a in wanted}
    return {
        o.container.id: (o.container, applied[a].spec if o.imported and a in applied else o.spec)
        for a, o in serving.items()
        if o is not None and o.spec is not None
    }
