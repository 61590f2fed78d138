"""The caller's requests beyond the stack: to destroy, to narrow, to force."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Instance
from cortexctl.diagnostics import Diagnostic
from cortexctl.plan.model import Change
from cortexctl.plan.selection import Selection, matches, names_of, unmatched
from cortexctl.text.invocation import Options


@dataclass(frozen=True, slots=True)
class Request(Selection):
    """Patterns are globs over addresses (gpu-1/*) or model names (llama-*); `unprotect` takes addresses."""

    destroy: bool = False
    unprotect: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    canary_hold: bool = False
    """Change only the canaries of models that have some, and leave their other instances for another apply."""
    only: Literal["", "drift"] = ""
    """Restore what was applied, and ignore later edits of the stack."""
    launch_anyway: tuple[str, ...] = ()
    """Launch these even if the memory forecast says that vLLM would refuse."""

    allow_unreachable: bool = False
    """A host that cannot be read is omitted, and blocks nothing."""
    max_destroy: int | None = None
    """Instead of the stack's limit."""

    @property
    def narrowing_options(self) -> tuple[str, ...]:
        """The options that narrow the plan, in their original form."""
        hold = ("--canary-hold",) if self.canary_hold else ()
        only = (f"--only {self.only}",) if self.only else ()
        return (*self.selecting, *hold, *only)

    @property
    def options(self) -> Options:
        """All options in their original form, for the next command."""
        named = (
            ("target", self.target), ("exclude", self.exclude), ("host", self.host), ("replace", self.replace),
            ("restart", self.restart), ("unprotect", self.unprotect), ("launch-anyway", self.launch_anyway),
        )  # fmt: skip
        options: list[tuple[str, ...]] = [(f"--{name}", pattern) for name, patterns in named for pattern in patterns]
        options += [("--canary-hold",)] if self.canary_hold else []
        options += [("--only", self.only)] if self.only else []
        options += [("--allow-unreachable",)] if self.allow_unreachable else []
        options += [("--max-destroy", str(self.max_destroy))] if self.max_destroy is not None else []
        return tuple(options)

    def forces(self, patterns: tuple[str, ...], address: str, model: str) -> bool:
        return matches(patterns, *names_of(address, model))

    def unmatched(
        self, changes: Iterable[Change], unread: Iterable[Instance], hosts: Iterable[str]
    ) -> Iterator[Diagnostic]:
        """The patterns of every option that match nothing. `unread`: the instances on hosts that could not be read."""
        changes, unread = list(changes), list(unread)
        instances = [names_of(c.address, c.model) for c in changes] + [names_of(i.address, i.model) for i in unread]
        addresses = sorted({c.address for c in changes if not c.only_tidies} | {i.address for i in unread})
        forced = (
            ("replace", self.replace), ("restart", self.restart), ("unprotect", self.unprotect),
            ("launch-anyway", self.launch_anyway),
        )  # fmt: skip
        yield from self.unmatched_patterns(instances, addresses, list(hosts))
        for name, patterns in forced:
            yield from unmatched(name, patterns, instances, addresses)
