"""Acting on one host's daemon. Loaded only if there is something to do; docker-py only for a registry.

Every call is an "ensure", and none touches a container without our stack's label.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import replace
from typing import Any
from weakref import WeakValueDictionary

from cortexctl.errors import DaemonRefused, DaemonUnreachable, ImageUnavailable
from cortexctl.hosts import http, lock, lock_volume, log, network, podman, read, record_volumes
from cortexctl.hosts.container_config import container_config, cpu_limit, memory_limit
from cortexctl.hosts.container_reach import ContainerReach
from cortexctl.hosts.daemon_api import DaemonApi, Missing, Refusal
from cortexctl.hosts.own_labels import OwnLabels
from cortexctl.hosts.proven_forwards import ProvenForwards
from cortexctl.hosts.translate_errors import reading, translated_errors
from cortexctl.hosts.transport import Connection
from cortexctl.instance import labels
from cortexctl.instance.codec import label_records
from cortexctl.instance.image import split_image
from cortexctl.instance.launch import Launch
from cortexctl.instance.spec import InPlace, Spec
from cortexctl.observed.container_list import parse_endpoint, parse_labels
from cortexctl.observed.container_state import ContainerState, parse_state
from cortexctl.observed.daemon_json import CREATED, DISTRIBUTION, LOGGED, PULLED, STATED, TOUCHED
from cortexctl.observed.daemon_product import is_podman
from cortexctl.observed.host import ImageFacts
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.observed.record import HostRecord, RecordEncoder

REQUEST_TIMEOUT = 60
"""Seconds; a stop may take its own grace longer."""


class DockerDaemon:
    """Implements `apply.protocols.Daemon` for one host and one owner (a stack in an environment)."""

    def __init__(self, at: Connection, owner: str, forwards: ProvenForwards | None = None) -> None:
        self._at = at
        self._forwards = forwards
        self._owner = owner
        self._adopted: set[str] = set()
        self._created: dict[str, str] = {}
        """Name -> id of the containers that were created here. If a user renames a candidate, it must not keep running
        unnoticed.
        """
        self._unstarted: dict[str, str] = {}
        """Id -> network of those that were created here and not started yet."""
        self._reaches: WeakValueDictionary[str, ContainerReach] = WeakValueDictionary()
        """By id, as long as somebody uses them: each gets the inspections for the container's state, too."""
        self._first_runs: set[str] = set()
        """Ids of containers that were started here for the first time."""
        with reading(at, "its version"):
            self._api = DaemonApi(at.transport, REQUEST_TIMEOUT)
        self._is_podman = is_podman(self._api.server)
        self._own_labels = OwnLabels(self._api)
        self._record_encoder = RecordEncoder()

    def image(self, reference: str) -> ImageFacts:
        """On the host, else in its registry (the daemon asks it, with this machine's docker login)."""
        with reading(self._at, "an image"):
            local = read.local_image(self._at, reference)
        return local or self.registry_image(reference)

    def registry_image(self, reference: str) -> ImageFacts:
        """An image that the host does not have."""
        try:
            with self._registry("look up an image") as api:
                described = DISTRIBUTION(api.inspect_distribution(reference))
            return ImageFacts(reference, "registry", digest=described["Descriptor"]["digest"])
        except DaemonRefused as cause:
            return ImageFacts(reference, "missing", problem=str(cause))

    def pull(self, reference: str, digest: str) -> None:
        pinned = replace(split_image(reference), tag=None).pinned(digest)  # docker-py sends a tag or a digest
        try:
            with self._registry(f"pull {reference}") as api:
                for line in api.pull(pinned, stream=True, decode=True):
                    if "error" in PULLED(line):
                        raise ImageUnavailable(f"{self._at.name}: cannot pull {reference}: {line['error']}")
        except DaemonRefused as cause:
            raise ImageUnavailable(f"{self._at.name}: cannot pull {reference}: {cause.message}") from cause

    def ensure_network(self, name: str, owner: str) -> bool:
        with self._translated_errors(f"create the network {name}"):
            return network.ensure(self._api, name, owner)

    def remove_network(self, name: str, owner: str) -> bool:
        with self._translated_errors(f"remove the network {name}"):
            return network.remove(self._api, name, owner)

    def create(self, launch: Launch) -> None:
        spec = launch.spec
        restart = podman.policy_of_new(self._at.name, spec) if self._is_podman else podman.NO_RESTART
        with self._translated_errors(f"create {launch.name}"):
            try:
                answer = self._api.create_container(launch.name, container_config(launch, restart))
                id_ = self._created[launch.name] = CREATED(answer)["Id"]
                self._unstarted[id_] = launch.spec.container.network
            except Refusal as cause:
                if not podman.is_taken(cause) or not self._is_there(launch.name, spec):
                    raise
            if self._is_podman:
                podman.refuse_without_gpus(self._api, self._at.name, launch.name, spec)

    def start(self, container: str) -> None:
        with self._translated_errors("start", container):
            container = self._created.get(container, container)
            if (joined := self._unstarted.pop(container, "")) and not self._is_podman:
                self._first_runs.add(container)
                network.start_on(self._api, joined, container)
                return
            inspected = self._ours(container)
            if inspected["State"].get("Paused"):
                self._api.unpause(container)
            elif not inspected["State"].get("Running"):
                if log.started_at(inspected) is None:
                    self._first_runs.add(inspected["Id"])
                else:
                    self._first_runs.discard(inspected["Id"])
                network.start_on(self._api, inspected["HostConfig"]["NetworkMode"], container)

    def stop(self, container: str, timeout: int) -> None:
        """A container that is already gone counts as stopped."""
        with self._translated_errors("stop", container):
            container = self._created.get(container, container)
            inspected = self._unless_gone(container)
            if inspected is None:
                return
            state = inspected["State"]
            if state.get("Paused"):
                self._api.unpause(container)
            if state.get("Running") or state.get("Restarting"):
                self._api.stop(container, timeout)

    def set_restart(self, container: str, policy: str) -> None:
        with self._translated_errors("change the restart policy of", container):
            changes = {"RestartPolicy": {"Name": policy}}
            if container in self._created and not self._is_podman:
                self._api.update_container(self._created[container], changes)
                return
            inspected = self._ours(self._created.get(container, container))
            if not (self._is_podman and podman.has_policy(inspected, policy)):
                self._update(inspected, changes)

    def update(self, container: str, memory: int | None, cpus: float | None) -> None:
        with self._translated_errors("change the limits of", container):
            self._update(self._ours(container), {**memory_limit(memory), **cpu_limit(cpus)})

    def _update(self, inspected: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        try:
            self._api.update_container(inspected["Id"], changes)
        except Refusal as cause:
            name = inspected["Name"].lstrip("/")
            refusal = podman.refusal_of_update(self._at.name, name, cause) if self._is_podman else None
            raise refusal or cause from cause

    def in_place(self, container: str) -> InPlace:
        with reading(self._at, f"the limits of {container}"):
            limits = read.in_place(self._at, container, timeout=REQUEST_TIMEOUT)
        if limits is None:
            raise DaemonRefused(f"{self._at.name}: cannot inspect {container}: it is gone", status=http.NOT_FOUND)
        return limits

    def rename(self, container: str, name: str) -> None:
        with self._translated_errors("rename", container):
            if container in self._created:
                with suppress(Refusal):  # it may have the name already, or be gone
                    self._api.rename(self._created[container], name)
                    return
            container = self._created.get(container, container)
            try:
                known = self._ours(container)["Name"].lstrip("/")
            except Missing:
                if self._ours(name):  # renamed by a run that died right after
                    return
                raise
            if known != name:
                self._api.rename(container, name)

    def remove(self, container: str) -> None:
        with self._translated_errors("remove", container):
            container = self._created.get(container, container)
            try:
                inspected = self._ours(container)
                made_by_us = inspected["Id"] not in self._adopted  # anonymous volumes of others may contain weights
                self._api.remove_container(container, volumes=made_by_us)
            except Missing:
                return

    def state(self, container: str) -> ContainerState:
        with self._translated_errors("inspect", container):
            container = self._created.get(container, container)
            began = time.monotonic()
            inspected = STATED(self._api.inspect_container(container))
        if (reach := self._reaches.get(inspected["Id"])) is not None:
            reach.saw(inspected, began)
        return parse_state(inspected)

    def endpoint(self, container: str) -> str:
        with self._translated_errors("inspect", container):
            inspected = TOUCHED(self._api.inspect_container(self._created.get(container, container)))
        return parse_endpoint(inspected, self._at.host.address)

    def logs(self, container: str, tail: int, *, this_run: bool = False) -> Sequence[str]:
        """The last lines, without overwritten progress bars. For a first run this is the whole log: a busy daemon
        records the start only after the first lines, and a short run may have no others.

        It takes at most `log.WITHIN` seconds, and returns at most `log.LONGEST_TAIL` characters. A line marks cuts.
        """
        wanted = self._log_of(container, tail, this_run=this_run)
        with closing(log.pieces(self._at, wanted, within=log.WITHIN)) as pieces:
            return log.last_lines(log.bounded(pieces), tail)

    def log_lines(self, container: str, tail: int) -> Iterator[str]:
        """As `logs`, but one by one and without a limit. The caller may take any time."""
        wanted = self._log_of(container, tail)
        with closing(log.pieces(self._at, wanted, within=REQUEST_TIMEOUT, reader_counts=False)) as pieces:
            yield from self._unbroken(log.lines(pieces), wanted)

    def follow(self, container: str, tail: int) -> Iterator[str]:
        """The last lines, and then every new piece of the log as it arrives, until the container ends."""
        wanted = replace(self._log_of(container, tail), follow=True)
        with closing(log.pieces(self._at, wanted)) as pieces:
            yield from self._unbroken(log.followed(pieces), wanted)

    def _log_of(self, container: str, tail: int, *, this_run: bool = False) -> log.Wanted:
        name = self._created.get(container, container)
        if this_run and container in self._created and name in self._first_runs:
            return log.Wanted(name, container, tail, tty=False)
        with self._translated_errors("read the log of", container):
            inspected = LOGGED(self._api.inspect_container(name))
        since = log.started_at(inspected) if this_run and inspected["Id"] not in self._first_runs else None
        called, is_terminal = (
            (inspected.get("Name") or name).lstrip("/"),
            bool((inspected.get("Config") or {}).get("Tty")),
        )
        return log.Wanted(inspected["Id"], called, tail, is_terminal, since)

    def _unbroken(self, lines: Iterator[str], wanted: log.Wanted) -> Iterator[str]:
        try:
            yield from lines
        except log.Unfinished as cause:
            raise DaemonUnreachable(f"{self._at.name}: the log of {wanted.name} is incomplete: {cause}") from cause

    def reach(self, container: str) -> ContainerReach:
        """The route to the server in it. Nothing is sent yet."""
        id_ = self._created.get(container, container)
        reach = self._reaches[id_] = ContainerReach(self._at.transport, id_, self._at.host.reach, self._forwards)
        return reach

    def now(self) -> float:
        return http.daemon_time(self._at.transport)

    def take_lock(self, owner: str, wanted: LockInfo) -> LockInfo:
        with self._translated_errors("take the lock"):
            return lock_volume.take(self._api, owner, wanted)

    def read_lock(self, owner: str) -> LockInfo | None:
        with reading(self._at, "the lock"):
            return read.lock_holder(self._at, owner, timeout=REQUEST_TIMEOUT)

    def release_lock(self, owner: str) -> None:
        with self._translated_errors("release the lock"):
            try:
                self._api.remove_volume(lock.volume_name(owner), force=True)
            except Missing:
                return

    def read_record(self, owner: str) -> HostRecord:
        with reading(self._at, "the record"):
            return read.record(self._at, owner, timeout=REQUEST_TIMEOUT)

    def write_record(self, owner: str, new: HostRecord) -> None:
        """There is no other writer: the lock is held."""
        with self._translated_errors("write the record"):
            record_volumes.write(self._api, owner, new, self._record_encoder)

    def settle_record(self, owner: str) -> None:
        """Repair the record after a run that was killed while it wrote. The lock is held."""
        with self._translated_errors("repair the record"):
            record_volumes.settle(self._api, owner)

    def adopt(self, container: str) -> None:
        """From now on it counts as ours, although it has no labels. Refuses another stack's container."""
        with self._translated_errors("adopt", container):
            inspected = TOUCHED(self._api.inspect_container(container))
        whose = labels.owner_of(parse_labels(inspected))
        if whose not in {"", self._owner}:
            raise DaemonRefused(f"{self._at.name}: {container} is a container of the stack {whose}")
        self._adopted.add(inspected["Id"])

    def connect(self, container: str, network: str) -> None:
        """Reconnect it to a network that it was removed from by hand."""
        with self._translated_errors("connect", container):
            inspected = self._ours(container)
            if network not in ((inspected.get("NetworkSettings") or {}).get("Networks") or {}):
                self._api.connect(container, network)

    def _unless_gone(self, container: str) -> Any:
        """As `_ours`; None if two answers agree that it is gone. A container that is wrongly treated as gone would keep
        running beside its successor, and no later plan would find it.
        """
        for _ in range(2):
            with suppress(Missing):
                return self._ours(container)
        return None

    def _ours(self, container: str) -> Any:
        """Inspect a container, and refuse it if it is not ours. Raises Missing."""
        inspected = TOUCHED(self._api.inspect_container(container))
        is_ours = labels.owner_of(parse_labels(inspected)) == self._owner
        if inspected["Id"] in self._adopted or (is_ours and inspected["Id"] in self._created.values()):
            return inspected
        if not is_ours:
            raise DaemonRefused(f"{self._at.name}: {container} is not a container of the stack {self._owner}")
        if not self._own_labels.has(inspected):
            raise DaemonRefused(
                f"{self._at.name}: {inspected['Name'].lstrip('/')} is not a container of the stack {self._owner}: "
                "it got the stack's labels from its image, which was committed from one of ours",
                next_step="rename it, or remove it yourself when it is no longer used",
            )
        return inspected

    def _is_there(self, name: str, spec: Spec) -> bool:
        """Whether an earlier run created exactly this container already."""
        inspected = self._ours(name)
        return label_records(inspected["Config"]["Labels"].get(labels.SPEC, ""), spec)

    def _translated_errors(self, what: str, container: str = "") -> AbstractContextManager[None]:
        return translated_errors(self._at, what, container)

    @contextmanager
    def _registry(self, what: str) -> Iterator[Any]:
        """docker-py, which finds this machine's logins of registries."""
        from cortexctl.hosts.client import as_our_errors, docker_client

        with reading(self._at, "its version"):
            api = docker_client(self._at.transport, REQUEST_TIMEOUT)
        with closing(api), self._translated_errors(what), as_our_errors():
            yield api
