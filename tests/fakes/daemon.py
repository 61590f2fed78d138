"""A daemon in memory: the same rows, the same refusals, and faults on demand. Passes tests/contract."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cortexctl.engines.vllm.command.argv import arguments, entrypoint
from cortexctl.errors import DaemonError, DaemonRefused
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
        self.images = {name: f"sha256:{index:064x}" for index, name in enumerate(images, 1)}
        self.image_labels: dict[str, dict[str, str]] = {}
        """By image id, of those that have some."""
        self.in_registry: dict[str, str] = {}
        self.containers: dict[str, FakeContainer] = {}
        self.networks: dict[str, dict[str, str]] = {}
        self.volumes: dict[str, LockInfo] = {}
        self.records: dict[str, str] = {}
        self.adopted: set[str] = set()
        self.made: dict[str, str] = {}
        """Name -> id of what was created here: it is found by that name whatever somebody calls it since."""
        self.behaviours: list[Behaviour] = []
        self.unreached: set[str] = set()
        """Names of containers whose servers cannot be asked."""
        self.faults = Faults()
        self.calls: list[str] = []
        self.before_call: Callable[[], None] = lambda: None
        """Of calls that change something; what it raises, the caller gets."""
        self._guard = threading.Lock()
        """Steps run side by side, and names and ports are taken by one of them at a time, as on a real daemon."""

    # what a test arranges

    def add(self, name: str, **fields: Any) -> FakeContainer:
        """A container that was there before us."""
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
        """`docker commit` of a container, and a container of the image that this makes: the labels go with it."""
        found = self.by_name(name)
        image = f"sha256:c0{found.id[2:]}"
        self.image_labels[image] = dict(found.labels)
        return self.add(new, **{"state": "running", "image": image, "labels": dict(found.labels), **fields})

    def add_by_hand(self, name: str, made: Spec, changes: Mapping[str, Any] | None = None) -> FakeContainer:
        """A vLLM that a person started, like what `made` would give but for `changes` to its inspection."""
        publish = made.container.publish
        port = (
            {"IP": publish.address, "PrivatePort": 8000, "PublicPort": publish.port, "Type": "tcp"} if publish else {}
        )
        container = self.add(
            name,
            state="running",
            image=made.container.image,
            networks=[made.container.network],
            ports=[port] if port else [],
            restart=made.container.restart,
            made=made,
            changes=changes or {},
        )
        container.command = [*entrypoint(made.server), *arguments(made.server)]
        return container

    def inspected(self, container: str, wanted: Spec) -> Inspected:
        """How a container that a person started is made, for a plan."""
        found = self.containers[container]
        assert found.made is not None, f"{found.name} was not added by hand"
        values = {s.name: f"value of {s.name}" for s in found.made.container.secrets}
        raw = inspection(found.made, values, found.changes)
        raw["Config"].setdefault("Image", found.made.container.image)
        inspected = parse_inspected(raw, wanted, ImageDefaults(IMAGE_ENV), self.stack)
        return replace(inspected, in_place=InPlace(found.restart, found.memory, found.cpus))

    def rows(self) -> list[dict[str, Any]]:
        """What `GET /containers/json?all=1` would answer."""
        return [row_of(c) for c in self.all()]

    def observed(self) -> ObservedHost:
        rows = json.loads(json.dumps(self.rows()))
        return ObservedHost(self.host, parse_containers(rows), daemon="Docker/20.10.24 (linux)", api="1.41")

    def all(self) -> list[FakeContainer]:
        """As of now: others may come and go while a caller goes through them."""
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
        found = self._ours(container)
        if found.state == "running":
            return
        found.state, found.exit_code = "running", 0
        found.log_of_this_run = len(found.log)
        found.log.append(f"started {found.name}")
        for behaviour in self.behaviours:
            behaviour(found)

    @faulty
    def stop(self, container: str, timeout: int) -> None:
        self._called("stop", container)
        found = self._find(container)
        if found is None:
            return
        self._ours(container)
        if found.state in {"running", "restarting", "paused"}:
            found.state, found.exit_code = "exited", 0

    @faulty
    def set_restart(self, container: str, policy: str) -> None:
        self._called("set_restart", container)
        self._ours(container).restart = policy

    @faulty
    def update(self, container: str, memory: int | None, cpus: float | None) -> None:
        self._called("update", container)
        found = self._ours(container)
        found.memory = memory if memory is not None else found.memory
        found.cpus = cpus if cpus is not None else found.cpus

    @faulty
    def in_place(self, container: str) -> InPlace:
        found = self._ours(container)
        return InPlace(found.restart, found.memory, found.cpus)

    @faulty
    def rename(self, container: str, name: str) -> None:
        self._called("rename", container)
        with self._guard:
            found = self._find(container) or self._ours(name)
            if found.name == name:
                return
            self._ours(found.id)
            if any(c.name == name for c in self.all()):
                raise DaemonRefused(f"{self.host}: the name {name} is in use", status=CONFLICT)
            found.name = name

    @faulty
    def remove(self, container: str) -> None:
        self._called("remove", container)
        found = self._find(container)
        if found is not None:
            self._ours(container)
            self.containers.pop(found.id, None)

    @faulty
    def state(self, container: str) -> ContainerState:
        found = self._find(container)
        if found is None:
            raise DaemonRefused(f"{self.host}: no container {container}", status=NOT_FOUND)
        running = found.state == "running"
        return ContainerState(
            running,
            found.exit_code,
            found.oom_killed,
            found.restarts,
            endpoint=f"http://{found.id}" if running else "",
        )

    @faulty
    def logs(self, container: str, tail: int, *, this_run: bool = False) -> Sequence[str]:
        found = self._find(container)
        if found is None:
            raise DaemonRefused(f"{self.host}: no container {container}", status=NOT_FOUND)
        return found.log[found.log_of_this_run if this_run else 0 :][-tail:]

    @faulty
    def reach(self, container: str) -> FakeReach:
        found = self._find(container)
        if found is None:
            return FakeReach(container, lambda: "its container is gone")
        return FakeReach(found.id, lambda: "no python3 can be run in it" if found.name in self.unreached else "")

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
        """It is written at once here."""

    @faulty
    def adopt(self, container: str) -> None:
        found = self._find(container)
        if found is None or labels.owner_of(found.labels) not in {"", self.stack}:
            raise DaemonRefused(f"{self.host}: {container} cannot be adopted")
        self.adopted.add(found.id)

    @faulty
    def connect(self, container: str, network: str) -> None:
        self._called("connect", container)
        found = self._ours(container)
        if network not in found.networks:
            found.networks.append(network)

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
        self.made[launch.name] = container.id

    def _find(self, container: str) -> FakeContainer | None:
        if self.made.get(container) in self.containers:
            container = self.made[container]
        matches = [c for c in self.all() if container in {c.id, c.name}]
        return matches[0] if matches else None

    def _ours(self, container: str) -> FakeContainer:
        found = self._find(container)
        if found is None:
            raise DaemonRefused(f"{self.host}: no such container: {container}", status=NOT_FOUND)
        if labels.owner_of(found.labels) != self.stack and found.id not in self.adopted:
            raise DaemonRefused(f"{self.host}: {container} is not a container of the stack {self.stack}")
        if not labels.are_own(found.labels, self.image_labels.get(found.image, {})):
            raise DaemonRefused(f"{self.host}: {found.name} has the labels of the stack {self.stack} from its image")
        return found


class FakeDaemons:
    """Implements `apply.protocols.Daemons` and `observe.host_readers.Readers` over fake hosts."""

    def __init__(self, daemons: Mapping[str, FakeDaemon]) -> None:
        self.by_host = dict(daemons)

    def daemon(self, host: str) -> FakeDaemon:
        return self.by_host[host]

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
