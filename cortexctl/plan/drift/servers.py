"""Which servers to ask for their health and where, and what their answers mean. Pure; `health.ask` does the asking."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cortexctl.desired.stack import Desired, Instance
from cortexctl.engines.registry import engine_of
from cortexctl.observed.health import Answer, HealthOutcome
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import OwnedInstance, owned_instances
from cortexctl.plan.adopt.adopt import with_adopted
from cortexctl.plan.diff import NETWORK
from cortexctl.plan.drift.finding import NotAsked
from cortexctl.plan.drift.instance_findings import is_ignored, serving_of


@dataclass(frozen=True, slots=True)
class Server:
    """A container of a wanted instance that should serve, by host and id."""

    host: str
    container: str
    subject: str
    model: str
    health: str
    """The path of its health."""

    @property
    def key(self) -> tuple[str, str]:
        return self.host, self.container


def servers_of(desired: Desired, observed: Observed, busy: Collection[str] = ()) -> tuple[Server, ...]:
    """One that is down, off its network or still a candidate is not asked; nor is any of a host that is worked on."""
    return tuple(sorted(_servers(desired, observed, busy), key=lambda s: s.subject))


def sorted_answers(
    servers: Sequence[Server], answers: Mapping[tuple[str, str], Answer]
) -> tuple[dict[tuple[str, str], Answer], tuple[NotAsked, ...]]:
    """The answers by host and container, and who could not be asked: a broken way is no fault of a server."""
    asked = [(s, answers[s.key]) for s in servers if s.key in answers]
    heard = {s.key: answer for s, answer in asked if answer.outcome is not HealthOutcome.UNREACHED}
    unreached = ((s, answer) for s, answer in asked if answer.outcome is HealthOutcome.UNREACHED)
    return heard, tuple(NotAsked(s.subject, answer.why) for s, answer in unreached)


def found_on(
    seen: ObservedHost, desired: Desired, wanted: Mapping[str, Instance], observed: Observed
) -> dict[str, OwnedInstance]:
    """What is the stack's on a host, by address: by its labels, or taken by name."""
    return with_adopted(owned_instances(seen, desired.owner, desired.moved), wanted, seen, observed)


def _servers(desired: Desired, observed: Observed, busy: Collection[str]) -> Iterator[Server]:
    known = {h.name for h in desired.hosts}
    wanted_on = desired.by_host()
    for seen in observed.hosts:
        if seen.name not in known or not seen.is_reachable or seen.name in busy:
            continue
        wanted = wanted_on.get(seen.name, {})
        for address, found in found_on(seen, desired, wanted, observed).items():
            serving = serving_of(found, observed.record(seen.name).applied.get(address))
            if address not in wanted or serving is None or serving.spec is None or not serving.container.is_running:
                continue
            let_be = serving.imported is not None and is_ignored(NETWORK, wanted[address].ignore)
            if let_be or serving.spec.container.network in serving.container.networks:
                health = engine_of(serving.spec.server).contract.health
                yield Server(seen.name, serving.container.id, address, found.model, health)
