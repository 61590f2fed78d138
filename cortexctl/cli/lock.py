"""cortexctl lock: shows the lock holders of the stack's hosts, and releases stale locks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from cortexctl.cli import options
from cortexctl.cli.waiting import watched_connections
from cortexctl.cli.writing import out, print_plain
from cortexctl.operations.connections import open_hosts
from cortexctl.operations.lock import read_locks, release_locks
from cortexctl.operations.read_stack import SecretMode, StackReader
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.operations.status_results import HostLock
from cortexctl.render.lock import lock_text, released_text


@click.group("lock")
def command() -> None:
    """Show or release the locks of the stack's hosts."""


@command.command("status")
@options.stack_argument
@options.stack_choice
def status(stack: str, *, choice: StackChoice) -> int:
    """Show who is applying the stack, host by host."""
    desired = StackReader(stack, choice, SecretMode.SKIP).read().usable
    with watched_connections() as connections, open_hosts(desired, connections) as hosts:
        return _show(read_locks(desired, hosts), lock_text)


@command.command("release")
@options.stack_argument
@click.option("--host", metavar="NAME", help="Release only the lock of this host.")
@options.stack_choice
def release(stack: str, *, choice: StackChoice, host: str | None) -> int:
    """Release the locks, no matter who holds them. Check with `lock status` first."""
    desired = StackReader(stack, choice, SecretMode.SKIP).read().usable
    with watched_connections() as connections, open_hosts(desired, connections) as hosts:
        return _show(release_locks(desired, hosts, host), released_text)


def _show(locks: Iterable[HostLock], text: Callable[[HostLock], str]) -> int:
    """One line per host. The exit code is 0 if all hosts answered."""
    code = 0
    for lock in locks:
        if lock.error is None:
            out(text(lock))
        else:
            code = lock.error.exit_code
            print_plain(
                f"{lock.error.message}\n" + (f"Next:  {lock.error.next_step}\n" if lock.error.next_step else "")
            )
    return code
