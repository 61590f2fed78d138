"""cortexctl logs: an instance's own words."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence

import click

from cortexctl.apply.protocols import Secrets
from cortexctl.cli import options
from cortexctl.cli.addresses import full_address
from cortexctl.cli.wiring import need_stack
from cortexctl.cli.writing import out, out_raw
from cortexctl.desired.stack import Desired
from cortexctl.errors import DaemonUnreachable, SecretUnresolved, UsageError
from cortexctl.hosts.fleet import DockerDaemons, open_hosts
from cortexctl.hosts.log import LONGEST_LINE
from cortexctl.instance.secret import hidden
from cortexctl.observe.gather import observe_identity
from cortexctl.observed.owned import Owned, OwnedInstance
from cortexctl.operations.adapters import secret_reader
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.plan.drift.servers import found_on
from cortexctl.render.sanitise import visible


@click.command("logs")
@click.argument("address", metavar="HOST/MODEL")
@options.stack_option
@click.option("--tail", type=click.IntRange(1), default=100, show_default=True, help="How many lines.")
@click.option("--generation", type=int, help="A candidate or a kept generation instead of the serving one.")
@click.option("--raw", is_flag=True, help="As it is: with its colours, and whatever else acts on a terminal.")
@click.option("-F", "--follow", is_flag=True, help="Go on until interrupted.")
@options.stack_choice
def command(
    address: str,
    *,
    choice: StackChoice,
    stack: str,
    tail: int,
    generation: int | None,
    raw: bool,
    follow: bool,
) -> int:
    """Show the log of an instance; without a serving one, of its newest container. Secrets are hidden in it."""
    desired = need_stack(stack, choice, with_secrets=False)
    with open_hosts(desired.hosts, desired.owner) as daemons:
        instance = find_instance(desired, address, daemons)
        owned = choose(instance, generation)
        daemon = daemons.daemon(instance.host)
        values = values_of(owned, secret_reader(stack, choice))
        pieces = daemon.follow(owned.container.id, tail)
        lines = _whole_lines(pieces) if follow else daemon.log_lines(owned.container.id, tail)
        for line in lines:
            (out_raw if raw else out)(_shown(line, values, raw=raw) + "\n")
            if follow:
                sys.stdout.flush()
    return 0


def _whole_lines(pieces: Iterable[str]) -> Iterator[str]:
    """Each line once it has its end: a secret must not be cut in two by a piece that ends in it. Of progress bars that
    are drawn over each other, the last.
    """
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        yield from (line.rpartition("\r")[2] for line in whole)
        rest = rest.rpartition("\r")[2] if len(rest) > LONGEST_LINE else rest
    if rest:
        yield rest.rpartition("\r")[2]


def _shown(line: str, values: Sequence[str], *, raw: bool) -> str:
    """Only what acts on a terminal is shown by itself when it is asked for."""
    line = hidden(line, values)
    return line if raw else "\t".join(map(visible, line.split("\t")))


def values_of(owned: Owned, secrets: Secrets) -> Sequence[str]:
    """The secrets of a container that can be had without running a program, for hiding them."""
    found: list[str] = []
    for reference in owned.spec.container.secrets if owned.spec else ():
        if reference.source != "command":
            with contextlib.suppress(SecretUnresolved):
                found.append(secrets.value(reference))
    return found


def find_instance(desired: Desired, address: str, daemons: DockerDaemons) -> OwnedInstance:
    """Raises UsageError with the addresses that there are."""
    address = full_address(desired, address)
    name = address.partition("/")[0]
    host = desired.host(name)
    here = desired.on_hosts([name])
    observed = observe_identity(here, daemons)
    seen = observed.host(name)
    if not seen.is_reachable:
        raise DaemonUnreachable(f"{host.name}: {seen.problem}", next_step=seen.next_step)
    found = found_on(seen, here, here.by_host()[name], observed)
    if address not in found:
        declared = "" if any(i.address == address for i in desired.instances) else f" and is not in {desired.path}"
        raise UsageError(f"{address} has no container{declared}; there are: {', '.join(found) or 'none'}")
    return found[address]


def choose(instance: OwnedInstance, generation: int | None) -> Owned:
    """The serving one, else the last; or a generation. Raises UsageError with those that there are."""
    if generation is None:
        return instance.serving or instance.others[-1]
    for owned in instance.all:
        if owned.generation == generation:
            return owned
    known = ", ".join(str(g) for g in sorted(o.generation for o in instance.all))
    raise UsageError(f"{instance.address} has no generation {generation}; there are: {known}")
