"""The commands and URLs that a stack wants run or notified at set points of an apply."""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase

from cortexctl.dataclass import dataclass
from cortexctl.instance.spec import SecretRef


class Point(StrEnum):
    """When a hook runs. The first two points can still stop the next action, the third makes it fail, the others are
    only notified.
    """

    PRE_APPLY = "pre_apply"
    PRE_STOP = "pre_stop"
    POST_HEALTHY = "post_healthy"
    POST_APPLY = "post_apply"
    ON_FAILURE = "on_failure"

    @property
    def may_refuse(self) -> bool:
        """Whether the failure of a hook at this point changes the outcome."""
        return self in {Point.PRE_APPLY, Point.PRE_STOP, Point.POST_HEALTHY}


@dataclass(frozen=True, slots=True)
class Hook:
    """A command (its arguments, no shell) or a URL that gets a POST; exactly one of `command`, `url`, `url_from`.

    `timeout` in seconds. `models`: globs; a hook of a run applies if one of them changes. The command receives
    `secrets` as environment variables; `withheld` are the variables of our own environment that it does not get.
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

    def applies_to(self, model: str) -> bool:
        return any(fnmatchcase(model, pattern) for pattern in self.models)

    @property
    def description(self) -> str:
        """Its action, described for people. Of a URL only scheme and host: the path may be a secret."""
        if self.command:
            import shlex

            return shlex.join(self.command)
        if self.url_from:
            return f"POST to the URL in {self.url_from.origin}"
        from urllib.parse import urlsplit

        url = urlsplit(self.url)
        return f"POST to {url.scheme}://{url.netloc.rpartition('@')[2]}"
