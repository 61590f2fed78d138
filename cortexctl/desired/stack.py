"""The resolved stack: one Instance per container that is to run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field, replace
from typing import Literal

from cortexctl.dataclass import dataclass
from cortexctl.desired.hook import Hook
from cortexctl.desired.measured_card import MeasuredCard
from cortexctl.diagnostics import Acknowledgement, Diagnostic, SourceSpan
from cortexctl.instance.labels import address, owner
from cortexctl.instance.spec import Spec
from cortexctl.text.invocation import Invocation

ReachMode = Literal["auto", "exec", "direct"]
"""The path of requests to a server: from inside its container, only at its container's own address, or whichever works.
"""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files on this machine: the authority that signed the daemon's certificate, and our own."""

    ca: str
    cert: str
    key: str


@dataclass(frozen=True, slots=True)
class Host:
    """A Docker daemon: how we reach it (`docker`, a URL) and at which address others reach its published ports. `gpus`:
    how many it has, if the stack declares it; `gpu_memory`: bytes of one, as nvidia-smi shows it. `tls`: paths from the
    stack's folder.
    """

    name: str
    docker: str
    address: str = "127.0.0.1"
    gpus: int | None = None
    gpu_name: str = ""
    gpu_memory: int | None = None
    gpu_capability: str | None = None
    tls: TlsFiles | None = None
    reach: ReachMode = "auto"
    measured_cards: tuple[MeasuredCard, ...] = ()
    """By release of the engine: constants of its GPUs."""

    @property
    def is_here(self) -> bool:
        """Whether its folders can be read on this machine."""
        return self.docker.startswith("unix://")


@dataclass(frozen=True, slots=True)
class Smoke:
    """The request that a candidate must answer before it serves. `dimensions`: the expected length of the embedding."""

    prompt: str = "Say ok."
    max_tokens: int = 4
    dimensions: int | None = None


PARALLEL_STARTS = 4
"""Per host. A start reads its weights as fast as it can, holds them in host memory and compiles on several cores. A few
of them use a fast drive fully; more only slow each other down, until one of them seems to make no progress.
"""
STARTS_AT_MOST = 6
"""A start that makes progress but never becomes ready fails after this many start-up time-outs."""


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """The checks that an instance must pass to serve. Times in seconds.

    `startup_timeout` counts only while the start shows no progress. `max_ttft` (the time to the first token) and
    `min_tokens_per_second` are bounds on the median of `requests` requests; None means no bound.
    """

    startup_timeout: int = 1200
    stable_for: int = 5
    smoke: Smoke | None = Smoke()
    max_ttft: float | None = None
    min_tokens_per_second: float | None = None
    requests: int = 3

    @property
    def longest_start(self) -> int:
        """Seconds after which a start fails even though it makes progress."""
        return STARTS_AT_MOST * self.startup_timeout

    @property
    def has_bounds(self) -> bool:
        return self.max_ttft is not None or self.min_tokens_per_second is not None


@dataclass(frozen=True, slots=True)
class Policy:
    """What the stack declares about an instance beside its spec: how it is checked, and what happens to it afterwards.
    `task` decides the gate's first request; `keep` is the number of former containers that are retained.
    """

    task: str = "generate"
    gate: GatePolicy = GatePolicy()
    on_failure: str = "rollback"
    keep: int = 2
    protect: bool = False
    on_remove: str = "stop"


@dataclass(frozen=True, slots=True)
class Instance:
    """One container of a model on a host, and how it is rolled out. `where` maps a field to its place."""

    host: str
    model: str
    spec: Spec
    ordinal: int = 1
    policy: Policy = Policy()
    strategy: str = "stop_first"
    max_unavailable: int = 1
    max_surge: int = 1
    canary: int = 0
    wait: int = 0
    """Seconds between two batches."""
    gpu_count: int | None = None
    """The number of GPUs that the planner chooses for it; None if `spec.gpus` are the stack's own choice."""
    named_by_default: bool = False
    """The stack does not declare served names: an existing container keeps the names that it has."""
    adopt: str = ""
    """The name of a container without our labels that is adopted as this instance until the instance has another
    container.
    """
    after: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    ignore_drift: tuple[str, ...] = ()
    """Paths whose drift is not reported. Independent of `ignore`, which affects the plan."""
    where: Mapping[str, SourceSpan] = field(default_factory=dict, compare=False)

    @property
    def address(self) -> str:
        return address(self.host, self.model, self.ordinal)

    def place_of(self, key: str) -> SourceSpan | None:
        """The stack's line of `key`, else the line of the model."""
        return self.where.get(key) or self.where.get("")


@dataclass(frozen=True, slots=True)
class Desired:
    """The stack as a value. `digest` identifies its source text."""

    stack: str
    path: str
    hosts: tuple[Host, ...]
    instances: tuple[Instance, ...]
    digest: str = ""
    env: str = ""
    moved: Mapping[str, str] = field(default_factory=dict)
    """Old name of a model -> its name now."""
    max_failures: int = 1
    max_destroy: int | None = None
    """Most instances that one plan may remove; None: no limit."""
    """Maximum number of failed changes of an apply; after that, no new changes start."""
    parallel_starts: int = PARALLEL_STARTS
    """Maximum number of containers that start at the same time on one host."""
    disabled: tuple[str, ...] = ()
    """Models that are in the stack, with `enabled = false`."""
    retired: tuple[str, ...] = ()
    """Hosts that are in the stack, with `retired = true`: no instance is wanted there."""
    ignore_drift: tuple[str, ...] = ()
    """Globs over addresses and container names (HOST/NAME), and KIND:GLOB, that drift ignores."""
    hooks: tuple[Hook, ...] = ()
    """In running order within each point."""
    audit_log: str = ""
    """Path of the audit log, relative to the stack's folder; empty: no audit log."""

    acknowledgements: tuple[Acknowledgement, ...] = field(default=(), compare=False)
    """The warnings that its author accepts."""
    acknowledged: tuple[Diagnostic, ...] = field(default=(), compare=False)
    """The accepted warnings of the file itself."""
    invocation: Invocation = field(default_factory=Invocation, compare=False)
    """The run that read it, for the next commands."""
    secret_variables: tuple[str, ...] = ()
    """The names of the variables whose values are never shown."""
    folders: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Host -> its declared folders: `models_dir` and `hf_cache`, as absolute paths on the host."""

    @property
    def owner(self) -> str:
        return owner(self.stack, self.env)

    def host(self, name: str) -> Host:
        return next(h for h in self.hosts if h.name == name)

    def on_hosts(self, names: Collection[str]) -> Desired:
        """The stack reduced to these hosts."""
        hosts = tuple(h for h in self.hosts if h.name in names)
        return replace(self, hosts=hosts, instances=tuple(i for i in self.instances if i.host in names))

    def by_host(self) -> dict[str, dict[str, Instance]]:
        """Every host's instances by address, including hosts without instances."""
        hosts: dict[str, dict[str, Instance]] = {h.name: {} for h in self.hosts}
        for instance in self.instances:
            hosts.setdefault(instance.host, {})[instance.address] = instance
        return hosts
