"""All hosts' daemons, each connected when it is first needed."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from cortexctl.concurrently import at_once
from cortexctl.desired.stack import Host
from cortexctl.errors import PathFailed
from cortexctl.hosts import read
from cortexctl.hosts.transports.choice import connection_to
from cortexctl.waiting import UNWATCHED, Watch

if TYPE_CHECKING:
    from cortexctl.hosts.act import DockerDaemon
    from cortexctl.hosts.container_reach import ContainerReach
    from cortexctl.hosts.proven_forwards import ProvenForwards
    from cortexctl.hosts.read import Inspection, Ours
    from cortexctl.hosts.transport import Connection
    from cortexctl.instance.spec import InPlace, Spec
    from cortexctl.model_files.files import ModelFiles, ModelSource
    from cortexctl.observed.host import ImageFacts, Listed, ObservedContainer, ObservedHost
    from cortexctl.observed.host_facts import HostFacts
    from cortexctl.observed.host_paths import PathFacts
    from cortexctl.observed.host_probe import HostProbe
    from cortexctl.observed.inspected import Inspected, InspectedHost
    from cortexctl.observed.lock_holder import HeldLock
    from cortexctl.observed.parser_verdict import CommandLine, Probed
    from cortexctl.observed.record import HostRecord


class Connections:
    """The connections of one run, by host: each command opens one to a host, however often it reads there. `watch`:
    receives who is asked.
    """

    def __init__(self, watch: Watch = UNWATCHED) -> None:
        self.watch = watch
        self._by_host: dict[Host, Connection] = {}
        self._forwards: dict[Host, ProvenForwards] = {}
        self._guard = threading.Lock()

    def to(self, host: Host, folder: Path) -> Connection:
        """`folder`: where the paths of its TLS files start."""
        with self._guard:
            if host not in self._by_host:
                self._by_host[host] = connection_to(host, folder)
            return self._by_host[host]

    def forwards(self, at: Connection) -> ProvenForwards | None:
        """The forwards of a host that were proven in this run; None if its transport forwards no TCP ports."""
        forwarder = at.transport.forwarder
        if forwarder is None:
            return None
        from cortexctl.hosts.proven_forwards import ProvenForwards

        with self._guard:
            if at.host not in self._forwards:
                self._forwards[at.host] = ProvenForwards(at.transport, forwarder)
            return self._forwards[at.host]

    def close(self) -> None:
        """Ends also requests that still run over ssh, after an interrupt."""
        transports = [connection.transport for connection in self._by_host.values()]
        at_once(lambda transport: transport.close(), [t for t in transports if t.forwarder is not None])
        for transport in transports:
            if transport.forwarder is None:
                transport.close()


class DockerDaemons:
    """Implements `apply.protocols.Daemons` and the protocols of `observe.readers`: a host by its name. docker-py is
    imported by the first `daemon` call, and by the query for an image that the host does not have.
    """

    def __init__(
        self, hosts: Mapping[str, Host], owner: str, folder: Path, connections: Connections, *, locates: bool = False
    ) -> None:
        self._locates = locates
        self._hosts = hosts
        self._folder = folder
        self._owner = owner
        self._open: dict[str, DockerDaemon] = {}
        self._paths: dict[str, PathFacts] = {}
        self._connections = connections
        self._guards: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._guard = threading.Lock()

    @property
    def watch(self) -> Watch:
        """Receives who is asked in this run."""
        return self._connections.watch

    def daemon(self, host: str) -> DockerDaemon:
        """Connects once per host. A daemon that does not answer does not delay callers that use another."""
        from cortexctl.hosts.act import DockerDaemon

        with self._guard_of(host):
            if host not in self._open:
                at = self._at(host)
                self._open[host] = DockerDaemon(at, self._owner, self._connections.forwards(at))
            return self._open[host]

    def _guard_of(self, host: str) -> threading.Lock:
        """Changes of one host run at the same time, and what they share is made once."""
        with self._guard:
            return self._guards[host]

    def _at(self, host: str) -> Connection:
        return self._connections.to(self._hosts[host], self._folder)

    def observe(self, host: str) -> ObservedHost:
        return read.observe_host(self._at(host), locates=self._locates)

    def image_labels(self, host: str, image: str) -> Mapping[str, str] | None:
        return read.image_labels(self._at(host), image)

    def inspect(self, host: str, container: ObservedContainer, spec: Spec) -> Inspected | None:
        return read.inspect(self._at(host), container, spec, self._owner)

    def record(self, host: str, *, unfinished: bool = True) -> HostRecord:
        return read.record(self._at(host), self._owner, unfinished=unfinished)

    def image(self, host: str, reference: str) -> ImageFacts:
        """On the host, else in its registry."""
        return read.local_image(self._at(host), reference) or self.daemon(host).registry_image(reference)

    def local_images(self, host: str) -> dict[str, ImageFacts]:
        return read.local_images(self._at(host))

    def in_place(self, host: str, container: str) -> InPlace | None:
        return read.in_place(self._at(host), container)

    def identity(self, host: str) -> str | None:
        return read.identity(self._at(host))

    def held_lock(self, host: str) -> HeldLock | None:
        return read.held_lock(self._at(host), self._owner)

    def deep(self, host: str, ours: Ours) -> InspectedHost:
        return read.deep(self._at(host), ours, self._owner)

    def model_files(self, seen: ObservedHost, source: ModelSource) -> ModelFiles:
        """The known facts about a model's files on its host."""
        from cortexctl.hosts.model_archive import model_files_on

        return model_files_on(self._at(seen.name), seen, source)

    def reach(self, host: str, container: str, listed: Listed | None = None, port: int = 0) -> ContainerReach:
        """The route to the server in a container, by its id. `listed`: where the list shows it, with its server's
        `port`: that may save an inspection.
        """
        from cortexctl.hosts.container_reach import ContainerReach
        from cortexctl.observed.location import listed_location

        at = self._at(host)
        here = listed_location(container, listed, port, at.host.address) if listed is not None else None
        forwards = self._connections.forwards(at)
        return ContainerReach(at.transport, container, at.host.reach, forwards, at.host.address, here)

    def check_path(self, host: str) -> None:
        """Raises PathFailed if it is known that no server in a new container of the host can be reached. Asks the
        daemon once per run.
        """
        from cortexctl.hosts.examine_paths import path_facts

        with self._guard_of(host):
            if host not in self._paths:
                self._paths[host] = path_facts(self._at(host), tests_exec=True)
        problem, next_step = self._paths[host].blocked()
        if problem:
            raise PathFailed(f"a server in a new container could not be checked: {problem}", next_step=next_step)

    def probe_parser(self, host: str, image: str, program: str, lines: Sequence[CommandLine]) -> Probed:
        """The verdicts of the parser in an image on the host, on command lines of `serve` or `api_server`."""
        from cortexctl.hosts.image_parser import probe_parser

        return probe_parser(self._at(host), self._owner, image, program, lines)

    def host_facts(self, host: str, folders: Mapping[str, str], *, probes: bool) -> HostFacts:
        """The facts about a host itself. `folders`: key -> path on the host. `probes`: also by requests that are not
        reads.
        """
        from cortexctl.hosts.examine import host_facts

        return host_facts(self._at(host), folders, probes=probes)

    def probe_host(self, host: str, image: ImageFacts, folders: Mapping[str, str]) -> HostProbe:
        """GPUs and free disk, read in a temporary container of an image on the host."""
        from cortexctl.hosts.probe_host import probe_host

        return probe_host(self._at(host), self._owner, image.id, image.reference, folders)

    def calibrate_gpu(self, host: str, image: str, settings: str, gpu: int | None, env: Mapping[str, str]) -> str:
        """The output of a start of a small model on one GPU. `image` is an id."""
        from cortexctl.hosts.calibrate_gpu import calibrate_gpu

        return calibrate_gpu(self._at(host), self._owner, image, settings, gpu, env)

    def inspect_all(self, host: str, containers: Sequence[ObservedContainer]) -> dict[str, Inspection]:
        return read.inspect_all(self._at(host), containers)

    def left_by_killed_runs(self, hosts: Sequence[str]) -> list[str]:
        return read.left_by_killed_runs([self._at(host) for host in hosts], self._owner)


@contextmanager
def open_hosts(
    hosts: Iterable[Host],
    owner: str,
    folder: Path = Path(),
    connections: Connections | None = None,
    *,
    locates: bool = False,
) -> Iterator[DockerDaemons]:
    """The daemons of hosts; every connection is closed at the end, also if a command refuses. `folder`: the stack's,
    where the paths of TLS files start. `connections`: of a run that closes them itself. `locates`: whether hosts are
    observed with the locations of their servers.
    """
    with closing(Connections()) if connections is None else nullcontext(connections) as of_run:
        yield DockerDaemons({h.name: h for h in hosts}, owner, folder, of_run, locates=locates)
