"""A plan as a value: changes are what a person reads, steps are what a machine does."""

from __future__ import annotations

from dataclasses import dataclass

from cortexctl.desired.hook import Hook
from cortexctl.desired.stack import Host, Policy
from cortexctl.diagnostics import Diagnostic
from cortexctl.instance.labels import owner
from cortexctl.instance.spec import Spec
from cortexctl.plan.action import Action, Reason
from cortexctl.plan.capacity.forecast import GpuLine, InstanceForecast
from cortexctl.plan.diff import FieldChange, uncompared_secrets
from cortexctl.plan.steps import Step

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
    """It has none of our labels: the stack takes it by its name."""


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """The image that a new container gets, pinned: by id when it is on the host, else by digest."""

    reference: str
    id: str = ""
    digest: str = ""
    pull: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """What a change takes away while it runs, in seconds. `at_most`: the old one's stop and the gate's time-out, which
    bounds a start that shows no progress; None has no bound.
    `expected`: by the instance's past starts and stops (`starts` and `stops` count them); None if nothing is
    recorded: never a guess.
    """

    down: bool
    at_most: int | None = None
    expected: int | None = None
    starts: int = 0
    stops: int = 0


@dataclass(frozen=True, slots=True)
class InstanceChange:
    """What happens to the containers of an instance. Each of them that the change touches has a name by its part."""

    ordinal: int = 1
    generation: int = 1
    before: Spec | None = None
    after: Spec | None = None
    image: PlannedImage | None = None
    serving: ContainerRef | None = None
    """The one that serves, or did until it stopped: what is changed, and what a failure returns to."""
    candidate: ContainerRef | None = None
    """A container from an earlier run that becomes the new one; None when one is created."""
    displaced: tuple[ContainerRef, ...] = ()
    """Retained ones that still have the serving name: they are renamed, because the new one needs it."""
    pruned: tuple[ContainerRef, ...] = ()
    """Generations beyond those that are retained: they are removed."""
    others: tuple[ContainerRef, ...] = ()
    """Where the whole instance is removed: its containers beside the serving one."""
    leftover: ContainerRef | None = None
    """What an interrupted run left behind, where only that is removed."""
    policy: Policy = Policy()  # noqa: RUF009 - frozen
    start_first: bool = False
    """A replacement whose new container serves before the old one stops."""
    is_rollback: bool = False
    """A replacement by a retained container, which must not be lost if the change fails."""
    rename: str = ""
    """The serving name that a moved or renamed container gets; empty when it has it."""
    moved_from: str = ""
    """The model's former name, where the container is renamed because the model was; its labels keep that name."""

    @property
    def touched(self) -> tuple[ContainerRef, ...]:
        """Every container of the change. Apply refuses if one of them has changed since the plan."""
        refs = (self.serving, self.candidate, *self.displaced, *self.pruned, *self.others, self.leftover)
        return tuple(ref for ref in refs if ref is not None)

    @property
    def imported(self) -> str:
        """The id of the serving container where it is imported; empty where it is one of ours."""
        return self.serving.id if self.serving and self.serving.imported else ""


@dataclass(frozen=True, slots=True)
class Change:
    """What happens at one address, and why. `detail` is what happens there; today that is always an instance."""

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
        """Whether it removes containers beside an instance that stays as it is: the address is that of a container."""
        has_one = self.detail.leftover is not None or bool(self.detail.pruned)
        return self.action is Action.REMOVE and has_one


@dataclass(frozen=True, slots=True)
class PlannedHost:
    """A host of the plan; `problem` when it could not be read and its models are left out."""

    host: Host
    daemon: str = ""
    containers: int = 0
    unmanaged: int = 0
    problem: str = ""
    gpus_before: int = 0
    gpus_after: int = 0
    """GPUs that the stack's running containers have, now and once the plan is carried out."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A model that loses instances, for a while or for good: how many serve now, are wanted, and serve at the least
    meanwhile; and how many are down at a time.
    """

    model: str
    serving: int
    wanted: int
    never_below: int
    at_a_time: int
    batches: tuple[tuple[str, ...], ...] = ()
    """Addresses, in turn: the next batch begins when one is done, and `wait` seconds later."""
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
    """What it was made against, if not the live hosts: a snapshot or another stack. Such a plan is for reading."""
    selection: tuple[str, ...]
    """The words that narrowed the plan (--target x), empty when it is whole."""
    hosts: tuple[PlannedHost, ...]
    changes: tuple[Change, ...]
    steps: tuple[Step, ...]
    rollouts: tuple[Rollout, ...] = ()
    max_failures: int = 1
    """After this number of failed changes, no other change is started."""
    diagnostics: tuple[Diagnostic, ...] = ()
    hooks: tuple[Hook, ...] = ()
    """Those of the stack's hooks that this plan comes to, in the order in which those of one point run."""
    audit_log: str = ""
    """Where its apply is written down, from the stack's folder; empty: nowhere."""
    forecasts: tuple[InstanceForecast, ...] = ()
    """Memory of the instances that get new containers with GPUs, by address; or why it is not known."""
    ledger: tuple[GpuLine, ...] = ()
    """GPUs of the hosts where such containers are made, once the plan is carried out."""

    @property
    def owner(self) -> str:
        return owner(self.stack, self.env)

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
        """Names of secrets whose reference stays, and whose values were not compared because they were not read."""
        both = [(c.detail.before, c.detail.after) for c in self.changes]
        return tuple(sorted({name for b, a in both if b and a for name in uncompared_secrets(b, a)}))

    @property
    def lacking(self) -> tuple[tuple[str, str], ...]:
        """(address, secret) where a change writes down what was never read: such a plan cannot be applied."""
        new = [c for c in self.changes if c.action in {Action.CREATE, Action.REPLACE, Action.ADOPT}]
        specs = [(c.address, c.detail.after) for c in new]
        return tuple(
            (address, s.name) for address, spec in specs if spec for s in spec.container.secrets if not s.fingerprint
        )

    @property
    def container_names(self) -> dict[str, str]:
        """Id -> name, when the plan was made, of the containers that steps name by id."""
        return {ref.id: ref.name for change in self.changes for ref in change.detail.touched}

    def steps_of(self, change: Change) -> tuple[Step, ...]:
        return tuple(s for s in self.steps if s.address == change.address and s.host == change.host)
