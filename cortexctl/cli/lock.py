"""cortexctl lock: who holds the stack's hosts, and the way out when nobody does any more."""

from __future__ import annotations

import sys

import click

from cortexctl.cli import options
from cortexctl.cli.wiring import need_stack, open_engines
from cortexctl.engine.lock import is_dead, this_machine
from cortexctl.errors import UsageError
from cortexctl.observed.state import LockInfo
from cortexctl.spec.units import show_seconds


@click.group("lock")
def command() -> None:
    """Show or release the locks of the stack's hosts."""


@command.command("status")
@options.stack_argument
@options.stack_choice
def status(stack: str, *, choice: options.Choice) -> int:
    """Show who is applying the stack, host by host."""
    desired = need_stack(stack, choice, with_secrets=False)
    engines = open_engines(desired)
    for host in desired.hosts:
        engine = engines.engine(host.name)
        holder = engine.read_lock(desired.owner)
        sys.stdout.write(f"{host.name}: {lock_in_words(holder, int(engine.now())) if holder else 'free'}\n")
    engines.close()
    return 0


@command.command("release")
@options.stack_argument
@click.option("--host", metavar="NAME", help="Only this host.")
@options.stack_choice
def release(stack: str, *, choice: options.Choice, host: str | None) -> int:
    """Release the locks, whoever holds them. Look with `lock status` first."""
    desired = need_stack(stack, choice, with_secrets=False)
    if host not in {None, *(h.name for h in desired.hosts)}:
        raise UsageError(f'there is no host "{host}"; known: {", ".join(h.name for h in desired.hosts)}')
    engines = open_engines(desired)
    for each in desired.hosts:
        if host in {None, each.name}:
            engine = engines.engine(each.name)
            holder = engine.read_lock(desired.owner)
            said = f"released ({lock_in_words(holder, int(engine.now()))})" if holder else "was free"
            engine.release_lock(desired.owner)
            sys.stdout.write(f"{each.name}: {said}\n")
    engines.close()
    return 0


def lock_in_words(holder: LockInfo, now: int) -> str:
    """Who holds it, since when, and whether that one can still be at work. `now`: by the engine's clock."""
    here = holder.machine == this_machine()
    alive = "its process runs" if here else "its holder may be alive"
    state = "its holder is gone" if is_dead(holder, now) else alive
    return (
        f"held by {holder.who} on {holder.machine_name}, pid {holder.pid}, run {holder.run}, "
        f"for {show_seconds(max(now - holder.started, 0))}; {state}"
    )
