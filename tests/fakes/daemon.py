"""A daemon in memory: the same rows, the same refusals, and faults on demand. Passes tests/contract."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cortexctl.engines.vllm.command.argv import arguments, entrypoint
from cortexctl.errors import DaemonError, DaemonRefused, PathFailed
from cortexctl.instance import labels
from cortexctl.instance.codec import label_records
from cortexctl.instance.launch import Launch
from cortexctl.instance.spec import InPlace, Spec
from cortexctl.observed.container_list import parse_containers
from cortexctl.observed.container_state import ContainerState
from cortexctl.observed.host import ImageFacts, ObservedContainer, ObservedHost
from cortexctl.observed.inspected import ImageDefaults, Inspected, parse_inspected
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.observed.record import HostRecord, record_from_label, record_to_label
from cortexctl.waiting import UNWATCHED
from tests.fakes.container import FakeContainer, row_of
from tests.fakes.faults import Faults, faulty
from tests.fakes.inspection import IMAGE_ENV, inspection
from tests.fakes.reach import FakeReach

CONFLICT, NOT_FOUND = 409, 404
_ids = itertools.count(1)


Behaviour = Callable[[FakeContainer], None]
"""Called when a container starts; may set its state, exit code and log."""


class FakeDaemon:
    """Implements `apply.protocols.Daemon` for the stack `stack`."""

    def __init__(self, host: str, stack: str, images: Sequence[str] = ("image:v0.32.0",)) -> None:
        self.host = host
        self.time = 1_700_000_000.0
        self.stack = stack
        self.identity = f"ID {host}"
        self.images = {name: f"sha256:{index:064x}" for index, name in enumerate(images, 1)}
        self.image_labels: dict[str, dict[str, str]] = {}
        """Image id -> its labels. An image without labels may be missing."""
        self.in_registry: dict[str, str] = {}
        self.containers: dict[str, FakeContainer] = {}
        self.networks: dict[str, dict[str, str]] = {}
        self.volumes: dict[str, LockInfo] = {}
        self.records: dict[str, str] = {}
        self.adopted: set[str] = set()
        self.created: dict[str, str] = {}
        """Name -> id of each container that was created here. The name still finds it after a rename."""
        self.behaviours: list[Behaviour] = []
        self.unreached: set[str] = set()
        self.path_problem = ""
        """Why no server in a new container can be reached, if that is known."""
        """Names of containers whose servers cannot be reached."""
        self.faults = Faults()
        self.calls: list[str] = []
        self.before_call: Callable[[], None] = lambda: None
        """Runs before each call that changes something. The caller gets the exceptions that it raises."""
        self._guard = threading.Lock()
        """Steps run in parallel. Only one of them at a time may take names and ports, as on a real daemon."""

    # arranged by tests

    def add(self, name: str, **fields: Any) -> FakeContainer:
        """A container that existed before the run."""
        container = FakeContainer(
            id=f"{next(_ids):064x}",
            name=name,
            image=fields.pop("image", "image:v0.32.0"),
            labels=fields.pop("labels", {}),
            networks=fields.pop("networks", ["bridge"]),
            ports=fields.pop("ports", []),
            environment={},
            command=[],
            **fields,
        )
        self.containers[container.id] = container
        return container

    def commit(self, name: str, new: str, **fields: Any) -> FakeContainer:
        """`docker commit` a container, and create a container from the new image. The image keeps the labels."""
        container = self.by_name(name)
        image = f"sha256:c0{container.id[2:]}"
        self.image_labels[image] = dict(container.labels)
        return self.add(new, **{"state": "running", "image": image, "labels": dict(container.labels), **fields})

    def add_by_hand(self, name: str, spec: Spec, changes: Mapping[str, Any] | None = None) -> FakeContainer:
        """A vLLM container that a person started. It matches `spec`, except for `changes` to its inspection."""
        publish = spec.container.publish
        port = (
            {"IP": publish.address, "PrivatePort": 8000, "PublicPort": publish.port, "Type": "tcp"} if publish else {}
        )
        container = self.add(
            name,
            state="running",
            image=spec.container.image,
            networks=[spec.container.network],
            ports=[port] if port else [],
            restart=spec.container.restart,
            spec=spec,
            changes=changes or {},
        )
        container.command = [*entrypoint(spec.server), *arguments(spec.server)]
        return container

    def inspected(self, container: str, wanted: Spec) -> Inspected:
        """The inspection of a container that a person started, as a plan reads it."""
        instance = self.containers[container]
        assert instance.spec is not None, f"{instance.name} was not added by hand"
        values = {s.name: f"value of {s.name}" for s in instance.spec.container.secrets}
        raw = inspection(instance.spec, values, instance.changes)
        raw["Config"].setdefault("Image", instance.spec.container.image)
        inspected = parse_inspected(raw, wanted, ImageDefaults(IMAGE_ENV), self.stack)
        return replace(inspected, in_place=InPlace(instance.restart, instance.memory, instance.cpus))

    def rows(self) -> list[dict[str, Any]]:
        """The answer to `GET /containers/json?all=1`."""
        return [row_of(c) for c in self.all()]

    def observed(self) -> ObservedHost:
        rows = json.loads(json.dumps(self.rows()))
        return ObservedHost(self.host, parse_containers(rows), daemon="Docker/20.10.24 (linux)", api="1.41")

    def all(self) -> list[FakeContainer]:
        """A copy of the list: containers may be added and removed while the caller iterates."""
        return list(self.containers.values())

    def by_name(self, name: str) -> FakeContainer:
        return next(c for c in self.all() if c.name == name)

    # the protocol

    @faulty
    def image(self, reference: str) -> ImageFacts:
        if reference in self.images:
            return ImageFacts(reference, "local", id=self.images[reference])
        if reference in self.in_registry:
            return ImageFacts(reference, "registry", digest=self.in_registry[reference])
        return ImageFacts(reference, "missing", problem="no such image")

    @faulty
    def pull(self, reference: str, digest: str) -> None:
        self._called("pull", reference)
        self.images[f"{reference.rpartition(':')[0]}@{digest}"] = digest
        self.images[reference] = digest

    @faulty
    def ensure_network(self, name: str, owner: str) -> bool:
        self._called("ensure_network", name)
        new = name not in self.networks
        self.networks.setdefault(name, labels.owner_labels(owner))
        return new

    @faulty
    def remove_network(self, name: str, owner: str) -> bool:
        self._called("remove_network", name)
        used = any(name in c.networks for c in self.all())
        if labels.owner_of(self.networks.get(name, {})) == owner and not used:
            del self.networks[name]
        return name not in self.networks

    @faulty
    def create(self, launch: Launch) -> None:
        self._called("create", launch.name)
        with self._guard:
            self._create(launch)

    @faulty
    def start(self, container: str) -> None:
        self._called("start", container)
        instance = self._ours(container)
        if instance.state == "running":
            return
        instance.state, instance.exit_code = "running", 0
        instance.log_of_this_run = len(instance.log)
        instance.log.append(f"started {instance.name}")
        for behaviour in self.behaviours:
            behaviour(instance)

    @faulty
    def stop(self, container: str, timeout: int) -> None:
        self._called("stop", container)
        instance = self._find(container)
        if instance is None:
            return
        self._ours(container)
        if instance.state in {"running", "restarting", "paused"}:
            instance.state, instance.exit_code = "exited", 0

    @faulty
    def set_restart(self, container: str, policy: str) -> None:
        self._called("set_restart", container)
        self._ours(container).restart = policy

    @faulty
    def update(self, container: str, memory: int | None, cpus: float | None) -> None:
        self._called("update", container)
        instance = self._ours(container)
        instance.memory = memory if memory is not None else instance.memory
        instance.cpus = cpus if cpus is not None else instance.cpus

    @faulty
    def in_place(self, container: str) -> InPlace:
        instance = self._ours(container)
        return InPlace(instance.restart, instance.memory, instance.cpus)

    @faulty
    def rename(self, container: str, name: str) -> None:
        self._called("rename", container)
        with self._guard:
            instance = self._find(container) or self._ours(name)
            if instance.name == name:
                return
            self._ours(instance.id)
            if any(c.name == name for c in self.all()):
                raise DaemonRefused(f"{self.host}: the name {name} is in use", status=CONFLICT)
            instance.name = name

    @faulty
    def remove(self, container: str) -> None:
        self._called("remove", container)
        instance = self._find(container)
        if instance is not None:
            self._ours(container)
            self.containers.pop(instance.id, None)

    @faulty
    def state(self, container: str) -> ContainerState:
        instance = self._find(container)
        if instance is None:
            raise DaemonRefused(f"{self.host}: no container {container}", status=NOT_FOUND)
        running = instance.state == "running"
        return ContainerState(
            running,
            instance.exit_code,
            instance.oom_killed,
            instance.restarts,
        )

    @faulty
    def endpoint(self, container: str) -> str:
        instance = self._find(container)
        return f"http://{instance.id}" if instance is not None and instance.state == "running" else ""

    @faulty
    def logs(self, container: str, tail: int, *, this_run: bool = False) -> Sequence[str]:
        instance = self._find(container)
        if instance is None:
            raise DaemonRefused(f"{self.host}: no container {container}", status=NOT_FOUND)
        return instance.log[instance.log_of_this_run if this_run else 0 :][-tail:]

    @faulty
    def reach(self, container: str) -> FakeReach:
        instance = self._find(container)
        if instance is None:
            return FakeReach(container, lambda: "its container is gone")
        return FakeReach(instance.id, lambda: "no python3 can be run in it" if instance.name in self.unreached else "")

    @faulty
    def now(self) -> float:
        return self.time

    @faulty
    def take_lock(self, owner: str, wanted: LockInfo) -> LockInfo:
        return self.volumes.setdefault(f"cortexctl-lock-{owner}", wanted)

    @faulty
    def read_lock(self, owner: str) -> LockInfo | None:
        return self.volumes.get(f"cortexctl-lock-{owner}")

    @faulty
    def release_lock(self, owner: str) -> None:
        self.volumes.pop(f"cortexctl-lock-{owner}", None)

    @faulty
    def read_record(self, owner: str) -> HostRecord:
        return record_from_label(self.host, self.records.get(owner, ""))

    @faulty
    def write_record(self, owner: str, new: HostRecord) -> None:
        self._called("write_record", owner)
        self.records.pop(owner, None)
        if new.applied:
            self.records[owner] = record_to_label(new)

    @faulty
    def settle_record(self, owner: str) -> None:
        """Nothing to do: this fake writes the record at once."""

    @faulty
    def adopt(self, container: str) -> None:
        instance = self._find(container)
        if instance is None or labels.owner_of(instance.labels) not in {"", self.stack}:
            raise DaemonRefused(f"{self.host}: {container} cannot be adopted")
        self.adopted.add(instance.id)

    @faulty
    def connect(self, container: str, network: str) -> None:
        self._called("connect", container)
        instance = self._ours(container)
        if network not in instance.networks:
            instance.networks.append(network)

    # inside

    def _called(self, what: str, subject: str) -> None:
        self.before_call()
        self.calls.append(f"{what} {subject}")

    def _create(self, launch: Launch) -> None:
        for container in self.all():
            if container.name == launch.name:
                same = label_records(container.labels.get(labels.SPEC, ""), launch.spec)
                own = labels.are_own(container.labels, self.image_labels.get(container.image, {}))
                if labels.owner_of(container.labels) == self.stack and same and own:
                    return
                raise DaemonRefused(f"{self.host}: the name {launch.name} is in use", status=CONFLICT)
        publish = launch.spec.container.publish
        taken = {p["PublicPort"] for c in self.all() for p in c.ports}
        free = next(p for p in itertools.count(32768) if p not in taken)
        port = (
            {
                "IP": publish.address,
                "PrivatePort": launch.spec.container.port,
                "PublicPort": publish.port or free,
                "Type": "tcp",
            }
            if publish
            else None
        )
        container = FakeContainer(
            id=f"{next(_ids):064x}",
            name=launch.name,
            image=launch.image,
            labels=dict(launch.labels),
            networks=[launch.spec.container.network],
            ports=[port] if port else [],
            environment={**launch.spec.container.env, **launch.secrets},
            command=[*launch.entrypoint, *launch.command],
            memory=launch.spec.container.memory,
            cpus=launch.spec.container.cpus,
        )
        self.containers[container.id] = container
        self.created[launch.name] = container.id

    def _find(self, container: str) -> FakeContainer | None:
        if self.created.get(container) in self.containers:
            container = self.created[container]
        matches = [c for c in self.all() if container in {c.id, c.name}]
        return matches[0] if matches else None

    def _ours(self, container: str) -> FakeContainer:
        instance = self._find(container)
        if instance is None:
            raise DaemonRefused(f"{self.host}: no such container: {container}", status=NOT_FOUND)
        if labels.owner_of(instance.labels) != self.stack and instance.id not in self.adopted:
            raise DaemonRefused(f"{self.host}: {container} is not a container of the stack {self.stack}")
        if not labels.are_own(instance.labels, self.image_labels.get(instance.image, {})):
            raise DaemonRefused(f"{self.host}: {instance.name} has the labels of the stack {self.stack} from its image")
        return instance


class FakeDaemons:
    """Implements `apply.protocols.Daemons` and `observe.host_readers.Readers` over fake hosts."""

    watch = UNWATCHED

    def __init__(self, daemons: Mapping[str, FakeDaemon]) -> None:
        self.by_host = dict(daemons)

    def daemon(self, host: str) -> FakeDaemon:
        return self.by_host[host]

    def check_path(self, host: str) -> None:
        if problem := self.by_host[host].path_problem:
            raise PathFailed(f"a server in a new container could not be checked: {problem}", next_step="do that")

    def observe(self, host: str) -> ObservedHost:
        daemon = self.by_host[host]
        try:
            daemon.faults.strike(host, "observe")
        except DaemonError as cause:
            return ObservedHost(host, problem=cause.message, next_step=cause.next_step)
        return daemon.observed()

    def image_labels(self, host: str, image: str) -> Mapping[str, str]:
        return self.by_host[host].image_labels.get(image, {})

    def inspect(self, host: str, container: ObservedContainer, spec: Spec) -> Inspected:
        return self.by_host[host].inspected(container.id, spec)

    def record(self, host: str) -> HostRecord:
        return self.by_host[host].read_record(self.by_host[host].stack)

    def image(self, host: str, reference: str) -> ImageFacts:
        return self.by_host[host].image(reference)

    def in_place(self, host: str, container: str) -> InPlace:
        return self.by_host[host].in_place(container)

    def identity(self, host: str) -> str:
        return self.by_host[host].identity
