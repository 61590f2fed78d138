"""What the caller asks of a plan beyond the stack: to destroy, to narrow, to force."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from cortexctl.diagnostics import Diagnostic, error
from cortexctl.plan.model import Change


@dataclass(frozen=True, slots=True)
class Request:
    """Patterns are globs over addresses (gpu-1/*) or model names (llama-*); `unprotect` takes addresses."""

    destroy: bool = False
    unprotect: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    canary_hold: bool = False
    """Change the canaries of models that have some, and leave their other instances for another apply."""
    only: Literal["", "drift"] = ""
    """Bring back what was applied, and leave what the stack says since then."""
    launch_anyway: tuple[str, ...] = ()
    """Launch these though vLLM would refuse, by what is computed."""

    allow_unreachable: bool = False
    """A host that cannot be read is left out, and stands against nothing."""

    @property
    def words(self) -> tuple[str, ...]:
        """The options that narrow the plan, as they were given."""
        named = (("target", self.target), ("exclude", self.exclude), ("host", self.host))
        narrowed = tuple(f"--{name} {pattern}" for name, patterns in named for pattern in patterns)
        hold = ("--canary-hold",) if self.canary_hold else ()
        only = (f"--only {self.only}",) if self.only else ()
        return (*narrowed, *hold, *only)

    def options(self) -> str:
        """All options as they were given, for the next command; each with a blank before it."""
        named = (
            ("target", self.target), ("exclude", self.exclude), ("host", self.host), ("replace", self.replace),
            ("restart", self.restart), ("unprotect", self.unprotect), ("launch-anyway", self.launch_anyway),
        )  # fmt: skip
        words = [f"--{name} {shlex.quote(pattern)}" for name, patterns in named for pattern in patterns]
        words += ["--canary-hold"] if self.canary_hold else []
        words += [f"--only {self.only}"] if self.only else []
        words += ["--allow-unreachable"] if self.allow_unreachable else []
        return "".join(f" {word}" for word in words)

    def hosts_to_read(self, hosts: Collection[str]) -> Collection[str]:
        """Those that are asked for. All of them where a pattern matches none: that is an error of its own."""
        return [h for h in hosts if _any(self.host, h)] or hosts

    def wants(self, host: str, model: str, address: str) -> bool:
        """Whether the plan is to have the instance in it."""
        if self.host and not _any(self.host, host):
            return False
        if self.target and not _any(self.target, address, model):
            return False
        return not _any(self.exclude, address, model)

    def forces(self, patterns: tuple[str, ...], address: str, model: str) -> bool:
        return _any(patterns, address, model)

    def unmatched(self, changes: Iterable[Change], hosts: Iterable[str]) -> Iterator[Diagnostic]:
        """A pattern that nothing matches is a mistake, never "nothing to do"."""
        changes, hosts = list(changes), list(hosts)
        addresses = sorted({c.address for c in changes if "--g" not in c.address})
        named = (
            ("target", self.target), ("exclude", self.exclude), ("replace", self.replace),
            ("restart", self.restart), ("unprotect", self.unprotect), ("launch-anyway", self.launch_anyway),
        )  # fmt: skip
        for name, patterns in named:
            for pattern in patterns:
                if not any(_any((pattern,), c.address, c.model) for c in changes):
                    known = ", ".join(addresses) or "none"
                    yield error("CX408", f"--{name} {pattern} matches nothing", help=f"there are: {known}")
        for pattern in self.host:
            if not any(fnmatchcase(h, pattern) for h in hosts):
                yield error("CX408", f"--host {pattern} matches nothing", help=f"there are: {', '.join(hosts)}")


def _any(patterns: tuple[str, ...], *names: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)
