"""The readers of the parts of an observation, as the narrowest protocols possible.

A reader raises DaemonError if it could not read: the host then counts as unread, whichever fact it was. None is another
answer: the object does not exist (any more), or a snapshot does not have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

from cortexctl.dataclass import dataclass

if TYPE_CHECKING:
    from cortexctl.instance.spec import InPlace, Spec
    from cortexctl.model_files.files import ModelFiles, ModelSource
    from cortexctl.observed.host import ImageFacts, ObservedContainer, ObservedHost
    from cortexctl.observed.inspected import Inspected
    from cortexctl.observed.record import HostRecord


class ListReader(Protocol):
    """Implemented by `hosts.fleet.DockerDaemons`, by a snapshot, and by the tests' fakes; so are the others."""

    def observe(self, host: str) -> ObservedHost:
        """The host's containers, or the reason why they cannot be listed. Raises nothing."""
        ...


class Readers(ListReader, Protocol):
    """One method per kind of `plan.needs.Needs`, except models."""

    def image_labels(self, host: str, image: str) -> Mapping[str, str] | None: ...

    def inspect(self, host: str, container: ObservedContainer, spec: Spec) -> Inspected | None: ...

    def record(self, host: str) -> HostRecord | None: ...

    def image(self, host: str, reference: str) -> ImageFacts | None: ...

    def in_place(self, host: str, container: str) -> InPlace | None: ...

    def identity(self, host: str) -> str | None: ...


FilesBySource: TypeAlias = "dict[tuple[str, str], ModelFiles]"


class HostModels(Protocol):
    """Reads models' files on their host."""

    def model_files(self, seen: ObservedHost, source: ModelSource) -> ModelFiles: ...


ReadFiles: TypeAlias = "Callable[[ModelSource], ModelFiles]"


@dataclass(frozen=True, slots=True)
class ModelReaders:
    """The places where models' files may be read, nearest first: this machine, their host, the hub. None: not
    available.
    """

    here: ReadFiles | None = None
    host: HostModels | None = None
    from_hub: ReadFiles | None = None
