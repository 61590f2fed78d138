"""The instances that a command applies to: --target, --exclude and --host, for plan and drift alike."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from cortexctl.dataclass import dataclass
from cortexctl.diagnostics import Diagnostic, error


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Patterns are globs: `target` and `exclude` over addresses (gpu-1/*) or model names (llama-*), `host` over hosts.
    Without patterns, everything.
    """

    target: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    host: tuple[str, ...] = ()

    @property
    def selecting(self) -> tuple[str, ...]:
        """The options in their original form."""
        named = (("target", self.target), ("exclude", self.exclude), ("host", self.host))
        return tuple(f"--{name} {pattern}" for name, patterns in named for pattern in patterns)

    def wants_host(self, host: str) -> bool:
        return not self.host or matches(self.host, host)

    def hosts_to_read(self, hosts: Collection[str]) -> Collection[str]:
        """The hosts that can have a selected instance; no command reads the others. If a pattern matches no host, which
        is a separate error, it excludes none.
        """
        named = [h for h in hosts if matches(self.host, h)] or hosts
        return [h for h in named if any(_can_be_on(h, pattern) for pattern in self.target)] or named

    def wants_instance(self, address: str, model: str) -> bool:
        """By its names alone, regardless of the selected hosts."""
        if not self.target and not self.exclude:
            return True
        names = names_of(address, model)
        return (not self.target or matches(self.target, *names)) and not matches(self.exclude, *names)

    def wants(self, host: str, model: str, address: str) -> bool:
        return self.wants_host(host) and self.wants_instance(address, model)

    def unmatched_patterns(
        self, instances: Collection[Sequence[str]], addresses: Sequence[str], hosts: Sequence[str]
    ) -> Iterator[Diagnostic]:
        """`instances`: the address and the model of each. `addresses`: those to suggest instead."""
        yield from unmatched("target", self.target, instances, addresses)
        yield from unmatched("exclude", self.exclude, instances, addresses)
        yield from unmatched("host", self.host, [(host,) for host in hosts], hosts)


def names_of(address: str, model: str) -> tuple[str, ...]:
    """The names by which a pattern selects an instance: gpu-1/chat.2, chat and chat.2."""
    return address, model, address.partition("/")[2]


def _can_be_on(host: str, pattern: str) -> bool:
    """Whether a `target` can match an instance on the host. A model's name can: also if the model left the stack."""
    part, slash, _ = pattern.partition("/")
    return not slash or "[" in part or fnmatchcase(host, part)


def matches(patterns: Iterable[str], *names: str) -> bool:
    """Whether one of the patterns matches one of the names."""
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def unmatched(
    option: str, patterns: Iterable[str], candidates: Collection[Sequence[str]], known: Sequence[str]
) -> Iterator[Diagnostic]:
    """A pattern without a match is a mistake, never "nothing to do". `candidates`: the names of each."""
    for pattern in patterns:
        if not any(matches((pattern,), *names) for names in candidates):
            advice = f"known: {', '.join(known) or 'none'}"
            yield error("CX408", f"--{option} {pattern} matches nothing", help=advice)
