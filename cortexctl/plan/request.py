"""What the caller asks of a plan beyond the stack: to destroy, to narrow, to force."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from cortexctl.diagnostics import Diagnostic
from cortexctl.plan.model import Change
from cortexctl.plan.selection import Selection, matches, unmatched


@dataclass(frozen=True, slots=True)
class Request(Selection):
    """Patterns are globs over addresses (gpu-1/*) or model names (llama-*); `unprotect` takes addresses."""

    destroy: bool = False
    unprotect: tuple[str, ...] = ()
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
        hold = ("--canary-hold",) if self.canary_hold else ()
        only = (f"--only {self.only}",) if self.only else ()
        return (*self.selecting, *hold, *only)

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
        return [h for h in hosts if matches(self.host, h)] or hosts

    def forces(self, patterns: tuple[str, ...], address: str, model: str) -> bool:
        return matches(patterns, address, model)

    def unmatched(self, changes: Iterable[Change], hosts: Iterable[str]) -> Iterator[Diagnostic]:
        """The patterns of every option that match nothing."""
        changes = list(changes)
        instances = [(c.address, c.model) for c in changes]
        addresses = sorted({c.address for c in changes if not c.only_tidies})
        forced = (
            ("replace", self.replace), ("restart", self.restart), ("unprotect", self.unprotect),
            ("launch-anyway", self.launch_anyway),
        )  # fmt: skip
        yield from self.unmatched_patterns(instances, addresses, list(hosts))
        for name, patterns in forced:
            yield from unmatched(name, patterns, instances, addresses)
