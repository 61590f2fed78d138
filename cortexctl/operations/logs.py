"""The log of a container, line by line, with its secrets hidden."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cortexctl.apply.protocols import Secrets
from cortexctl.hosts.log import LONGEST_LINE
from cortexctl.instance.secret import hidden
from cortexctl.observed.owned import Owned
from cortexctl.operations.instances import secret_values

if TYPE_CHECKING:
    from cortexctl.hosts.act import DockerDaemon


def log_lines(owned: Owned, daemon: DockerDaemon, secrets: Secrets, tail: int, *, follow: bool) -> Iterator[str]:
    """The last `tail` lines; with `follow` all that come after, until the container ends."""
    values = secret_values(owned, secrets)
    if follow:
        lines = whole_lines(daemon.follow(owned.container.id, tail))
    else:
        lines = iter(daemon.log_lines(owned.container.id, tail))
    for line in lines:
        yield hidden(line, values)


def whole_lines(pieces: Iterable[str]) -> Iterator[str]:
    """Complete lines only, because the end of a piece must not split a secret. Of progress bars that overwrite each
    other, the last.
    """
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        yield from (line.rpartition("\r")[2] for line in whole)
        rest = rest.rpartition("\r")[2] if len(rest) > LONGEST_LINE else rest
    if rest:
        yield rest.rpartition("\r")[2]
