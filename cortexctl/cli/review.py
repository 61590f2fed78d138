"""Plans without live hosts, for review: against a snapshot, or against another stack or revision of this one."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from cortexctl.cli.documents import read_document
from cortexctl.cli.options import Choice
from cortexctl.cli.wiring import need_other_stack
from cortexctl.errors import UsageError
from cortexctl.observed.snapshot import LARGEST, NotASnapshot, snapshot_from_json
from cortexctl.observed.state import Observed, ObservedHost
from cortexctl.plan.against import as_if_applied
from cortexctl.plan.model import Plan
from cortexctl.plan.planner import inspections_needed, models_needed, plan
from cortexctl.plan.request import Request
from cortexctl.spec.desired import Desired

GIT, NONE = "git:", "none"


def plan_from_snapshot(desired: Desired, file: str, request: Request, *, hub: bool = False) -> Plan:
    """The plan against what `observe --out` wrote. A host that is not in there counts as unreachable."""
    try:
        observed = snapshot_from_json(read_document(file, LARGEST))
    except NotASnapshot as cause:
        raise UsageError(
            f"{file} cannot be planned against: {cause}", next_step="cortexctl observe --out FILE"
        ) from cause
    known = {h.name: h for h in observed.hosts}
    hosts = (known.get(h.name) or ObservedHost(h.name, problem=f"it is not in {file}") for h in desired.hosts)
    complete = replace(observed, hosts=tuple(hosts))
    asked = inspections_needed(desired, complete, request)  # as against the live hosts, and no more
    in_place = {key: limits for key, limits in observed.in_place.items() if key in asked}
    complete = replace(complete, in_place=in_place)
    return plan(desired, _with_models(desired, complete, request, hub=hub), request, basis=f"snapshot {file}")


def _with_models(desired: Desired, observed: Observed, request: Request, *, hub: bool) -> Observed:
    """With models' files that lie on this machine, or on the hub if that is asked for: no host is."""
    sources = models_needed(desired, observed, request)
    if not sources:
        return observed
    from cortexctl.cli.modelreading import with_models

    return with_models(observed, sources, hub=hub)


def plan_from_stack(desired: Desired, other: str, choice: Choice, request: Request, *, hub: bool = False) -> Plan:
    """The plan as if `other` (a stack file, git:REVISION of this one, or none) had just been applied."""
    was = replace(desired, instances=()) if other == NONE else _other_stack(desired.path, other, choice)
    known = {h.name for h in desired.hosts}
    left = tuple(replace(h, docker=f"{h.name} of {other}") for h in was.hosts if h.name not in known)
    desired = replace(desired, hosts=(*desired.hosts, *left))
    was = replace(was, stack=desired.stack, env=desired.env)
    observed = _with_models(desired, as_if_applied(was, desired), request, hub=hub)
    return plan(desired, observed, request, basis=f"stack {other}")


def _other_stack(path: str, other: str, choice: Choice) -> Desired:
    if not other.startswith(GIT):
        return need_other_stack(other, choice)
    revision = other.removeprefix(GIT)
    if revision.startswith("-"):  # git would take it for an option, and some write files
        raise UsageError(f"--against {other}: a revision does not begin with a minus")
    folder = Path(path).resolve().parent
    try:
        done = subprocess.run(
            ["git", "show", f"{revision}:./{Path(path).name}"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as cause:
        raise UsageError(f"--against {other}: git cannot be run: {cause.strerror}") from cause
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise UsageError(f"--against {other}: {said[-1] if said else 'git show failed'}")
    return need_other_stack(path, choice, text=done.stdout, name=f"{other}:{path}")
