"""All hosts' daemons, each connected to when it is first needed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonError
from cortexctl.hosts.drift_read import Ours, look_deep
from cortexctl.hosts.model_archive import model_files_on
from cortexctl.hosts.read import observe_host, read_record, record_of
from cortexctl.instance.spec import InPlace
from cortexctl.model_files.files import ModelFiles, ModelSource
from cortexctl.observed.host import ImageFacts, ObservedHost
from cortexctl.observed.inspected import Inspected
from cortexctl.observed.parser_verdict import CommandLine, Probed
from cortexctl.observed.record import HostRecord

if TYPE_CHECKING:
    from cortexctl.hosts.act import DockerDaemon
    from cortexctl.hosts.container_reach import ContainerReach


class DockerDaemons:
    """Implements `apply.protocols.Daemons`. docker-py is imported by the first `daemon` call."""

    def __init__(self, hosts: Mapping[str, Host], owner: str) -> None:
        self._hosts = hosts
        self._owner = owner
        self._open: dict[str, DockerDaemon] = {}
        self._guard = threading.Lock()

    def daemon(self, host: str) -> DockerDaemon:
        from cortexctl.hosts.act import DockerDaemon

        with self._guard:
            if host not in self._open:
                self._open[host] = DockerDaemon(self._hosts[host], self._owner)
            return self._open[host]

    def observe(self, host: str) -> ObservedHost:
        return observe_host(self._hosts[host])

    def images(self, wanted: tuple[tuple[str, str], ...]) -> dict[tuple[str, str], ImageFacts]:
        """Look up (host, reference) pairs."""
        return {(host, reference): self.daemon(host).image(reference) for host, reference in wanted}

    def in_place(self, wanted: tuple[tuple[str, str], ...]) -> dict[tuple[str, str], InPlace]:
        """Inspect (host, container id) pairs."""
        return {(host, container): self.daemon(host).in_place(container) for host, container in wanted}

    def records(self, wanted: tuple[str, ...]) -> dict[str, HostRecord]:
        """What earlier applies left on these hosts."""
        return {host: read_record(self._hosts[host], self._owner) for host in wanted}

    def readable_records(self, wanted: tuple[str, ...]) -> tuple[dict[str, HostRecord], dict[str, DaemonError]]:
        """The same, and why of some they cannot be read."""
        found: dict[str, HostRecord] = {}
        faults: dict[str, DaemonError] = {}
        for host in wanted:
            try:
                found[host] = record_of(self._hosts[host], self._owner)
            except DaemonError as cause:
                faults[host] = cause
        return found, faults

    def model_files(self, seen: ObservedHost, sources: Iterable[ModelSource]) -> dict[tuple[str, str], ModelFiles]:
        """What models' files on a host say, by the sources' keys."""
        return model_files_on(self._hosts[seen.name], seen, sources)

    def reach(self, host: str, container: str) -> ContainerReach:
        """The way to the server in a container, by its id."""
        from cortexctl.hosts.container_reach import ContainerReach

        return ContainerReach(self._hosts[host].docker, container)

    def ask_parser(self, host: str, image: str, program: str, lines: Sequence[CommandLine]) -> Probed:
        """What the parser in an image on the host says of command lines of `serve` or `api_server`."""
        from cortexctl.hosts.image_parser import ask_parser

        return ask_parser(self._hosts[host], self._owner, image, program, lines)

    def adoptable(self, wanted: Mapping[str, Ours]) -> dict[tuple[str, str], Inspected]:
        """Inspect containers that the stack takes by name, by host. One that cannot be read is not in it."""
        hosts = [self._hosts[name] for name in wanted]
        looks = look_deep(hosts, wanted, self._owner) if hosts else {}
        return {(name, id_): found for name, look in looks.items() for id_, found in look.inspected.items()}

    def close(self) -> None:
        for daemon in self._open.values():
            daemon.close()
