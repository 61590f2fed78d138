"""Observing hosts: list their containers, then read what is needed until nothing is. Every command does it this way.

All hosts are read at once, and so are all facts that are needed at the same time. A fact that cannot be read makes its
host unreadable, as if its list could not be read: no decision uses half of a host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cortexctl.concurrently import at_once_watched
from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired
from cortexctl.errors import DaemonError
from cortexctl.observe.host_readers import ModelReaders
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.observation import Fact, Key, Observed
from cortexctl.plan.comparison import Compared, compare
from cortexctl.plan.needs import Needs, needs_of_identity, needs_of_plan, needs_of_rollback
from cortexctl.plan.request import Request
from cortexctl.waiting import UNWATCHED, Watch

if TYPE_CHECKING:
    from cortexctl.model_files.files import ModelFiles
    from cortexctl.observe.host_readers import ListReader, Readers
    from cortexctl.observed.record import HostRecord

Needed = Callable[[Observed], Needs]
NO_MODELS = ModelReaders()
EVERY_HOST = Request()
NOT_SELECTED = "it was not selected"


def observe_for_plan(
    desired: Desired,
    readers: Readers,
    request: Request = EVERY_HOST,
    models: ModelReaders = NO_MODELS,
    watch: Watch = UNWATCHED,
) -> Observed:
    """All facts that `plan` depends on."""
    return compare_for_plan(desired, readers, request, models, watch).observed


def compare_for_plan(
    desired: Desired,
    readers: Readers,
    request: Request = EVERY_HOST,
    models: ModelReaders = NO_MODELS,
    watch: Watch = UNWATCHED,
) -> Compared:
    """The same, beside the stack. After each answer, only the hosts that it changes are compared again."""
    compared = compare(desired, list_hosts(desired, readers, request, watch), request)
    while missing := needs_of_plan(compared):
        compared = compared.with_observed(_with_answers(compared.observed, missing, readers, models, watch))
    return compared


def observe_identity(desired: Desired, readers: Readers, watch: Watch = UNWATCHED) -> Observed:
    """The containers of the stack's hosts, and which of them are the stack's."""
    return with_identity(list_hosts(desired, readers, watch=watch), desired, readers, watch)


def with_identity(listed: Observed, desired: Desired, readers: Readers, watch: Watch = UNWATCHED) -> Observed:
    """Listed hosts, with what shows which containers are the stack's."""
    return gather(listed, partial(needs_of_identity, desired), readers, watch=watch)


def observe_for_rollback(desired: Desired, readers: Readers, watch: Watch = UNWATCHED) -> Observed:
    """The same, and the records of what was applied last."""
    listed = list_hosts(desired, readers, watch=watch)
    return gather(listed, partial(needs_of_rollback, desired), readers, watch=watch)


def list_hosts(
    desired: Desired, readers: ListReader, request: Request = EVERY_HOST, watch: Watch = UNWATCHED
) -> Observed:
    """One list request for each selected host."""
    names = [h.name for h in desired.hosts]
    wanted = dict.fromkeys(request.hosts_to_read(names))
    left_out = tuple(ObservedHost(name, problem=NOT_SELECTED) for name in names if name not in wanted)
    return Observed((*at_once_watched(readers.observe, list(wanted), watch), *left_out))


def gather(
    observed: Observed,
    needed: Needed,
    readers: Readers,
    models: ModelReaders = NO_MODELS,
    watch: Watch = UNWATCHED,
) -> Observed:
    """Read what is needed, and what is needed after that, until nothing is."""
    while missing := needed(observed):
        observed = _with_answers(observed, missing, readers, models, watch)
    return observed


@dataclass(frozen=True, slots=True)
class _Query:
    fact: Fact
    key: Key
    read: Callable[[], Any]

    def __str__(self) -> str:
        """For people who wait for it."""
        return f"{self.fact} of {self.key[0]}"


