"""Checks that the hosts are still as the plan saw them. Done under the lock, for the containers that the plan touches
and no others.
"""

from __future__ import annotations

from collections.abc import Iterator

from cortexctl.instance import labels
from cortexctl.instance.labels import serving_name
from cortexctl.observed.host import ObservedContainer
from cortexctl.observed.observation import Observed
from cortexctl.plan.action import Action
from cortexctl.plan.conflicts import overlap
from cortexctl.plan.model import Change, Plan

_STOPS_IT = {Action.REPLACE, Action.RESTART, Action.REMOVE}


def stale_reasons(plan: Plan, now: Observed) -> list[str]:
    """One sentence for each change since the plan was created; empty if it can be applied."""
    reasons: list[str] = []
    for change in plan.effective:
        host = now.host(change.host)
        if not host.is_reachable:
            reasons.append(f"{change.host}: {host.problem}")
            continue
        reasons += _other_daemon(plan, change.host, host.daemon)
        reasons += _moved(change, host.containers)
        reasons += _appeared(change, host.containers)
        reasons += _port_taken(plan, change, host.containers)
    return list(dict.fromkeys(reasons))


def _other_daemon(plan: Plan, host: str, now: str) -> Iterator[str]:
    planned = next((h.daemon for h in plan.hosts if h.host.name == host), "")
    if planned and planned != now:
        yield f"{host}: its daemon was {planned} and is now {now}"


def _moved(change: Change, containers: tuple[ObservedContainer, ...]) -> Iterator[str]:
    by_id = {c.id: c for c in containers}
    for ref in change.detail.touched:
        now = by_id.get(ref.id)
        if now is None:
            yield f"{change.address}: the container {ref.name} ({ref.id[:12]}) is gone{_by_whom(change, containers)}"
        elif now.name != ref.name:
            yield f"{change.address}: the container {ref.name} is now called {now.name}{_by_whom(change, containers)}"
        elif now.state != ref.state and not _is_crash_loop(change, ref.state, now.state):
            yield f"{change.address}: the container {ref.name} was {ref.state} and is now {now.state}"


def _is_crash_loop(change: Change, was: str, now: str) -> bool:
    """A container in a crash loop alternates between running and restarting. A change that stops it in any case may
    continue; otherwise it could never be fixed.
    """
    return change.action in _STOPS_IT and {was, now} == {"running", "restarting"}


def _by_whom(change: Change, containers: tuple[ObservedContainer, ...]) -> str:
    """The run that created the container with this name, if there is one."""
    known = {ref.id for ref in change.detail.touched}
    name = serving_name(change.model, change.detail.ordinal)
    other = next((c for c in containers if c.name == name and c.id not in known), None)
    run = other.labels.get(labels.RUN) if other else ""
    return f"; {name} is now another container, created by run {run}" if run else ""


def _appeared(change: Change, containers: tuple[ObservedContainer, ...]) -> Iterator[str]:
    """If the plan saw no serving container, there must still be none."""
    if change.action is not Action.CREATE:
        return
    name = serving_name(change.model, change.detail.ordinal)
    for container in containers:
        if container.name == name:
            run = container.labels.get(labels.RUN)
            yield f"{change.address}: {name} exists now" + (f", created by run {run}" if run else "")


def _port_taken(plan: Plan, change: Change, containers: tuple[ObservedContainer, ...]) -> Iterator[str]:
    """The port was free, or its holder was to release it, when the plan was created. If another program has taken it
    since, the start would fail only after the stop of the serving container.
    """
    publish = change.detail.after.container.publish if change.detail.after else None
    if publish is None or publish.port is None:
        return
    expected = {ref.id for c in plan.effective if c.host == change.host for ref in c.detail.touched}
    for container in containers:
        if container.id not in expected and any(
            bound.port == publish.port and overlap(bound.address, publish.address) for bound in container.ports
        ):
            yield f"{change.address}: {publish} is now used by {container.name}"
