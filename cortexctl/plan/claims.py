"""What a change of a host needs for itself: GPUs, host ports, container names. Two changes that need the same run one
after the other; all others may run at the same time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from cortexctl.dataclass import dataclass
from cortexctl.instance.labels import serving_name
from cortexctl.instance.spec import Spec
from cortexctl.model_files.files import ModelSource, source_of
from cortexctl.observed.host import ObservedContainer, ObservedHost
from cortexctl.observed.owned import spec_of
from cortexctl.plan.action import Action
from cortexctl.plan.conflicts import overlap
from cortexctl.plan.model import Change, ContainerRef

Need = tuple[str, str | int]
_AT_REST = {"created", "exited", "dead"}
"""States in which a container has neither GPUs nor ports."""
_STARTS = {Action.CREATE, Action.START, Action.RESTART, Action.REPLACE}
_RUNS_ON = {Action.UPDATE, Action.MOVE, Action.ADOPT}
"""Actions that neither start nor stop a container: its GPUs and ports stay with it."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The resources of one change, before, while and after it is carried out. `is_known`: False if a container that
    runs has settings that cannot be read: then it may need anything.
    """

    names: frozenset[str] = frozenset()
    gpus: frozenset[int] = frozenset()
    ports: frozenset[tuple[str, int]] = frozenset()
    """Address and port on the host."""
    is_known: bool = True

    @property
    def needs(self) -> Iterator[Need]:
        """Each resource by its kind. Changes without a common one meet only if one of them is not known."""
        yield from (("name", name) for name in self.names)
        yield from (("GPU", gpu) for gpu in self.gpus)
        yield from (("port", port) for port in {port for _, port in self.ports})

    def meets(self, other: Claims) -> bool:
        """Whether the two changes must run one after the other. GPUs are never shared here, whatever the shares of
        their memory: vLLM measures the free memory while it starts, and a neighbour that starts too spoils the result.
        """
        if self.names & other.names or self.gpus & other.gpus:
            return True
        if not self.is_known or not other.is_known:
            return True
        return any(a[1] == b[1] and overlap(a[0], b[0]) for a in self.ports for b in other.ports)


def claims_of(change: Change, containers: Mapping[str, ObservedContainer]) -> Claims:
    """The claims of a change on a host with these `containers`, by id. A container that is restored after a failure
    counts, too.
    """
    detail = change.detail
    names = {serving_name(change.model, detail.ordinal), *(ref.name for ref in detail.touched)}
    names |= {serving_name(detail.moved_from, detail.ordinal)} if detail.moved_from else set()
    if change.action in _RUNS_ON:
        return Claims(frozenset(names))
    specs = list(_specs(change, containers))
    known = [spec.container for spec in specs if spec is not None]
    bound = (p for ref in detail.touched if ref.id in containers for p in containers[ref.id].ports)
    ports = {(c.publish.address, c.publish.port) for c in known if c.publish and c.publish.port}
    return Claims(
        frozenset(names),
        frozenset(gpu for container in known for gpu in container.gpus),
        frozenset(ports | {(p.address, p.port) for p in bound}),
        is_known=len(known) == len(specs),
    )


def waits_among(
    changes: Sequence[Change], host: ObservedHost, canaries: Collection[tuple[str, str]] = ()
) -> list[list[int]]:
    """For each change of a host: the earlier ones that it waits for directly. `changes`: in their order. `canaries`:
    host and address of the instances that go before others of their model.
    """
    containers = {c.id: c for c in host.containers}
    claims = [claims_of(change, containers) for change in changes]
    is_canary = [(c.host, c.address) in canaries for c in changes]
    downloads = [_download(change) for change in changes]
    rivals = _Rivals()
    first_of: dict[ModelSource, int] = {}
    canaries_before: dict[str, list[int]] = defaultdict(list)
    waits: list[list[int]] = []
    behind: list[int] = []
    """For each change, all that it waits for, directly or not: one bit for each earlier change."""
    for number, (change, mine) in enumerate(zip(changes, claims, strict=True)):
        download = downloads[number]
        first = {first_of.setdefault(download, number)} - {number} if download else set()
        go_first = set() if is_canary[number] else {*canaries_before[change.model]}
        direct: list[int] = []
        all_before = 0
        for earlier in sorted(first | go_first | rivals.of(mine, number), reverse=True):
            if all_before >> earlier & 1:
                continue
            if earlier in first or earlier in go_first or mine.meets(claims[earlier]):
                direct.append(earlier)
                all_before |= 1 << earlier | behind[earlier]
        waits.append(direct[::-1])
        behind.append(all_before)
        rivals.add(mine, number)
        if is_canary[number]:
            canaries_before[change.model].append(number)
    return waits


class _Rivals:
    """The earlier changes that may need what a change needs, by the resource."""

    def __init__(self) -> None:
        self._by_need: dict[Need, list[int]] = defaultdict(list)
        self._unknown: list[int] = []

    def of(self, mine: Claims, number: int) -> set[int]:
        if not mine.is_known:
            return set(range(number))
        return {earlier for need in mine.needs for earlier in self._by_need[need]}.union(self._unknown)

    def add(self, mine: Claims, number: int) -> None:
        for need in mine.needs:
            self._by_need[need].append(number)
        if not mine.is_known:
            self._unknown.append(number)


def _download(change: Change) -> ModelSource | None:
    """The repository that the change may download into a folder of the host. The first one does; another one that
    starts meanwhile would wait for it inside its container, and seem to make no progress.
    """
    before, after = (_repository(change.host, spec) for spec in (change.detail.before, change.detail.after))
    return after if change.action in {Action.CREATE, Action.REPLACE} and after != before else None


def _repository(host: str, spec: Spec | None) -> ModelSource | None:
    source = source_of(host, spec) if spec is not None and spec.container.env.get("HF_HUB_OFFLINE") != "1" else None
    return source if isinstance(source, ModelSource) and source.repo and source.root else None


def _specs(change: Change, containers: Mapping[str, ObservedContainer]) -> Iterator[Spec | None]:
    """The specs of the containers that run before, while or after the change; None for one that cannot be read."""
    detail = change.detail
    if change.action in _STARTS:
        yield detail.after
    for ref in detail.touched:
        if ref is detail.candidate:
            continue  # it has the new spec
        if ref is detail.serving and change.action is Action.REPLACE:
            yield None if ref.imported else detail.before  # also if it is down: a failure starts it again
        elif ref.state not in _AT_REST:
            yield _spec_of(ref, containers)


def _spec_of(ref: ContainerRef, containers: Mapping[str, ObservedContainer]) -> Spec | None:
    """From its label. A container that was adopted by name has none."""
    container = containers.get(ref.id)
    return spec_of(container)[0] if container is not None and not ref.imported else None
