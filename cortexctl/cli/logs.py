"""cortexctl logs: an instance's own words."""

from __future__ import annotations

import sys
from dataclasses import replace

import click

from cortexctl.cli import options
from cortexctl.cli.addresses import full_address
from cortexctl.cli.wiring import look, need_stack, open_engines
from cortexctl.engine.engines import DockerEngines
from cortexctl.errors import EngineUnreachable, UsageError
from cortexctl.observed.owned import Owned, OwnedInstance
from cortexctl.plan.servers import found_on
from cortexctl.spec.desired import Desired


@click.command("logs")
@click.argument("address", metavar="HOST/MODEL")
@click.option("--stack", default=options.DEFAULT_STACK, show_default=True, help="The stack file.")
@click.option("--tail", type=click.IntRange(1), default=100, show_default=True, help="How many lines.")
@click.option("--generation", type=int, help="A candidate or a kept generation instead of the serving one.")
@click.option("-f", "--follow", is_flag=True, help="Go on until interrupted.")
@options.stack_choice
def command(
    address: str, *, choice: options.Choice, stack: str, tail: int, generation: int | None, follow: bool
) -> int:
    """Show the log of an instance; without a serving one, of its newest container."""
    desired = need_stack(stack, choice, with_secrets=False)
    engines = open_engines(desired)
    try:
        instance = find_instance(desired, address, engines)
        owned = choose(instance, generation)
        engine = engines.engine(instance.host)
        if follow:
            for line in engine.follow(owned.container.id, tail):
                sys.stdout.write(line)
                sys.stdout.flush()
        else:
            for line in engine.log_lines(owned.container.id, tail):
                sys.stdout.write(line + "\n")
    finally:
        engines.close()
    return 0


def find_instance(desired: Desired, address: str, engines: DockerEngines) -> OwnedInstance:
    """Raises UsageError with the addresses that there are."""
    address = full_address(desired, address)
    name = address.partition("/")[0]
    host = desired.host(name)
    here = replace(desired, hosts=(host,), instances=tuple(i for i in desired.instances if i.host == name))
    observed = look(here, engines)
    seen = observed.host(name)
    if not seen.is_reachable:
        raise EngineUnreachable(f"{host.name}: {seen.problem}", next_step=seen.next_step)
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
