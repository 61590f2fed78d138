"""Plans without live hosts, for review: against a snapshot, or against another stack or revision of this one.

It runs no program, reads no secret, and reads no file outside the stack's checkout except those named as options.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from cortexctl.desired.stack import Desired
from cortexctl.errors import UsageError
from cortexctl.files.checkout import as_written, checkout_of
from cortexctl.files.git import GitRefused, file_at, git_at
from cortexctl.files.reading import LARGEST_STACK, NotRead, as_text
from cortexctl.observe.from_snapshot import FromObservation
from cortexctl.observe.gather import compare_for_plan
from cortexctl.observed.observation import Observed
from cortexctl.observed.snapshot import LARGEST, NotASnapshot, snapshot_from_json
from cortexctl.operations.adapters import model_readers
from cortexctl.operations.documents import read_document
from cortexctl.operations.notes import Report, warning
from cortexctl.operations.read_stack import read_other_stack
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.comparison import Compared
from cortexctl.plan.guards_observed import gone_hosts, not_in_snapshot
from cortexctl.plan.hypothetical import as_if_applied
from cortexctl.plan.model import Plan
from cortexctl.plan.planner import plan_of
from cortexctl.plan.request import Request
from cortexctl.text.invocation import quoted

GIT, NONE = "git:", "none"


def plan_from_snapshot(
    desired: Desired, file: str, request: Request, report: Report, *, allow_hub: bool = False
) -> Plan:
    """The plan against a snapshot of `observe --out`. A host that is not in it counts as unreachable. `report` receives
    a warning if the snapshot is older than a day: a nightly job, or a more frequent one, writes it.
    """
    try:
        observed = snapshot_from_json(read_document(file, LARGEST))
    except NotASnapshot as cause:
        raise UsageError(
            f"{file} cannot be planned against: {cause}",
            next_step=f"{desired.invocation.command('observe')} --out {quoted(file)}",
        ) from cause
    complete = _compared_as_in(observed, file, desired, request, allow_hub=allow_hub)
    taken = _time_of(observed)
    if taken and (days := (datetime.now(UTC) - taken).days):
        age = f"{days} day{'s' if days > 1 else ''}"
        report(warning(f"{file} is {age} old: the hosts may have changed since then; cortexctl observe --out {file}"))
    basis = f"snapshot {file}" + (f" of {taken:%Y-%m-%d %H:%M} UTC" if taken else "")
    decided = plan_of(complete, basis=basis)
    more = (*gone_hosts(observed, desired, request), *not_in_snapshot(complete.observed, file))
    return replace(decided, diagnostics=(*decided.diagnostics, *more))


def _time_of(observed: Observed) -> datetime | None:
    """When the snapshot was taken; None if it has no time, or one that no calendar has."""
    with suppress(ValueError):
        return datetime.fromisoformat(observed.taken_at)
    return None


def _compared_as_in(known: Observed, name: str, desired: Desired, request: Request, *, allow_hub: bool) -> Compared:
    """The stack beside what `known` answers to the plan's questions. Models' files may lie on this machine, too, or on
    the hub with `allow_hub`: no host is asked.
    """
    readers, models = (
        FromObservation(known, name),
        model_readers(desired, allow_hub=allow_hub, within=checkout_of(desired.path)),
    )
    return compare_for_plan(desired, readers, request, replace(models, here=readers.files_or(models.here)))


def plan_from_stack(
    desired: Desired, other: str, choice: StackChoice, request: Request, *, allow_hub: bool = False
) -> Plan:
    """The plan as if `other` (a stack file, git:REVISION of this one, or none) had just been applied."""
    was = replace(desired, instances=()) if other == NONE else _other_stack(desired.path, other, choice)
    was = replace(was, stack=desired.stack, env=desired.env)
    applied = as_if_applied(was, desired)
    compared = _compared_as_in(applied, other, desired, request, allow_hub=allow_hub)
    decided = plan_of(compared, basis=f"stack {other}")
    return replace(decided, diagnostics=(*decided.diagnostics, *gone_hosts(applied, desired, request)))


def _other_stack(path: str, other: str, choice: StackChoice) -> Desired:
    if not other.startswith(GIT):
        return read_other_stack(other, choice, review=True)
    checkout = checkout_of(path)
    inside = as_written(path).relative_to(checkout.top)
    try:
        data = file_at(git_at(checkout), other.removeprefix(GIT), inside.as_posix(), LARGEST_STACK)
        text = as_text(f"{other}:{path}", data)
    except (GitRefused, NotRead) as cause:
        raise UsageError(f"--against {other}: {cause}") from None
    return read_other_stack(path, choice, text=text, name=f"{other}:{path}", review=True)
