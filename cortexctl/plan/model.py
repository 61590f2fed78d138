"""A plan as a value: people read its changes, machines carry out its steps."""

from __future__ import annotations

from cortexctl.dataclass import dataclass
from cortexctl.desired.hook import Hook
from cortexctl.desired.stack import PARALLEL_STARTS, Host, Policy
from cortexctl.diagnostics import Diagnostic
from cortexctl.instance.labels import owner
from cortexctl.instance.spec import Spec
from cortexctl.plan.action import Action, Reason
from cortexctl.plan.capacity.forecast import GpuLine, InstanceForecast
from cortexctl.plan.diff import FieldChange, uncompared_secrets
from cortexctl.plan.steps import Step
from cortexctl.text.invocation import Invocation

FORMAT_VERSION = "2.0"
"""Minor versions only add fields."""


@dataclass(frozen=True, slots=True)
class ContainerRef:
    """A container as the plan saw it. Apply refuses if it has changed since."""

    id: str
    name: str
    state: str
    generation: int
    run: str = ""
    imported: bool = False
    """It has no labels of ours: the stack adopts it by name."""


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """The image of a new container, pinned: by id if it is on the host, else by digest."""

    reference: str
    id: str = ""
    digest: str = ""
    pull: bool = False


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Seconds. `by`: past starts on this host that show the rate of its disk; 0: it is not measured. `download`: bytes
    of weights that the start may have to download first, which the range does not include.
    """

    low: int
    high: int
    by: int = 0
    download: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """The outage of a change while it runs, in seconds. `at_most`: the old container's stop and the gate's time-out,
    which bounds a start that shows no progress; None has no bound. `expected`: from the instance's past starts and
    stops (`starts` and `stops` count them); None if nothing is recorded: never a guess. `forecast`: where no start of
    these weights is recorded, the range of the engine's forecast.
    """

    down: bool
    at_most: int | None = None
    expected: int | None = None
    starts: int = 0
    stops: int = 0
    forecast: TimeRange | None = None


@dataclass(frozen=True, slots=True)
class InstanceChange:
    """The change to the containers of an instance. Each container that it touches is named by its role."""

    ordinal: int = 1
    generation: int = 1
    before: Spec | None = None
    after: Spec | None = None
    image: PlannedImage | None = None
    serving: ContainerRef | None = None
    """The container that serves, or did until it stopped: the change starts from it, and a failure restores it."""
    candidate: ContainerRef | None = None
    """A container from an earlier run that becomes the new one; None if one is created."""
    displaced: tuple[ContainerRef, ...] = ()
    """Retained containers that still have the serving name: they are renamed, because the new one needs it."""
    pruned: tuple[ContainerRef, ...] = ()
    """Generations beyond the retained number: they are removed."""
    others: tuple[ContainerRef, ...] = ()
    """If the whole instance is removed: its containers beside the serving one."""
    leftover: ContainerRef | None = None
    """Containers that an interrupted run left behind, if only those are removed."""
    policy: Policy = Policy()
    start_first: bool = False
    """A replacement whose new container serves before the old one stops."""
    is_rollback: bool = False
    """A replacement by a retained container, which must survive if the change fails."""
    rename: str = ""
    """The serving name that a moved or renamed container gets; empty if it has it already."""
    moved_from: str = ""
    """The model's former name, if the container is renamed because the model was; its labels keep that name."""

    @property
    def touched(self) -> tuple[ContainerRef, ...]:
        """Every container of the change. Apply refuses if one of them has changed since the plan."""
        refs = (self.serving, self.candidate, *self.displaced, *self.pruned, *self.others, self.leftover)
        return tuple(ref for ref in refs if ref is not None)

    @property
    def imported(self) -> str:
        """The id of the serving container if it is adopted; empty if it is one of ours."""
        return self.serving.id if self.serving and self.serving.imported else ""


@dataclass(frozen=True, slots=True)
class Change:
    """The change at one address, and its reason. `detail` describes it; today that is always an instance."""

    address: str
    host: str
    model: str
    action: Action
    detail: InstanceChange
    reasons: tuple[Reason, ...] = ()
    fields: tuple[FieldChange, ...] = ()
    cost: Cost = Cost(down=False)

    @property
    def only_tidies(self) -> bool:
        """Whether it only removes containers beside an instance that stays unchanged: the address is that of a
        container.
        """
        has_one = self.detail.leftover is not None or bool(self.detail.pruned)
        return self.action is Action.REMOVE and has_one


