"""Checks whether the pinned release accepts a set of arguments, before a crash loop would show it after minutes.

Three verdicts are distinguished: the parser refuses it, start-up refuses what the parser accepted, it has no effect.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from cortexctl.engines.base import ArgumentIssue
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.catalogue.catalogue import Release
from cortexctl.engines.vllm.catalogue.facts import Option, Span
from cortexctl.engines.vllm.catalogue.reviewed import instead_of, no_effect, refusals
from cortexctl.engines.vllm.command.combinations import check_combinations
from cortexctl.engines.vllm.command.json_values import as_table
from cortexctl.engines.vllm.command.nested_keys import wrong_keys
from cortexctl.engines.vllm.command.replacements import absence, known_release, ranges, replacement, replacement_text
from cortexctl.engines.vllm.command.values import refused, wrong_form
from cortexctl.engines.vllm.version import Release as Number
from cortexctl.engines.vllm.version import parse_release
from cortexctl.text.suggest import nearest
from cortexctl.text.toml_text import toml_value

RUNNER_SINCE: Number = parse_release("0.10.1")
POOLING_TASKS = ("embed", "classify", "score", "reward")
_REGISTERED = {
    "quantization": "quantization",
    "load_format": "load_format",
    "attention_backend": "attention_backend",
    "tool_call_parser": "tool_parser",
    "reasoning_parser": "reasoning_parser",
}
"""Option -> the registry that contains its values."""
_SCALARS = {str, int, float, bool}
_LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def check_args(
    args: Mapping[str, Any], version: str | None, env: Mapping[str, str] | None = None
) -> list[ArgumentIssue]:
    """All findings, in the order of the names. For an unknown release each option is checked only for its form, as its
    newest release defines it. For a release newer than the catalogue everything is a warning, because the catalogue may
    be outdated.
    """
    if version is None:
        forms = [f for name in sorted(args) for f in _check_form(name, args[name])]
        newest = catalogue.release(catalogue.releases()[-1])
        return [*forms, *_missing_companions(args, newest), *check_combinations(args)]
    of, is_newer = known_release(version)
    findings: list[ArgumentIssue] = []
    for name in sorted(args):
        findings += _checked(name, args, of, version, env or {})
    findings += [*_missing_companions(args, of), *check_combinations(args)]
    return [_only_likely(f) for f in findings] if is_newer else findings


def check_env(env: Iterable[str], version: str | None) -> Iterator[ArgumentIssue]:
    """Names of vLLM's variables that the release does not read, or that no release reads."""
    for name in sorted(env):
        spans = catalogue.environment_spans(name)
        if not name.startswith("VLLM_"):
            continue
        if not spans and (version is None or not known_release(version)[1]):
            close = nearest(name, catalogue.environment_names(), alike=0.85)
            plugin = "f a plugin or the image's own scripts read it, this is correct"
            advice = f"did you mean {close}? I{plugin}" if close else f"i{plugin}"
            yield ArgumentIssue(name, "CX308", f"no vLLM release reads {name}", advice, fatal=False)
        elif spans and version is not None and name not in known_release(version)[0].environment:
            summary = f"vLLM {version} does not read {name} ({ranges(spans)})"
            yield ArgumentIssue(name, "CX308", summary, _of_option(name), fatal=False)


def _only_likely(finding: ArgumentIssue) -> ArgumentIssue:
    newest = catalogue.releases()[-1]
    note = f"{finding.help}. " if finding.help else ""
    return replace(finding, fatal=False, help=f"{note}According to vLLM {newest}, the newest that cortexctl knows")


def _check_form(name: str, value: Any) -> Iterator[ArgumentIssue]:
    """According to the newest release that has the option."""
    span = (catalogue.option_spans(name) or (Span("0"),))[-1]
    if span.since == "0":
        return
    of = catalogue.release(span.until or catalogue.releases()[-1])
    option = of.option(name)
    if option is not None:
        yield from list(_values(option, value, of, None)) or _limits(option, value, of)


