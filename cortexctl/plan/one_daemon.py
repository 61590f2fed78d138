"""Two hosts of the stack that are one daemon, under two URLs: each would take the other's containers for its own.

No single fact shows it: daemons on one machine have the same id, and so have cloned machines. Two daemons never create
containers of the same ids, and a clone has another name than its original. What a plan cannot see, the locks of an
apply prove (`apply.locking`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic, error
from cortexctl.observed.observation import Observed


def hosts_with_equal_containers(observed: Observed) -> Iterator[Sequence[str]]:
    """Groups of hosts whose lists have the same containers, by their ids. A host without containers is in none."""
    groups: defaultdict[frozenset[str], list[str]] = defaultdict(list)
    for host in observed.hosts:
        if host.is_reachable and host.containers:
            groups[frozenset(c.id for c in host.containers)].append(host.name)
    return (names for names in groups.values() if len(names) > 1)


def one_daemon_twice(desired: Desired, observed: Observed) -> Iterator[Diagnostic]:
    """Hosts with the same containers, and with daemons of the same identity."""
    urls = {h.name: h.docker for h in desired.hosts}
    for names in hosts_with_equal_containers(observed):
        for one, other in combinations(sorted(urls.keys() & names), 2):
            identity = observed.identities.get(one)
            at = urls[one], urls[other]
            if identity and identity == observed.identities.get(other) and at[0] != at[1]:
                yield error(
                    "CX213",
                    f'hosts "{one}" and "{other}" are the same daemon ({" and ".join(at)}): they have the same '
                    "containers",
                    help="keep one of them in the stack",
                )
