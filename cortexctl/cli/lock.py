"""cortexctl lock: who holds the stack's hosts, and the way out when nobody does any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from cortexctl.cli import options
from cortexctl.cli.wiring import need_stack
from cortexctl.cli.writing import out, say_plain
from cortexctl.concurrently import at_once
from cortexctl.desired.stack import Host
from cortexctl.errors import DaemonError, DaemonRefused, UsageError
from cortexctl.hosts.fleet import open_hosts
from cortexctl.hosts.lock import is_dead, runs_here
from cortexctl.observed.lock_holder import LockInfo
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.render.sanitise import visible
from cortexctl.text.units import show_seconds

if TYPE_CHECKING:
    from cortexctl.hosts.act import DockerDaemon


@click.group("lock")
def command() -> None:
    """Show or release the locks of the stack's hosts."""


@command.command("status")
@options.stack_argument
@options.stack_choice
def status(stack: str, *, choice: StackChoice) -> int:
    """Show who is applying the stack, host by host."""
    desired = need_stack(stack, choice, with_secrets=False)
    with open_hosts(desired.hosts, desired.owner) as daemons:

        def holder(host: str) -> str:
            held = daemons.held_lock(host)
            return lock_in_words(held.holder, int(held.now)) if held else "free"

        return _of_each(desired.hosts, holder)


@command.command("release")
@options.stack_argument
@click.option("--host", metavar="NAME", help="Only this host.")
@options.stack_choice
def release(stack: str, *, choice: StackChoice, host: str | None) -> int:
    """Release the locks, whoever holds them. Look with `lock status` first."""
    desired = need_stack(stack, choice, with_secrets=False)
    if host not in {None, *(h.name for h in desired.hosts)}:
        raise UsageError(f'there is no host "{host}"; known: {", ".join(h.name for h in desired.hosts)}')
    wanted = [h for h in desired.hosts if host in {None, h.name}]
    with open_hosts(desired.hosts, desired.owner) as daemons:
        return _of_each(wanted, lambda name: _released(daemons.daemon(name), desired.owner))


def _released(daemon: DockerDaemon, owner: str) -> str:
    """Whoever holds it, and whatever the lock holds: this is the way out."""
    try:
        holder = daemon.read_lock(owner)
        said = f"released ({lock_in_words(holder, int(daemon.now()))})" if holder else "was free"
    except DaemonRefused:
        said = "released (who held it cannot be read)"
    daemon.release_lock(owner)
    return said


def _of_each(hosts: Sequence[Host], ask: Callable[[str], str]) -> int:
    """A line a host, all asked at once. One whose daemon does not answer stops no other; the exit code says it."""

    def answer(host: Host) -> str | DaemonError:
        try:
            return ask(host.name)
        except DaemonError as cause:
            return cause

    code = 0
    for host, answered in zip(hosts, at_once(answer, hosts), strict=True):
        if isinstance(answered, DaemonError):
            code = answered.exit_code
            say_plain(f"{answered.message}\n" + (f"Next:  {answered.next_step}\n" if answered.next_step else ""))
        else:
            out(f"{host.name}: {answered}\n")
    return code


def lock_in_words(holder: LockInfo, now: int) -> str:
    """Who holds it, since when, and whether that one can still be at work. `now`: by the daemon's clock."""
    is_known = runs_here(holder) and holder.pid > 0
    alive = "its process runs" if is_known else "its holder may be alive"
    state = "its holder is gone" if is_dead(holder, now) else alive
    since = f"for {show_seconds(max(now - holder.started, 0))}" if holder.started else "since nobody knows when"
    pid = f"pid {holder.pid}" if holder.pid else "pid not known"
    return visible(f"held by {holder.who} on {holder.machine_name}, {pid}, run {holder.run}, {since}; {state}")