def _checked(
    name: str, args: Mapping[str, Any], of: Release, version: str, env: Mapping[str, str]
) -> Iterator[ArgumentIssue]:
    option = of.option(name)
    if option is None:
        spans = catalogue.option_spans(name)
        if spans:
            yield ArgumentIssue(
                name, "CX301", f"{name} is {absence(spans, of, version)}", replacement(name, version, args[name])
            )
        return
    if type(args[name]) in _SCALARS:
        yield from _of_scalar(name, args[name], of.version, version)
    else:
        yield from _of_value(option, args[name], of, version)
    for at_start in refusals(name, of.version):
        if at_start.excludes and args[name] is not False and args.get(at_start.excludes):
            summary = f"{name} cannot be combined with {at_start.excludes}; vLLM exits if both are set"
            yield ArgumentIssue(name, "CX305", summary, f"vLLM's message: {at_start.text}")
        for variable, text in at_start.with_env.items():
            if text in env.get(variable, ""):
                yield ArgumentIssue(name, "CX305", f"{name} cannot be combined with {variable} = {text} before 0.20.1",
                              f"remove the variable; vLLM's message: {at_start.text}")  # fmt: skip


@lru_cache(maxsize=1024, typed=True)
def _of_scalar(name: str, value: Any, known: str, version: str) -> tuple[ArgumentIssue, ...]:
    """As `_of_value`, once for all models with this value."""
    of = catalogue.release(known)
    option = of.option(name)
    return tuple(_of_value(option, value, of, version)) if option else ()


def _of_value(option: Option, value: Any, of: Release, version: str) -> Iterator[ArgumentIssue]:
    wrong = list(_values(option, value, of, version))
    yield from wrong
    if not wrong:
        yield from _limits(option, value, of)
        yield from _registered(option, value, of, version)
        yield from _effect(option, value, version)


def _values(option: Option, value: Any, of: Release, version: str | None) -> Iterator[ArgumentIssue]:
    """The form, the choices that the parser enforces, and the keys of nested tables."""
    wrong = wrong_form(option, value)
    if wrong:
        table = as_table(option, value) if isinstance(value, str) else ""
        yield ArgumentIssue(option.name, "CX104", f"args.{option.name}: {wrong}", table, about="form")
        return
    nested = list(_nested(option, value, of, version))
    yield from nested
    for text in () if nested else refused(option, value, of):
        instead = instead_of(option.name, of.version, value) if isinstance(value, str) else None
        exact = instead if instead and instead.value == value else None
        summary = f"args.{option.name}: {text}"
        help_ = exact.text if exact else _usable(option, text)
        if option.choices is not None and not isinstance(value, list):
            spans = catalogue.choice_spans(option.name, value)
            when = f" ({ranges(spans)})" if spans and version else ""
            whose = f"vLLM {version}" if version else "vLLM"
            summary = f"{whose} does not accept {option.name} = {toml_value(value)}{when}"
            help_ = exact.text if exact else f"one of: {', '.join(str(c) for c in option.choices if c != 'None')}"
        yield ArgumentIssue(option.name, "CX302", summary, help_, about="value")
        return


def _nested(option: Option, value: Any, of: Release, version: str | None) -> Iterator[ArgumentIssue]:
    """Keys of nested tables that their class does not have, or not with this value."""
    for item in value if isinstance(value, list) else [value]:
        if not option.config or not isinstance(item, dict):
            continue
        for path, text in wrong_keys(item, option.config, of):
            spans = catalogue.key_spans(option.config, path.rpartition(".")[2])
            when = f" in vLLM {version}" * bool(version) + (f" ({ranges(spans)})" if spans and version else "")
            advice = "" if option.strict else "vLLM would ignore it silently"
            yield ArgumentIssue(
                option.name, "CX302", f"args.{option.name}.{path}: {text}{when}", advice, path=tuple(path.split("."))
            )


def _usable(option: Option, text: str) -> str:
    return f"vLLM's default is {option.default}" if option.default not in (None, {}) and "one of" not in text else ""


