"""find_drift(desired, observed, facts) -> DriftReport: differences from what was applied, and from the stack.

Drift is observed against applied (the containers' labels, and the host's record of containers that are gone); pending
is the stack against applied. A pure function of values, as `plan` is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.instance import labels
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import OwnedInstance, SpecLabels, describe_left_alone
from cortexctl.observed.record import Applied
from cortexctl.plan.comparison import Compared, ComparedHost, compare
from cortexctl.plan.conflicts import overlap
from cortexctl.plan.decide import state_text
from cortexctl.plan.drift.finding import CheckedHost, Code, DriftReport, Facts, Finding, Kind, Note
from cortexctl.plan.drift.instance_findings import OneInstance, is_ignored
from cortexctl.plan.selection import Selection

NO_FACTS = Facts()
_RANK = {kind: number for number, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True)
class DriftSelection(Selection):
    """The findings to report: of these instances, hosts and kinds."""

    kinds: tuple[Kind, ...] = ()

    @property
    def as_flags(self) -> tuple[str, ...]:
        """The options in their original form."""
        return (*self.selecting, *(f"--kind {kind}" for kind in self.kinds))

    def hosts_of(self, desired: Desired) -> Desired:
        """The stack with the selected hosts only: the others are not read at all."""
        if not self.host and not self.target:
            return desired
        names = [h.name for h in desired.hosts]
        return desired.on_hosts([h for h in self.hosts_to_read(names) if self.wants_host(h)])

    def wants_finding(self, finding: Finding) -> bool:
        if finding.kind is Kind.UNREACHABLE:
            return True
        if self.kinds and finding.kind not in self.kinds:
            return False
        return self.wants_instance(finding.subject, finding.model)


EVERYTHING = DriftSelection()


def find_drift(
    desired: Desired, observed: Observed, facts: Facts = NO_FACTS, only: DriftSelection = EVERYTHING
) -> DriftReport:
    """All findings, by kind and place. `observed` has the hosts that `only` selects, with their records."""
    whole, compared = desired, compare(only.hosts_of(desired), observed)
    desired, hosts = compared.desired, _hosts(compared, facts)
    models = {address: model for h in hosts for address, model in h.models()}
    wanted = [f for h in hosts for f in h.findings(only) if only.wants_finding(f)]
    passed_over = {i.address: i.ignore_drift for i in desired.instances if i.ignore_drift}
    reported = [f for f in wanted if not _is_passed_over(f, desired.ignore_drift, passed_over.get(f.subject, ()))]
    return DriftReport(
        stack=desired.stack,
        stack_path=desired.path,
        stack_digest=desired.digest,
        env=desired.env,
        invocation=replace(desired.invocation, stack=desired.path, env=desired.env),
        deep=facts.deep,
        health_checked=facts.health_checked,
        kinds=only.kinds,
        selection=only.as_flags,
        hosts=tuple(h.checked(only) for h in hosts),
        findings=tuple(sorted(reported, key=_order)),
        checked=len(facts.health),
        unchecked=tuple(n for n in facts.unchecked if only.wants_instance(n.subject, models.get(n.subject, ""))),
        notes=tuple(n for h in hosts for n in h.notes(only)),
        ignored=len(wanted) - len(reported),
        unknown_secrets=len(
            {s.origin for i in desired.instances for s in i.spec.container.secrets if not s.fingerprint}
        ),
        diagnostics=tuple(only.unmatched_patterns(models.items(), sorted(models), [h.name for h in whole.hosts])),
    )


def _hosts(compared: Compared, facts: Facts) -> list[_OneHost]:
    hosts = []
    for host in sorted(compared.desired.hosts, key=lambda h: h.name):
        applied = compared.observed.record(host.name).applied
        hosts.append(_OneHost(host, compared.hosts[host.name], compared.desired, applied, facts, compared.spec_labels))
    return hosts


@dataclass(frozen=True, slots=True)
class _OneHost:
    """A host: the stack's instances there, wanted and existing, and the applied ones by address."""

    host: Host
    here: ComparedHost
    desired: Desired
    applied: Mapping[str, Applied]
    facts: Facts
    spec_labels: SpecLabels

    @property
    def seen(self) -> ObservedHost:
        return self.here.seen

    @property
    def wanted(self) -> Mapping[str, Instance]:
        return self.here.wanted

    @property
    def existing(self) -> Mapping[str, OwnedInstance]:
        return self.here.owned

    @property
    def is_judged(self) -> bool:
        """During an apply, a stopped container is not drift, and an additional one is not a leftover."""
        return self.seen.is_reachable and self.host.name not in self.facts.busy

    def checked(self, only: DriftSelection) -> CheckedHost:
        instances = sum(only.wants_instance(i.address, i.model) for i in self.wanted.values()) if self.is_judged else 0
        busy = self.facts.busy.get(self.host.name)
        return CheckedHost(self.host.name, self.seen.daemon, instances, self.seen.problem, busy)

    def models(self) -> Iterator[tuple[str, str]]:
        """(address, model) of every instance that is wanted here or exists here."""
        yield from ((i.address, i.model) for i in self.wanted.values())
        yield from ((i.address, i.model) for i in self.existing.values())

    def findings(self, only: DriftSelection) -> Iterator[Finding]:
        if not self.seen.is_reachable:
            if not only.target or any(only.wants_instance(i.address, i.model) for i in self.wanted.values()):
                yield self._unreachable()
            return
        for instance in self._instances():
            yield from instance.findings()
        if self.is_judged:
            yield from self._orphans()
            yield from self._misplaced()
        blocked = _Blocked(self.wanted)
        alone = self.here.ownership.left_alone
        yield from (self._unmanaged(a.container, blocked, describe_left_alone(a)) for a in alone)
        adopted = {o.container.id for i in self.existing.values() for o in i.all if o.imported}
        others = (c for c in self.seen.containers if not self._is_ours(c) and c.id not in adopted)
        yield from (self._unmanaged(c, blocked) for c in others)

    def notes(self, only: DriftSelection) -> Iterator[Note]:
        for instance in self._instances():
            if only.wants_instance(instance.wanted.address, instance.wanted.model):
                yield from instance.notes()

    def _instances(self) -> Iterator[OneInstance]:
        if not self.is_judged:
            return
        for address, wanted in sorted(self.wanted.items()):
            yield OneInstance(
                wanted,
                self.existing.get(address),
                self.applied.get(address),
                self.facts,
                self.seen.daemon,
                self.spec_labels,
            )

    def _unreachable(self) -> Finding:
        seen = self.seen
        return Finding(
            Kind.UNREACHABLE, Code.UNREADABLE_HOST, seen.name, seen.name, actual=seen.problem, detail=seen.next_step
        )

    def _orphans(self) -> Iterator[Finding]:
        """Orphans that the stack marked to forget are left alone, as in a plan."""
        for address, instance in self.existing.items():
            head = instance.serving or instance.others[-1]
            if address in self.wanted or head.forget:
                continue
            yield Finding(
                Kind.ORPHAN,
                Code.DISABLED if instance.model in self.desired.disabled else Code.NOT_IN_STACK,
                self.host.name,
                address,
                instance.model,
                head.container.name,
                "container",
                actual=state_text(head.container),
                detail="protected" if any(o.protect for o in instance.all) else "",
            )

    def _misplaced(self) -> Iterator[Finding]:
        host = self.host.name
        for c in self.here.ownership.misplaced:
            model, made_for = c.labels[labels.MODEL], c.labels[labels.HOST]
            subject = f"{host}/{c.name}"
            yield Finding(Kind.ORPHAN, Code.OTHER_HOST, host, subject, model, c.name, "label", host, made_for)

    def _is_ours(self, container: ObservedContainer) -> bool:
        return labels.owner_of(container.labels) == self.desired.owner

    def _unmanaged(self, container: ObservedContainer, blocked: _Blocked, why: str = "") -> Finding:
        """Named after the instance that it blocks, if any. `why`: the reason why a container with our labels is not
        ours.
        """
        host = self.host.name
        finding = Finding(
            Kind.UNMANAGED, Code.LEFT_ALONE if why else Code.FOREIGN, host, f"{host}/{container.name}", "",
            container.name, "container", actual=container.state, detail=why or labels.owner_of(container.labels),
        )  # fmt: skip
        instance, port = blocked.by(container)
        if instance is None:
            return finding
        if not port:
            return replace(finding, code=Code.NAME_TAKEN, path="name", expected=instance.address)
        return replace(finding, code=Code.PORT_TAKEN, path="publish", expected=instance.address, actual=port)


