"""vLLM's command line, release by release: the content of `catalogue.json` as typed values.

The file is generated from the releases' own parsers (docs/adding-a-vllm-release.md) and loaded on first use. Each fact
is stored once, with the releases from which on it holds; a `Release` combines the facts that hold in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pkgutil import get_data
from typing import Any

from cortexctl.engines.vllm.catalogue.facts import Architecture, Entry, Key, Option, ParserTraits, Registry, Span
from cortexctl.engines.vllm.catalogue.value_kinds import order_of_choice
from cortexctl.engines.vllm.version import parse_release


class UnknownRelease(LookupError):
    """A release that the catalogue does not have."""


@cache
def _data() -> dict[str, Any]:
    text = get_data(
        "cortexctl.engines.vllm.catalogue", "catalogue.json"
    )  # importing importlib.resources takes longer than reading the file
    data: dict[str, Any] = json.loads(text or "{}")
    return data


@cache
def _order() -> dict[str, int]:
    return {version: i for i, version in enumerate(_data()["releases"])}


def _facts_at(changes: list[list[Any]], at: int) -> Any:
    """The facts that hold in a release: those of the first change point, altered by the later ones."""
    state: Any = None
    for version, facts in changes:
        if _order()[version] > at:
            break
        state = facts if not (isinstance(state, dict) and isinstance(facts, dict)) else _altered(state, facts)
    return state


def _altered(state: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    new = {k: v for k, v in state.items() if k not in change.get("-", ())}
    for key, value in change.items():
        if key == "-":
            continue
        if isinstance(value, dict) and "+" in value and isinstance(new.get(key), list):
            remaining = [v for v in new[key] if v not in value.get("-", ())]
            new[key] = sorted(remaining + value["+"], key=order_of_choice)
        else:
            new[key] = value
    return new


def _spans(text: str) -> tuple[Span, ...]:
    """The spans in the file's notation: text:0.6.0-0.9.2 text:0.11.0-"""
    spans = []
    for part in text.split():
        kind, _, rest = part.rpartition(":")
        since, _, until = rest.partition("-")
        spans.append(Span(since, until, kind))
    return tuple(spans)


def _spans_of_changes(changes: list[list[Any]]) -> tuple[Span, ...]:
    versions = list(_order())
    spans, since = [], ""
    for version, facts in changes:
        if facts is None:
            spans.append(Span(since, versions[_order()[version] - 1]))
            since = ""
        elif not since:
            since = version
    return (*spans, Span(since)) if since else tuple(spans)


def _within(spans: tuple[Span, ...], at: int) -> Span | None:
    for span in spans:
        if _order()[span.since] <= at and (not span.until or at <= _order()[span.until]):
            return span
    return None


class Release:
    """One release. Use `release()` to get one."""

    def __init__(self, version: str) -> None:
        self.version = version
        row = _data()["releases"][version]
        self.date, self.entry, self.cuda, self.image_python, self.torch, self.transformers, self.requires_python = row
        self._at = _order()[version]
        self._flags: dict[Entry, Mapping[str, Option]] = {}
        self._by_name: dict[str, Option | None] = {}

    def __repr__(self) -> str:
        return f"Release({self.version!r})"

    @cached_property
    def parser(self) -> ParserTraits:
        return ParserTraits(**{name: _facts_at(changes, self._at) for name, changes in _data()["parser"].items()})

    @cached_property
    def options(self) -> Mapping[str, Option]:
        """Name -> option, of both entry points."""
        facts_by_name = {name: _facts_at(changes, self._at) for name, changes in _data()["options"].items()}
        return {name: self._option(name, facts) for name, facts in facts_by_name.items() if facts is not None}

    def option(self, name: str) -> Option | None:
        """By its name (tensor_parallel_size) or any of its flags (--tensor-parallel-size, -tp, --no-x)."""
        if name.startswith("-"):
            return self.flags().get(name)
        changes = _data()["options"].get(name)
        if changes and name not in self._by_name:
            facts = _facts_at(changes, self._at)
            self._by_name[name] = None if facts is None else self._option(name, facts)
        return self._by_name.get(name)

    def flags(self, entry: Entry = "serve") -> Mapping[str, Option]:
        """Every flag that an entry point accepts -> its option. `--help` is not included."""
        if entry not in self._flags:
            known = [o for o in self.options.values() if o.entry in {None, entry}]
            self._flags[entry] = {flag: option for option in known for flag in (*option.flags, *option.off_flags)}
        return self._flags[entry]

    def keys(self, config: str) -> Mapping[str, Key]:
        """The keys of a config class; empty for a class that the release does not have."""
        table = _data()["configs"].get(config, {})
        facts_by_name = {name: _facts_at(changes, self._at) for name, changes in table.items()}
        return {name: self._key(name, text) for name, text in facts_by_name.items() if text is not None}

    def architecture(self, name: str) -> str | None:
        """The group in which the release's registry has an architecture: text, embedding, multimodal, …"""
        span = _within(_spans(_data()["architectures"].get(name, "")), self._at)
        return span.kind if span else None

    @cached_property
    def environment(self) -> frozenset[str]:
        """The environment variables in the release's own table."""
        return frozenset(self._present(_data()["environment"]))

    def values(self, registry: Registry) -> tuple[str, ...]:
        """The names that the release has in one of its registries, sorted."""
        return tuple(self._present(_data()["values"][registry]))

    def _present(self, table: dict[str, str]) -> Iterator[str]:
        return (name for name, text in table.items() if _within(_spans(text), self._at))

    def _option(self, name: str, facts: dict[str, Any]) -> Option:
        fields = dict(facts)
        positional = fields.pop("positional", False)
        flags = () if positional else ("--" + name.replace("_", "-"), *fields.pop("also", ()))
        off = ["--no-" + f.removeprefix("--") for f in flags if f.startswith("--")] if fields["kind"] == "pair" else []
        soft, removal = fields.pop("soft", ()), fields.pop("deprecated", False)
        if "default" not in fields and fields["kind"] in {"pair", "switch"}:
            fields["default"] = False
        if "choices" in fields:
            fields["choices"] = tuple(fields["choices"])
        return Option(
            name=name,
            flags=flags,
            off_flags=tuple(fields.pop("off", off)),
            dest=fields.pop("dest", name),
            soft_choices=self._named(soft),
            deprecated=bool(removal),
            removal=removal if isinstance(removal, str) else "",
            bounds=tuple(fields.pop("bounds", {}).items()),
            **fields,
        )

    def _named(self, soft: Any) -> tuple[str, ...]:
        """A list, or @ and the name of a registry."""
        return tuple(self._present(_data()["values"][soft[1:]])) if isinstance(soft, str) else tuple(soft)

    def _key(self, name: str, text: str) -> Key:
        type_text, _, taken = text.partition(" ")
        parts = type_text.split("|") if type_text else []
        choices: list[str] = []
        for part in parts:
            if part[0] in "=~":
                choices += self._named(part[1:]) if part[1:2] == "@" else [part[1:]]
        plain = [p for p in parts if p[0] not in "=~"]
        config = next((p.removesuffix("{}") for p in plain if p.endswith("{}")), "")
        types = tuple("object" if p.endswith("{}") else p for p in plain)
        return Key(name, types, tuple(choices), config, taken.replace("-", "") if taken else None)


