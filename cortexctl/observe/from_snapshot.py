"""Snapshots: the writer for `observe`, and readers that answer from a snapshot instead of from hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol

from cortexctl.concurrently import at_once_watched
from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired
from cortexctl.errors import DaemonError
from cortexctl.instance.spec import InPlace, Spec
from cortexctl.model_files.files import ModelFiles, ModelSource
from cortexctl.observe.gather import gather, list_hosts, unread_host
from cortexctl.observe.host_readers import ModelReaders, Readers, ReadFiles
from cortexctl.observed.host import ImageFacts, ObservedContainer, ObservedHost
from cortexctl.observed.inspected import Inspected
from cortexctl.observed.observation import Fact, Observed
from cortexctl.observed.record import HostRecord
from cortexctl.plan.needs import needs_of_snapshot
from cortexctl.waiting import UNWATCHED, Watch


class SnapshotReaders(Readers, Protocol):
    """Lists images, too: it is not known yet which of them a later stack needs."""

    def local_images(self, host: str) -> Mapping[str, ImageFacts]: ...


def observe_for_snapshot(
    desired: Desired, readers: SnapshotReaders, models: ModelReaders, watch: Watch = UNWATCHED
) -> Observed:
    """All facts that a later plan could need: every local image, the limits of our containers, and the records."""
    listed = list_hosts(desired, readers, watch=watch)
    observed = gather(listed, partial(needs_of_snapshot, desired), readers, models, watch)
    hosts = [h.name for h in observed.hosts if h.is_reachable]
    answers = dict(zip(hosts, at_once_watched(partial(_images, readers), hosts, watch), strict=True))
    unread = {name: unread_host(name, Fact.IMAGE, a) for name, a in answers.items() if isinstance(a, DaemonError)}
    images = {
        (host, reference): facts
        for host, answer in answers.items()
        if not isinstance(answer, DaemonError)
        for reference, facts in answer.items()
    }
    return replace(observed, images=images).with_hosts(unread)


def _images(readers: SnapshotReaders, host: str) -> Mapping[str, ImageFacts] | DaemonError:
    try:
        return readers.local_images(host)
    except DaemonError as cause:
        return cause


@dataclass(frozen=True, slots=True)
class FromObservation:
    """Implements `Readers`: answers from an observation, as hosts would. `name` is its name for people."""

    observation: Observed
    name: str

    def observe(self, host: str) -> ObservedHost:
        """A host that is not in it counts as unreachable."""
        known = self.observation.by_name()
        return known.get(host) or ObservedHost(host, problem=f"it is not in {self.name}")

    def image_labels(self, host: str, image: str) -> None:  # noqa: ARG002 - containers have it in their own rows
        return None

    def inspect(self, host: str, container: ObservedContainer, spec: Spec) -> Inspected | None:  # noqa: ARG002
        return self.observation.adoptable.get((host, container.id))

    def record(self, host: str) -> HostRecord | None:
        return self.observation.records.get(host)

    def image(self, host: str, reference: str) -> ImageFacts | None:
        return self.observation.images.get((host, reference))

    def in_place(self, host: str, container: str) -> InPlace | None:
        return self.observation.in_place.get((host, container))

    def identity(self, host: str) -> None:  # noqa: ARG002 - it matters before an apply only
        return None

    def files_or(self, here: ReadFiles | None) -> ReadFiles:
        """Its facts about a model's files; if it has none, the result of `here`."""

        def files(source: ModelSource) -> ModelFiles:
            known = self.observation.model_files.get(source.key)
            if known is not None and (here is None or not known.problem):
                return known
            read = here(source) if here is not None else ModelFiles(problem=f"its files are not in {self.name}")
            return known if known is not None and read.problem else read

        return files