class _Blocked:
    """The instances of a host by what each needs for itself: its name, and its port."""

    def __init__(self, wanted: Mapping[str, Instance]) -> None:
        self._instances = list(wanted.values())
        self._names: dict[str, int] = {}
        self._ports: dict[int, list[tuple[int, str]]] = {}
        for number, instance in enumerate(self._instances):
            self._names.setdefault(labels.serving_name(instance.model, instance.ordinal), number)
            publish = instance.spec.container.publish
            if publish and publish.port:
                self._ports.setdefault(publish.port, []).append((number, publish.address))

    def by(self, container: ObservedContainer) -> tuple[Instance | None, str]:
        """The first instance that a container blocks, and the port that both need; empty if it is the name."""
        ports = [
            (number, f"{bound.address}:{bound.port}")
            for bound in container.ports
            for number, address in self._ports.get(bound.port, ())
            if overlap(bound.address, address)
        ]
        named = [(self._names[container.name], "")] if container.name in self._names else []
        number, port = min([*named, *ports], key=lambda one: one[0], default=(None, ""))
        return (None if number is None else self._instances[number]), port


def _is_passed_over(finding: Finding, patterns: Iterable[str], paths: Iterable[str]) -> bool:
    """By the stack's `[drift] ignore`, or by the model's `ignore_drift`. A host that cannot be read is only ignored by
    name: `unreachable:gpu-5`.
    """
    for pattern in patterns:
        kind, colon, glob = pattern.partition(":")
        if not colon:
            kind, glob = "", pattern
        applies = kind == finding.kind or (not kind and finding.kind is not Kind.UNREACHABLE)
        if applies and fnmatchcase(finding.subject, glob):
            return True
    return finding.kind in {Kind.DRIFT, Kind.UNHEALTHY} and is_ignored(finding.path, paths)


def _order(finding: Finding) -> tuple[int, str, str, str, str]:
    return _RANK[finding.kind], finding.host, finding.subject, finding.path, finding.container
