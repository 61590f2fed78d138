"""A resolved stack with its warnings <-> JSON, for the user's cache. Pure.

The settings of a model, and a spec, are written once, however many hosts share them. Two things are not written, but
put in again: the fingerprints of secrets, and the lines of the stack file that warnings show.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import cache
from itertools import chain, groupby, repeat
from typing import Any, TypeAlias

from cortexctl.dataclass import dataclass
from cortexctl.decoding.decode import Decoder
from cortexctl.decoding.readers import NotAsExpected
from cortexctl.desired.hook import Hook
from cortexctl.desired.stack import Desired, GatePolicy, Host, Instance, Policy, Smoke
from cortexctl.diagnostics import Acknowledgement, Diagnostic, SourceSpan
from cortexctl.instance.labels import owner
from cortexctl.instance.spec import Container, Mount, Publish, SecretRef, Server, Spec

Fingerprint: TypeAlias = Callable[[str, SecretRef], str]
"""(owner of the stack, secret) -> the fingerprint of the secret's value now."""
Places: TypeAlias = Callable[[str], Mapping[str, SourceSpan]]
"""Model -> field -> its place in the file."""

_KINDS: tuple[type, ...] = (
    Acknowledgement,
    Container,
    Diagnostic,
    GatePolicy,
    Hook,
    Host,
    Mount,
    Policy,
    Publish,
    Server,
    Smoke,
)
_OF_ONE_INSTANCE = {"host", "model", "spec", "ordinal", "where"}
_OF_MODEL = [f.name for f in dataclasses.fields(Instance) if f.name not in _OF_ONE_INSTANCE]
_OF_STACK = [f.name for f in dataclasses.fields(Desired) if f.name not in {"path", "instances", "invocation"}]


class NotCached(ValueError):
    """The stack has something that is not written into the cache."""


def stack_to_json(desired: Desired, diagnostics: Sequence[Diagnostic], text: str) -> dict[str, Any]:
    """Raises NotCached."""
    writer = _Writer(desired.path, _lines(text))
    specs = {id(i.spec): i.spec for i in desired.instances}
    numbers = {one: number for number, one in enumerate(specs)}
    hosts = {host.name: number for number, host in enumerate(desired.hosts)}
    by_model: dict[str, list[Instance]] = {}
    for instance in desired.instances:
        by_model.setdefault(instance.model, []).append(instance)
    groups: dict[tuple[int, ...], int] = {}
    return {
        "stack": {name: writer.plain(getattr(desired, name)) for name in _OF_STACK},
        "specs": [writer.plain(spec) for spec in specs.values()],
        "models": [
            {
                "name": model,
                "settings": {name: writer.plain(getattr(instances[0], name)) for name in _OF_MODEL},
                "group": groups.setdefault(tuple(hosts[i.host] for i in instances if i.ordinal == 1), len(groups)),
                "specs": _runs(instances, numbers),
            }
            for model, instances in by_model.items()
        ],
        "groups": [list(group) for group in groups],
        "diagnostics": [writer.plain(d) for d in diagnostics],
    }


def stack_from_json(
    data: Any, path: str, text: str, *, fingerprint: Fingerprint, places: Places
) -> tuple[Desired, tuple[Diagnostic, ...]]:
    """Raises NotAsExpected, LookupError, TypeError or ValueError for data that `stack_to_json` did not write."""
    decoder = _decoder(path, text)
    readers = decoder.fields(Desired)
    of_stack = {name: readers[name](data["stack"][name]) for name in _OF_STACK}
    hosts: tuple[Host, ...] = of_stack["hosts"]
    whose = owner(of_stack["stack"], of_stack["env"])
    specs = [_with_fingerprints(spec, whose, fingerprint) for spec in decoder.list_of(Spec, data["specs"])]
    of_model = {key: reader for key, reader in decoder.fields(Instance).items() if key in _OF_MODEL}
    instances: list[Instance] = []
    for model in data["models"]:
        name = decoder.read(str, model["name"])
        settings = {key: reader(model["settings"][key]) for key, reader in of_model.items()}
        where = places(name)
        of_hosts = chain.from_iterable(repeat(one, times) for one, times in model["specs"])
        instances += (
            Instance(hosts[host].name, name, specs[number], ordinal, where=where, **settings)
            for host, of_host in zip(data["groups"][model["group"]], of_hosts, strict=True)
            for ordinal, number in enumerate(of_host, start=1)
        )
    desired = Desired(path=path, instances=tuple(instances), **of_stack)
    return desired, decoder.list_of(Diagnostic, data["diagnostics"])


