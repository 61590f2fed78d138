# ruff: noqa: SLF001 - argparse has no public way to list the options of a parser
"""Inside the stub process: the options of a release's parser."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from tools.vllm_catalogue import behaviour, configs, registries
from tools.vllm_catalogue.plain import describe, plain

PROBES = (
    *(
        "",
        "None",
        "none",
        "null",
        "true",
        "True",
        "false",
        "yes",
        "1",
        "0",
        "-1",
        "+1",
        " 1",
        "1_0",
        "1.5",
        "1e3",
        "inf",
    ),
    *(
        "8k",
        "8K",
        "1.5k",
        "1.5K",
        "2M",
        "1g",
        "k",
        "auto",
        "AUTO",
        "abc",
        "ABC",
        "a=1",
        "a=b",
        "a=1,b=2",
        "a,b",
        "a=1=2",
    ),
    *("{}", '{"a":1}', '{"a":8k}', "[1,2]", '"x"', "{a}", " {} "),
)
"""Values that distinguish the kinds: each one is given to every `type=` function."""


def _probed(parser: argparse.ArgumentParser, action: argparse.Action) -> dict[str, Any]:
    """Probe -> its value by the action's type; '!' if the type refuses it."""
    answers: dict[str, Any] = {}
    for probe in PROBES:
        try:
            value = parser._get_value(action, probe)
        except argparse.ArgumentError:
            answers[probe] = "!"
        except Exception as fault:  # noqa: BLE001 - a traceback instead of a refusal
            answers[probe] = f"! {type(fault).__name__}"
        else:
            answers[probe] = (
                [plain(value)] if not (isinstance(value, float) and abs(value) == float("inf")) else ["inf"]
            )
    return answers


def _turns_on(parser: argparse.ArgumentParser, action: argparse.Action, flag: str) -> Any:
    """The value that a flag without a value gives to its destination."""
    namespace = argparse.Namespace()
    action(parser, namespace, [], flag)
    return getattr(namespace, action.dest, None)


def _groups(parser: argparse.ArgumentParser) -> dict[int, str]:
    return {id(a): g.title or "" for g in parser._action_groups for a in g._group_actions}


def facts(parser: argparse.ArgumentParser, judge: Callable[[list[str]], dict[str, Any]]) -> dict[str, Any]:
    """All facts of the release's command line."""
    flags: dict[int, list[str]] = {}
    for flag, action in parser._option_string_actions.items():  # holds the hidden ones as well
        flags.setdefault(id(action), []).append(flag)
    groups, deprecated = _groups(parser), getattr(parser, "_deprecated", ())
    options, kinds = [], {}
    classes: dict[str, dict[str, Any]] = {}
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        kind = describe(action.type)
        if "<lambda>" in kind:
            kind += f"@{action.dest}"  # lambdas have no name of their own
        if action.nargs != 0 and kind not in kinds:
            kinds[kind] = _probed(parser, action)
        option = {
            "dest": action.dest,
            "flags": flags.get(id(action), []),
            "action": type(action).__name__,
            "nargs": action.nargs,
            "const": plain(action.const),
            "type": kind,
            "choices": None if action.choices is None else plain(list(action.choices)),
            "default": None if action.default is None else [plain(action.default)],
            "required": action.required,
            "metavar": plain(action.metavar),
            "group": groups.get(id(action), ""),
            "deprecated": action in deprecated or bool(getattr(action, "deprecated", False)),
        }
        if action.choices is not None and len(hinted := configs.literals(option["group"], action.dest)) > 1:
            option["choices"] = sorted({value for each in hinted for value in each})
            option["unsteady"] = True
        if bounds := configs.bounds(option["group"], action.dest):
            option["bounds"] = bounds
        if action.nargs == 0:
            option["sets"] = {f: plain(_turns_on(parser, action, f)) for f in option["flags"]}
        config = configs.config_of(action)
        if config:
            option["config"] = config.__name__
            configs.describe_config(config, classes)
            if {"object": config.__name__} in list(kinds[kind]["{}"]):  # the parser itself converts it to an object
                hints = classes[config.__name__] | {"zz_unknown": []}
                option["keys"] = {key: configs.takes(action, key, hint) for key, hint in hints.items()}
        options.append({k: v for k, v in option.items() if v is not None and v is not False})
    return {
        "options": options,
        "types": kinds,
        "configs": classes,
        "allow_abbrev": parser.allow_abbrev,
        "registries": registries.read(),
        "behaviour": behaviour.shown(judge),
    }