def read_records(observed: Observed, read: Callable[[str], HostRecord | None], watch: Watch = UNWATCHED) -> Observed:
    """With the record of every host that could be listed, by a reader of the caller's."""
    hosts = [h.name for h in observed.hosts if h.is_reachable]
    return _answered(observed, [_Query(Fact.RECORD, (host, ""), partial(read, host)) for host in hosts], watch)


def _with_answers(observed: Observed, missing: Needs, readers: Readers, models: ModelReaders, watch: Watch) -> Observed:
    """Every need has an answer in it, is known to have none, or belongs to a host that cannot be read."""
    files = _model_files(missing, observed, models, watch) if missing.models else {}
    unknown = frozenset((Fact.MODEL, s.key) for s in missing.models if s.key not in files)
    observed = replace(observed, model_files={**observed.model_files, **files}, unknown=observed.unknown | unknown)
    return _answered(observed, _queries(missing, readers), watch)


def _model_files(
    missing: Needs, observed: Observed, models: ModelReaders, watch: Watch
) -> dict[tuple[str, str], ModelFiles]:
    from cortexctl.observe.model_reading import read_models

    return read_models(missing.models, models, observed.by_name(), watch)


def _answered(observed: Observed, queries: Sequence[_Query], watch: Watch) -> Observed:
    read = at_once_watched(_answer, queries, watch, what="answers")
    answers = dict(zip(((q.fact, q.key) for q in queries), read, strict=True))
    failed = {key[0]: (fact, cause) for (fact, key), cause in answers.items() if isinstance(cause, DaemonError)}
    known = {at: answer for at, answer in answers.items() if at[1][0] not in failed and answer is not None}

    def of(fact: Fact) -> dict[Key, Any]:
        return {key: answer for (kind, key), answer in known.items() if kind is fact}

    observed = replace(
        observed,
        images={**observed.images, **of(Fact.IMAGE)},
        in_place={**observed.in_place, **of(Fact.LIMITS)},
        records={**observed.records, **{host: record for (host, _), record in of(Fact.RECORD).items()}},
        adoptable={**observed.adoptable, **of(Fact.ADOPTION)},
        identities={**observed.identities, **{host: text for (host, _), text in of(Fact.IDENTITY).items()}},
        unknown=observed.unknown | (answers.keys() - known.keys()),
    )
    return _without_unread(observed.with_image_labels(of(Fact.IMAGE_LABELS)), failed)


def _queries(missing: Needs, readers: Readers) -> Sequence[_Query]:
    def inspect(key: Key) -> Any:
        from cortexctl.plan.adopt.normalise import read_back

        container, spec = missing.adoptions[key]
        inspected = readers.inspect(key[0], container, spec)
        return read_back(spec, inspected) if inspected is not None else None

    return [
        *(_Query(Fact.IMAGE_LABELS, key, partial(readers.image_labels, *key)) for key in missing.image_labels),
        *(_Query(Fact.ADOPTION, key, partial(inspect, key)) for key in missing.adoptions),
        *(_Query(Fact.RECORD, (host, ""), partial(readers.record, host)) for host in missing.records),
        *(_Query(Fact.IDENTITY, (host, ""), partial(readers.identity, host)) for host in missing.identities),
        *(_Query(Fact.IMAGE, key, partial(readers.image, *key)) for key in missing.images),
        *(_Query(Fact.LIMITS, key, partial(readers.in_place, *key)) for key in missing.inspections),
    ]


def _answer(query: _Query) -> Any:
    try:
        return query.read()
    except DaemonError as cause:
        return cause


def _without_unread(observed: Observed, failed: Mapping[str, tuple[Fact, DaemonError]]) -> Observed:
    """A host with an unreadable fact gets the reason, and has no containers."""
    unread = {host: unread_host(host, fact, cause) for host, (fact, cause) in failed.items()}
    return observed.with_hosts(unread)


def unread_host(host: str, fact: Fact, cause: DaemonError) -> ObservedHost:
    """A host with an unreadable fact, regardless of what else was read."""
    return ObservedHost(host, problem=f"its {fact} cannot be read: {cause.message}", next_step=cause.next_step)