def _runs(instances: Sequence[Instance], numbers: Mapping[int, int]) -> list[list[Any]]:
    """The numbers of the specs on one host, in the order of the replicas, and how many hosts in a row have them."""
    of_hosts = [[numbers[id(i.spec)] for i in of_host] for _, of_host in groupby(instances, key=lambda i: i.host)]
    return [[one, len(list(same))] for one, same in groupby(of_hosts)]


def _with_fingerprints(spec: Spec, whose: str, fingerprint: Fingerprint) -> Spec:
    if not spec.container.secrets:
        return spec
    secrets = tuple(dataclasses.replace(s, fingerprint=fingerprint(whose, s)) for s in spec.container.secrets)
    return dataclasses.replace(spec, container=dataclasses.replace(spec.container, secrets=secrets))


def _lines(text: str) -> list[str]:
    return [line.rstrip("\r") for line in text.split("\n")]


@dataclass(frozen=True, slots=True)
class _Writer:
    """`path` and `lines` of the stack file, in which all places are."""

    path: str
    lines: Sequence[str]

    def plain(self, value: Any) -> Any:
        """Defaults are omitted. Raises NotCached."""
        if value is None or type(value) in {str, int, float, bool}:
            return value
        if isinstance(value, SourceSpan):
            return self._span(value)
        if isinstance(value, SecretRef):
            value = dataclasses.replace(value, fingerprint="")
        if isinstance(value, Enum):
            return value.value
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {
                f.name: self.plain(v)
                for f in dataclasses.fields(value)
                if not _is_default(f, v := getattr(value, f.name))
            }
        if isinstance(value, Mapping):
            return {key: self.plain(inner) for key, inner in value.items()}
        if isinstance(value, frozenset):
            return sorted(value)
        if isinstance(value, tuple | list):
            return [self.plain(inner) for inner in value]
        raise NotCached(f"{type(value)} has no JSON")

    def _span(self, span: SourceSpan) -> list[Any]:
        """Without the line itself, which may have a comment that nobody else is to read."""
        written, shown = self.lines[span.line - 1], span.line_text
        stars = [at for at, (a, b) in enumerate(zip(written, shown, strict=False)) if a != b]
        if span.path != self.path or _with_stars(written, stars) != shown:
            raise NotCached("a place is not in the stack file")
        return [span.line, span.column, span.end_column, stars]


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return type(value) is type(default) and bool(value == default)


def _with_stars(line: str, stars: Sequence[int]) -> str:
    """The line as it is shown: without secrets."""
    characters = list(line)
    for at in stars:
        characters[at] = "*"
    return "".join(characters)


def _decoder(path: str, text: str) -> Decoder:
    @cache
    def lines() -> list[str]:
        return _lines(text)

    def span(value: Any) -> SourceSpan:
        line, column, end_column, stars = value
        if not 0 < line <= len(lines()):
            raise NotAsExpected("a line of the file is expected")
        return SourceSpan(path, line, column, end_column, _with_stars(lines()[line - 1], stars))

    may_lack = {kind: _with_default(kind) for kind in _KINDS}
    return Decoder({SourceSpan: span, frozenset[int]: frozenset}, may_lack=may_lack, strict=True)


def _with_default(kind: type[Any]) -> list[str]:
    missing = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(kind) if f.default is not missing or f.default_factory is not missing]