@dataclass(frozen=True, slots=True)
class PlannedHost:
    """A host of the plan; `problem` is set if it could not be read; then its models are omitted."""

    host: Host
    daemon: str = ""
    containers: int = 0
    unmanaged: int = 0
    problem: str = ""
    gpus_before: int = 0
    gpus_after: int = 0
    """Number of GPUs of the stack's running containers, now and after the plan is carried out."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A model that loses instances, temporarily or for good: the numbers that serve now, are wanted, serve at least
    during the rollout, and are down at a time.
    """

    model: str
    serving: int
    wanted: int
    never_below: int
    at_a_time: int
    batches: tuple[tuple[str, ...], ...] = ()
    """Addresses, in order: the next batch begins `wait` seconds after the previous one is done."""
    canaries: int = 0
    """The number of batches at the start that are the model's canaries."""
    wait: int = 0
    deferred: tuple[str, ...] = ()
    """Addresses that are left for another apply (--canary-hold)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Two equal pairs of values give equal plans, byte for byte in their JSON form."""

    stack: str
    stack_path: str
    stack_digest: str
    env: str
    destroy: bool
    basis: str
    """The source of the observation, if it is not the live hosts: a snapshot or another stack. Such a plan is only for
    reading.
    """
    selection: tuple[str, ...]
    """The options that narrowed the plan (--target x), empty if it is complete."""
    hosts: tuple[PlannedHost, ...]
    changes: tuple[Change, ...]
    steps: tuple[Step, ...]
    rollouts: tuple[Rollout, ...] = ()
    max_failures: int = 1
    """After this number of failed changes, no other change is started."""
    parallel_starts: int = PARALLEL_STARTS
    """The number of containers that may start at the same time on one host."""
    diagnostics: tuple[Diagnostic, ...] = ()
    hooks: tuple[Hook, ...] = ()
    """The stack's hooks that this plan reaches, in running order within each point."""
    audit_log: str = ""
    """Path of the audit log, relative to the stack's folder; empty: no audit log."""
    forecasts: tuple[InstanceForecast, ...] = ()
    """Memory of the instances that get new containers with GPUs, by address; or the reason why it is not known."""
    invocation: Invocation = Invocation()
    """The stack and the options of the run that created it, for the next commands."""
    ledger: tuple[GpuLine, ...] = ()
    """GPUs of the hosts where such containers are created, after the plan is carried out."""

    @property
    def owner(self) -> str:
        return owner(self.stack, self.env)

    @property
    def again(self) -> str:
        """The command that plans the same again."""
        for change in self.changes:
            if change.detail.is_rollback:
                generation = ("--generation", str(change.detail.generation))
                return self.invocation.command("rollback", change.address, options=(generation,))
        return self.invocation.same("plan", options=(("--destroy",),) if self.destroy else ())

    @property
    def effective(self) -> tuple[Change, ...]:
        """The changes that do something."""
        return tuple(c for c in self.changes if c.action.does_something)

    @property
    def has_errors(self) -> bool:
        return any(d.is_error for d in self.diagnostics)

    @property
    def unreachable(self) -> tuple[PlannedHost, ...]:
        return tuple(h for h in self.hosts if h.problem)

    @property
    def uncompared(self) -> tuple[str, ...]:
        """Names of secrets with an unchanged reference whose values were not compared because they were not read."""
        both = [(c.detail.before, c.detail.after) for c in self.changes]
        return tuple(sorted({name for b, a in both if b and a for name in uncompared_secrets(b, a)}))

    @property
    def lacking(self) -> tuple[tuple[str, str], ...]:
        """(address, secret) of changes that need a value that was never read: such a plan cannot be applied."""
        new = [c for c in self.changes if c.action in {Action.CREATE, Action.REPLACE, Action.ADOPT}]
        specs = [(c.address, c.detail.after) for c in new]
        return tuple(
            (address, s.name) for address, spec in specs if spec for s in spec.container.secrets if not s.fingerprint
        )

    @property
    def container_names(self) -> dict[str, str]:
        """Id -> name at planning time, of the containers that steps name by id."""
        return {ref.id: ref.name for change in self.changes for ref in change.detail.touched}

    def steps_of(self, change: Change) -> tuple[Step, ...]:
        return tuple(s for s in self.steps if s.address == change.address and s.host == change.host)
