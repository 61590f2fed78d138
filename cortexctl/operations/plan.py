"""Make a plan: against the live hosts, or for review against a snapshot, another stack or another revision."""

from __future__ import annotations

from dataclasses import replace

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic, Kind
from cortexctl.errors import UsageError
from cortexctl.files.checkout import Checkout, checkout_of
from cortexctl.observe.gather import compare_for_plan
from cortexctl.observed.observation import Observed
from cortexctl.operations.adapters import model_readers
from cortexctl.operations.connections import Connections, OpenHosts, open_hosts
from cortexctl.operations.image_release import read_with_releases
from cortexctl.operations.notes import Report
from cortexctl.operations.read_stack import SecretMode, StackReader, StackReading
from cortexctl.operations.run_secrets import KNOWN
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.model import Plan
from cortexctl.plan.planner import plan_of
from cortexctl.plan.request import Request


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """What to plan, and against what. `observed`: a snapshot's file. `against`: another stack. `no_commands`: run no
    program of the stack. `allow_hub`: ask the hub for models that no host has.
    """

    request: Request
    observed: str | None = None
    against: str | None = None
    probe: bool = False
    no_commands: bool = False
    allow_hub: bool = False

    @property
    def is_review(self) -> bool:
        return bool(self.observed or self.against)

    def check(self) -> None:
        """Raises UsageError for inputs that contradict each other."""
        if self.probe and self.is_review:
            raise UsageError(
                "--probe starts containers on the hosts; a plan with --observed or --against reads no host"
            )
        if self.probe and self.no_commands:
            raise UsageError("--probe runs a program of each image of the stack, but --no-commands runs none")
        if self.observed and self.against:
            raise UsageError("--observed and --against exclude each other")


def read_for_plan(
    stack: str, choice: StackChoice, inputs: PlanInputs, connections: Connections | None = None
) -> StackReading:
    """The stack. A review reads no secret and no host; a destroy needs no secret. `connections`: of the run."""
    if inputs.is_review:
        return StackReader(stack, choice, SecretMode.REVIEW).read()
    secrets = SecretMode.SKIP if inputs.request.destroy else SecretMode.RESOLVE
    reader = StackReader(stack, choice, SecretMode.REVIEW if inputs.no_commands else secrets)
    return read_with_releases(reader, connections, inputs.request)


def make_plan(
    desired: Desired,
    choice: StackChoice,
    inputs: PlanInputs,
    report: Report,
    connections: Connections | None = None,
) -> Plan:
    """`report`: receives the notes of a probe, and a warning about an old snapshot. `connections`: of the run. Raises
    UsageError, BadStack.
    """
    if inputs.observed:
        from cortexctl.operations.review import plan_from_snapshot

        return plan_from_snapshot(desired, inputs.observed, inputs.request, report, allow_hub=inputs.allow_hub)
    if inputs.against:
        from cortexctl.operations.review import plan_from_stack

        return plan_from_stack(desired, inputs.against, choice, inputs.request, allow_hub=inputs.allow_hub)
    with open_hosts(desired, connections) as hosts:
        within = checkout_of(desired.path) if inputs.no_commands else None
        live = plan_live(desired, hosts, inputs.request, allow_hub=inputs.allow_hub, within=within)
        if not inputs.probe:
            return live
        from cortexctl.operations.probe import probe

        return probe(live, desired, hosts, report, hosts.watch)


def plan_live(
    desired: Desired, hosts: OpenHosts, request: Request, *, allow_hub: bool = False, within: Checkout | None = None
) -> Plan:
    """Observe the hosts, and plan. `allow_hub`: ask the hub, too, for models that no host has. `within`: read models'
    files of this machine only there.
    """
    models = model_readers(desired, host=hosts, allow_hub=allow_hub, within=within)
    compared = compare_for_plan(desired, hosts, request, models, hosts.watch)
    decided = plan_of(compared.with_observed(_without_secrets(compared.observed)))
    return replace(decided, diagnostics=tuple(map(_diagnostic_without_secrets, decided.diagnostics)))


def is_blocked(plan: Plan, *, allow_unreachable: bool = False) -> bool:
    """Whether the plan has errors; unreachable hosts are errors unless they are allowed."""
    return any(d.is_error and not (allow_unreachable and d.kind is Kind.UNREACHABLE) for d in plan.diagnostics)


def _without_secrets(observed: Observed) -> Observed:
    """A daemon, or a proxy before it, may return text that it received, and that may hold a secret."""
    unread = {
        h.name: replace(h, problem=KNOWN.hide(h.problem), next_step=KNOWN.hide(h.next_step))
        for h in observed.hosts
        if not h.is_reachable
    }
    return observed.with_hosts(unread)


def _diagnostic_without_secrets(d: Diagnostic) -> Diagnostic:
    return replace(d, summary=KNOWN.hide(d.summary), detail=KNOWN.hide(d.detail), help=KNOWN.hide(d.help))
