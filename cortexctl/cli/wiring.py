"""Where the parts are put together: environment, files, clocks and adapters, once, for all commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from cortexctl.cli.notes import usable
from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic
from cortexctl.hosts.fleet import DockerDaemons
from cortexctl.hosts.read import observe
from cortexctl.observed.host import ObservedHost
from cortexctl.observed.observation import Observed
from cortexctl.observed.owned import image_labels_needed
from cortexctl.operations.read_stack import SecretMode, StackReader, StackReading
from cortexctl.operations.run_secrets import KNOWN
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.adopt.normalise import read_back
from cortexctl.plan.model import Plan
from cortexctl.plan.planner import (
    adoptions_needed,
    images_needed,
    inspections_needed,
    models_needed,
    plan,
    records_needed,
)
from cortexctl.plan.request import Request

if TYPE_CHECKING:
    from cortexctl.files.checkout import Checkout
    from cortexctl.model_files.files import ModelSource
    from cortexctl.stack.load import Releases


EVERYTHING = Request()


def read_stack(
    path: str,
    choice: StackChoice,
    *,
    with_secrets: bool = True,
    lenient: bool = False,
    text: str | None = None,
    releases: Releases | None = None,
    review: bool = False,
) -> tuple[Desired | None, list[Diagnostic]]:
    reading = StackReader(path, choice, _mode(with_secrets=with_secrets, lenient=lenient, review=review)).read(
        text=text, releases=releases
    )
    return reading.desired, list(reading.diagnostics)


def _mode(*, with_secrets: bool, lenient: bool, review: bool) -> SecretMode:
    if review:
        return SecretMode.REVIEW
    if not with_secrets:
        return SecretMode.SKIP
    return SecretMode.LENIENT if lenient else SecretMode.RESOLVE


def open_stack(
    path: str,
    choice: StackChoice,
    *,
    with_secrets: bool = True,
    lenient: bool = False,
    warn: bool = True,
    review: bool = False,
) -> tuple[Desired, DockerDaemons]:
    """The stack and its hosts' daemons. Where neither the file nor a tag tells which vLLM an image holds, the hosts are
    asked first, and the stack is read by what they say. Raises BadStack.
    """
    read = partial(read_stack, path, choice, with_secrets=with_secrets, lenient=lenient, review=review)
    desired, found = read()
    if desired is not None and any(i.spec.server.version is None for i in desired.instances):
        desired, found = _by_what_hosts_say(desired, read)
    desired = _or_the_end(path, desired, found if warn or desired is None else [])
    return desired, open_daemons(desired)


def _by_what_hosts_say(
    desired: Desired, read_by: Callable[..., tuple[Desired | None, list[Diagnostic]]]
) -> tuple[Desired | None, list[Diagnostic]]:
    from cortexctl.cli.releases import told_by_hosts
    from cortexctl.stack.load import Releases

    daemons = open_daemons(desired)
    try:
        told, problems = told_by_hosts(desired, daemons)
    finally:
        daemons.close()
    read, found = read_by(releases=Releases(told=told))
    return (None if problems else read), [*problems, *found]


def need_stack(
    path: str,
    choice: StackChoice,
    *,
    with_secrets: bool = True,
    lenient: bool = False,
    instead: str = "",
    review: bool = False,
) -> Desired:
    """The stack, or the end: its problems are shown. Warnings are shown and do not stop. `instead`: the vLLM release to
    read it for, whatever its images hold.
    """
    from cortexctl.stack.load import Releases

    releases = Releases(instead=instead)
    desired, found = read_stack(
        path, choice, with_secrets=with_secrets, lenient=lenient, releases=releases, review=review
    )
    return _or_the_end(path, desired, found)


def _or_the_end(path: str, desired: Desired | None, found: list[Diagnostic]) -> Desired:
    return usable(StackReading(path, desired, tuple(found)))


def look(desired: Desired, daemons: DockerDaemons, request: Request = EVERYTHING) -> Observed:
    """One list request for each host that is asked for; and an inspection of what the stack takes by its name, and of
    images that may be where a container has its labels from.
    """
    to_read = request.hosts_to_read([h.name for h in desired.hosts])
    observed = observe([h for h in desired.hosts if h.name in to_read])
    others = (ObservedHost(h.name, problem="it was not asked for") for h in desired.hosts if h.name not in to_read)
    observed = proven(desired, replace(observed, hosts=(*observed.hosts, *others)))
    wanted = adoptions_needed(desired, observed)
    found = daemons.adoptable(wanted)
    return replace(observed, adoptable={at: read_back(wanted[at[0]][at[1]][1], one) for at, one in found.items()})


def proven(desired: Desired, observed: Observed) -> Observed:
    """With whose the labels are that containers without a name of the stack carry, as far as their images show it."""
    wanted = image_labels_needed(observed, desired.owner, desired.moved)
    if not wanted:
        return observed
    from cortexctl.hosts.drift_read import with_image_labels

    return with_image_labels(desired.hosts, observed, wanted)


def make_plan(
    desired: Desired, daemons: DockerDaemons, request: Request, *, hub: bool = False, within: Checkout | None = None
) -> Plan:
    """Look at the hosts, look up the images, limits and models' files that the decision needs, plan. `hub`: the hub is
    asked, too, for models that no host has. `within`: of this machine, models' files are read only there.
    """
    observed = _without_secrets(look(desired, daemons, request))
    observed = _with_records_that_decide(desired, observed, daemons, request) if request.only else observed
    images = daemons.images(images_needed(desired, observed, request))
    records = observed.records if request.only else daemons.records(records_needed(desired, observed, request))
    in_place = daemons.in_place(inspections_needed(desired, replace(observed, records=records), request))
    observed = observed.with_facts(images, in_place, records)
    sources = models_needed(desired, observed, request)
    made = plan(desired, _with_models(observed, sources, daemons, hub=hub, within=within), request)
    return replace(made, diagnostics=tuple(map(_diagnostic_without_secrets, made.diagnostics)))


def _with_records_that_decide(
    desired: Desired, observed: Observed, daemons: DockerDaemons, request: Request
) -> Observed:
    """What was applied last is what comes back. Where its record cannot be read, the host cannot."""
    records, faults = daemons.readable_records(records_needed(desired, observed, request))
    unread = {
        host: ObservedHost(host, problem=f"its record cannot be read: {cause.message}", next_step=cause.next_step)
        for host, cause in faults.items()
    }
    return replace(observed, hosts=tuple(unread.get(h.name, h) for h in observed.hosts), records=records)


def _without_secrets(observed: Observed) -> Observed:
    """A daemon, or what is between it and us, may send back what it was sent."""
    hosts = (replace(h, problem=KNOWN.hide(h.problem), next_step=KNOWN.hide(h.next_step)) for h in observed.hosts)
    return replace(observed, hosts=tuple(hosts))


def _diagnostic_without_secrets(said: Diagnostic) -> Diagnostic:
    return replace(said, summary=KNOWN.hide(said.summary), detail=KNOWN.hide(said.detail), help=KNOWN.hide(said.help))


def _with_models(
    observed: Observed,
    sources: tuple[ModelSource, ...],
    daemons: DockerDaemons,
    *,
    hub: bool,
    within: Checkout | None,
) -> Observed:
    if not sources:
        return observed
    from cortexctl.cli.modelreading import with_models

    return with_models(observed, sources, daemons, hub=hub, within=within)


def open_daemons(desired: Desired) -> DockerDaemons:
    return DockerDaemons({h.name: h for h in desired.hosts}, desired.owner)
