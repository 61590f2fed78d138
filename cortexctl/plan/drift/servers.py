"""The servers whose health is to be checked, their addresses, and the meaning of their answers. Pure:
`health.health_check` sends the requests.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired
from cortexctl.engines.registry import contract_named
from cortexctl.observed.health import Answer, HealthOutcome
from cortexctl.observed.host import Listed
from cortexctl.observed.observation import Observed
from cortexctl.plan.comparison import compare
from cortexctl.plan.diff import NETWORK
from cortexctl.plan.drift.finding import UncheckedServer
from cortexctl.plan.drift.instance_findings import is_ignored, serving_of


@dataclass(frozen=True, slots=True)
class Server:
    """The container of a wanted instance that should serve, by host and id."""

    host: str
    container: str
    subject: str
    model: str
    health: str
    """The path of its health."""
    port: int = 0
    """As its label records it."""
    listed: Listed | None = None
    """Where it is, as the list of containers shows it. None for a container without a label: it may listen anywhere."""

    @property
    def key(self) -> tuple[str, str]:
        return self.host, self.container


def servers_of(desired: Desired, observed: Observed, busy: Collection[str] = ()) -> tuple[Server, ...]:
    """Omits servers that are down, off their network or still candidates, and all servers of a host with a running
    apply.
    """
    return tuple(sorted(_servers(desired, observed, busy), key=lambda s: s.subject))


def sorted_answers(
    servers: Sequence[Server], answers: Mapping[tuple[str, str], Answer]
) -> tuple[dict[tuple[str, str], Answer], tuple[UncheckedServer, ...]]:
    """The answers by host and container, and the servers that could not be reached: a broken route is not the server's
    fault.
    """
    checked = [(s, answers[s.key]) for s in servers if s.key in answers]
    answered = {s.key: answer for s, answer in checked if answer.outcome is not HealthOutcome.UNREACHED}
    unreached = ((s, answer) for s, answer in checked if answer.outcome is HealthOutcome.UNREACHED)
    return answered, tuple(UncheckedServer(s.subject, answer.why) for s, answer in unreached)


def _servers(desired: Desired, observed: Observed, busy: Collection[str]) -> Iterator[Server]:
    compared = compare(desired, observed)
    for name, host in compared.hosts.items():
        if not host.seen.is_reachable or name in busy:
            continue
        for address, instance in host.owned.items():
            serving = serving_of(instance, observed.record(name).applied.get(address))
            if address not in host.declared or serving is None or serving.spec is None:
                continue
            if not serving.container.is_running:
                continue
            let_be = serving.imported is not None and is_ignored(NETWORK, host.declared[address].ignore)
            if let_be or serving.spec.container.network in serving.container.networks:
                health, id_ = contract_named(serving.spec.server.engine).health, serving.container.id
                listed = None if serving.imported else host.seen.listed.get(id_)
                yield Server(name, id_, address, instance.model, health, serving.spec.container.port, listed)