def _limits(option: Option, value: Any, of: Release) -> Iterator[ArgumentIssue]:
    """Numbers that start-up refuses: by the bounds that the release declares, else by the reviewed ones."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    at_start = refusals(option.name, of.version)
    reviewed = [*(("ge", r.minimum) for r in at_start), *(("le", r.maximum) for r in at_start)]
    bounds = dict(option.bounds) or {name: bound for name, bound in reviewed if bound is not None}
    if any(not getattr(operator, name)(value, bound) for name, bound in bounds.items()):
        text = " and ".join(f"{_LIMITS[name]} {bound:g}" for name, bound in bounds.items())
        yield ArgumentIssue(
            option.name, "CX302", f"{option.name} = {value} is out of range", f"it must be {text}", about="value"
        )


def _registered(option: Option, value: Any, of: Release, version: str) -> Iterator[ArgumentIssue]:
    """Values that the parser does not enforce: removed and future ones are refused later, others may come from a
    plugin.
    """
    if not isinstance(value, str) or option.choices is not None:
        return
    registry = _REGISTERED.get(option.name)
    instead = instead_of(option.name, of.version, value)
    exact = instead if instead and instead.value == value else None
    known = catalogue.value_spans(registry, value) if registry else ()  # type: ignore[arg-type]
    soft = of.values(registry) if registry else option.soft_choices  # type: ignore[arg-type]
    if exact is not None or (known and value not in soft):
        when = f" ({ranges(known)})" if known else ""
        usable = exact.text if exact else _known_values(soft)
        yield ArgumentIssue(
            option.name,
            "CX302",
            f'vLLM {version} does not accept {option.name} = "{value}"{when}',
            usable,
            about="value",
        )
    elif soft and value not in soft and not value.startswith(("@", "/")) and "." not in value:
        strict = any(r.unknown for r in refusals(option.name, of.version))
        yield ArgumentIssue(
            option.name,
            "CX302",
            f'vLLM {version} does not know {option.name} = "{value}"',
            _known_values(soft) + ("" if strict else "; a plugin may add others"),
            fatal=False,
            about="value",
        )


def _known_values(values: Sequence[str]) -> str:
    shown = ", ".join(values[:12])
    return f"known: {shown}" + (f" and {len(values) - 12} more" if len(values) > 12 else "")


def _effect(option: Option, value: Any, version: str) -> Iterator[ArgumentIssue]:
    idle = no_effect(option.name, version)
    if idle:
        advice = instead_of(option.name, version)
        further = advice.text if advice and idle.text not in advice.text else ""
        text = f"{idle.text}; leave it out" + (f"; {further}" if further else "")
        yield ArgumentIssue(option.name, "CX303", f"{option.name} has no effect in vLLM {version}", text, fatal=False)
    elif option.deprecated and value is not False:
        advice = instead_of(option.name, version, value if isinstance(value, str) else "")
        gone = [s for s in catalogue.option_spans(option.name) if s.until]
        last = f"; its last release is {gone[-1].until}" if gone else ""
        text = replacement_text(advice, value) if advice else f"see vLLM {version}'s message at its start"
        yield ArgumentIssue(
            option.name, "CX309", f"{option.name} is deprecated in vLLM {version}{last}", text, fatal=False
        )


def _missing_companions(args: Mapping[str, Any], of: Release) -> Iterator[ArgumentIssue]:
    for name in sorted(args):
        for at_start in refusals(name, of.version):
            if at_start.needs and args[name] is not False and at_start.needs not in args:
                example = 'for example tool_call_parser = "hermes"'
                advice = example if at_start.needs == "tool_call_parser" else at_start.needs
                summary = f"{name} needs a {at_start.needs}; vLLM exits without one"
                yield ArgumentIssue(name, "CX305", summary, f"add {advice}")


def _of_option(variable: str) -> str:
    from cortexctl.engines.vllm.catalogue.reviewed import variables

    known = next((v for v in variables() if v.name == variable), None)
    return known.text if known else "leave it out"