def releases() -> tuple[str, ...]:
    """All known releases, oldest first."""
    return tuple(_order())


@cache
def release(version: str) -> Release:
    """Raises UnknownRelease."""
    if version not in _order():
        raise UnknownRelease(version)
    return Release(version)


def nearest(version: str) -> str:
    """The newest known release that is not newer than this one; the oldest if all are newer. Raises ValueError."""
    if version in _order():
        return version
    target = parse_release(version)
    older = [v for v in releases() if parse_release(v) <= target]
    return older[-1] if older else releases()[0]


def option_names() -> tuple[str, ...]:
    """Every option of any release."""
    return tuple(_data()["options"])


def option_spans(name: str) -> tuple[Span, ...]:
    """The releases that have an option; empty if none ever had it."""
    return _spans_of_changes(_data()["options"].get(name, []))


def option_changes(name: str) -> tuple[str, ...]:
    """The releases in which anything about an option changed, including its first and last release."""
    return tuple(version for version, _ in _data()["options"].get(name, []))


def key_spans(config: str, key: str) -> tuple[Span, ...]:
    """The releases in which a config class has a key."""
    return _spans_of_changes(_data()["configs"].get(config, {}).get(key, []))


def environment_names() -> tuple[str, ...]:
    """Every environment variable in the table of any release."""
    return tuple(_data()["environment"])


def environment_spans(variable: str) -> tuple[Span, ...]:
    return _spans(_data()["environment"].get(variable, ""))


def value_spans(registry: Registry, value: str) -> tuple[Span, ...]:
    return _spans(_data()["values"][registry].get(value, ""))


def architecture(name: str) -> Architecture | None:
    """None if no release ever had it: vLLM may still run it through Transformers."""
    data = _data()
    spans = _spans(data["architectures"].get(name, ""))
    plugin, gone = data["plugin_architectures"].get(name, ""), data["gone_architectures"].get(name, "")
    return Architecture(name, spans, plugin, gone) if spans or plugin or gone else None


def architecture_names() -> tuple[str, ...]:
    return tuple(_data()["architectures"])


def choice_spans(name: str, value: Any) -> tuple[Span, ...]:
    """The releases that accept a value of an option, whether the parser or the start-up code checks it."""
    spans: list[Span] = []
    since = ""
    before = ""
    for version in releases():
        option = release(version).option(name)
        takes = option is not None and value in (option.soft_choices if option.choices is None else option.choices)
        if takes and not since:
            since = version
        elif since and not takes:
            spans.append(Span(since, before))
            since = ""
        before = version
    return (*spans, Span(since)) if since else tuple(spans)


@cache
def _spellings() -> dict[str, Option]:
    options: dict[str, Option] = {}
    for name in option_names():
        option = newest_option(name)
        options |= {flag: option for flag in (*option.flags, *option.off_flags) if flag not in options}
    return options


def spelled(flag: str) -> Option | None:
    """The option that any release has under a flag, as defined by the newest release with that flag: for command lines
    of an unknown release. Underscores count as dashes in the flag.
    """
    return _spellings().get(flag.replace("_", "-") if flag.startswith("--") else flag)


def newest_option(name: str) -> Option:
    """An option as defined by the newest release that has it; of kind text, if none ever had it."""
    spans = option_spans(name)
    option = release(spans[-1].until or releases()[-1]).option(name) if spans else None
    return option or Option(name=name, kind="text", flags=("--" + name.replace("_", "-"),))
