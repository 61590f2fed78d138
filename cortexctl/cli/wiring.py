"""Where the parts are put together: environment, files, clocks and adapters, once, for all commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from cortexctl.cli.notes import usable
from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic
from cortexctl.hosts.fleet import DockerDaemons, open_hosts
from cortexctl.observe.gather import observe_for_plan
from cortexctl.observed.observation import Observed
from cortexctl.operations.adapters import model_readers
from cortexctl.operations.read_stack import SecretMode, StackReader, StackReading
from cortexctl.operations.run_secrets import KNOWN
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.model import Plan
from cortexctl.plan.planner import plan
from cortexctl.plan.request import Request

if TYPE_CHECKING:
    from cortexctl.files.checkout import Checkout
    from cortexctl.stack.load import Releases


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


def need_stack_of_hosts(
    path: str,
    choice: StackChoice,
    *,
    with_secrets: bool = True,
    lenient: bool = False,
    warn: bool = True,
    review: bool = False,
) -> Desired:
    """The stack, or the end. Where neither the file nor a tag tells which vLLM an image holds, the hosts are
    asked first, and the stack is read by what they say. Raises BadStack.
    """
    read = partial(read_stack, path, choice, with_secrets=with_secrets, lenient=lenient, review=review)
    desired, found = read()
    if desired is not None and any(i.spec.server.version is None for i in desired.instances):
        desired, found = _by_what_hosts_say(desired, read)
    return _or_the_end(path, desired, found if warn or desired is None else [])


def _by_what_hosts_say(
    desired: Desired, read_by: Callable[..., tuple[Desired | None, list[Diagnostic]]]
) -> tuple[Desired | None, list[Diagnostic]]:
    from cortexctl.cli.releases import told_by_hosts
    from cortexctl.stack.load import Releases

    with open_hosts(desired.hosts, desired.owner) as daemons:
        told, problems = told_by_hosts(desired, daemons)
    read, found = read_by(releases=Releases(reported=told))
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


def make_plan(
    desired: Desired, daemons: DockerDaemons, request: Request, *, hub: bool = False, within: Checkout | None = None
) -> Plan:
    """Observe the hosts, and plan. `hub`: the hub is asked, too, for models that no host has. `within`: models' files
    of this machine are read only there.
    """
    models = model_readers(host=daemons, hub=hub, within=within)
    observed = _without_secrets(observe_for_plan(desired, daemons, request, models))
    made = plan(desired, observed, request)
    return replace(made, diagnostics=tuple(map(_diagnostic_without_secrets, made.diagnostics)))


def _without_secrets(observed: Observed) -> Observed:
    """A daemon, or what is between it and us, may send back what it was sent."""
    hosts = (replace(h, problem=KNOWN.hide(h.problem), next_step=KNOWN.hide(h.next_step)) for h in observed.hosts)
    return replace(observed, hosts=tuple(hosts))


def _diagnostic_without_secrets(said: Diagnostic) -> Diagnostic:
    return replace(said, summary=KNOWN.hide(said.summary), detail=KNOWN.hide(said.detail), help=KNOWN.hide(said.help))
