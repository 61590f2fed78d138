"""What a stack wants to be run, or told, at set points of an apply."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from cortexctl.instance.spec import SecretRef


class Point(StrEnum):
    """When. The first two can still stop what is about to happen, the third makes it fail, the others only hear."""

    PRE_APPLY = "pre_apply"
    PRE_STOP = "pre_stop"
    POST_HEALTHY = "post_healthy"
    POST_APPLY = "post_apply"
    ON_FAILURE = "on_failure"

    @property
    def may_refuse(self) -> bool:
        """Whether a hook that fails here changes what happens."""
        return self in {Point.PRE_APPLY, Point.PRE_STOP, Point.POST_HEALTHY}


@dataclass(frozen=True, slots=True)
class Hook:
    """A command (its words, no shell) or a URL that gets a POST; exactly one of `command`, `url`, `url_from`.

    `timeout` in seconds. `models`: globs; a hook of a run asks whether one of them changes. `secrets` are handed to the
    command as environment variables, `withheld` are the variables of our own environment that it does not get.
    """

    name: str
    on: Point
    command: tuple[str, ...] = ()
    url: str = ""
    url_from: SecretRef | None = None
    timeout: int = 30
    models: tuple[str, ...] = ("*",)
    required: bool = True
    secrets: tuple[SecretRef, ...] = ()
    withheld: tuple[str, ...] = ()

    def wants(self, model: str) -> bool:
        return any(fnmatchcase(model, pattern) for pattern in self.models)

    @property
    def does(self) -> str:
        """What it does, in words for people. Of a URL no more than scheme and host: its path may be a secret."""
        if self.command:
            return shlex.join(self.command)
        if self.url_from:
            return f"POST to the URL in {self.url_from.origin}"
        parts = urlsplit(self.url)
        return f"POST to {parts.scheme}://{parts.netloc.rpartition('@')[2]}"
