"""Runs inside an image of vLLM: the release's own parser reads command lines, and this script returns its verdicts.

python3 -c THIS PROGRAM SECONDS LIST...   -> one JSON object a LIST: {accepted, verdict, text, release, values}

PROGRAM is `serve` (the `vllm serve` command) or `api_server` (the module that images started up to 0.11.0); a LIST has
the arguments after it, as a JSON list. If no parser is available: one object {failed}. It imports only the standard
library and the image's vLLM, 0.6.0 or later; it ends by itself after SECONDS, even if its caller is gone.
"""
# ruff: noqa: SLF001, BLE001 - argparse does not say in public what a parser holds; whatever a release raises is an answer

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import enum
import importlib
import importlib.metadata
import importlib.util
import json
import os
import signal
import sys
import types
from pathlib import Path
from typing import Any

ARGV = {"serve": ["vllm", "serve"], "api_server": ["api_server.py"]}
"""The options that a release registers depend on the arguments that it is started with."""
SIGNS = {
    "unrecognized arguments": "unrecognized",
    "invalid choice": "choice",
    "ignored explicit argument": "explicit",
    "ambiguous option": "ambiguous",
    "the following arguments are required": "required",
}
"""The meaning of argparse's own messages; any other message means that a value is wrong."""
LONGEST = 4000
"""Characters of a text."""
OUT_OF_TIME = 124


class Refused(BaseException):
    """Carries what the parser would have printed before it exits with 2."""


class Caught(BaseException):
    """Carries a parser out of the release's main()."""


def import_vllm() -> Path:
    """Imports the package; returns its folder. Without a device, vLLM 0.9 and later cannot even build its parser, so
    the CPU stands in for it, under the name of the device that the image was built for (one option's choices contain
    it).

    The platform must exist before vLLM's own __init__ runs: up to 0.9 that binds its name in many modules.
    """
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.loader is None or spec.origin is None:
        raise ModuleNotFoundError("the image's python3 has no package vllm")
    package = importlib.util.module_from_spec(spec)
    sys.modules["vllm"] = package
    with contextlib.suppress(Exception):  # the oldest releases have none, and need none
        platforms: Any = importlib.import_module("vllm.platforms")
        if not getattr(platforms.current_platform, "device_type", ""):
            stand_in = importlib.import_module("vllm.platforms.cpu").CpuPlatform()
            stand_in.device_type = built_for()
            vars(platforms)["_current_platform"] = stand_in
            if "current_platform" in vars(platforms):
                vars(platforms)["current_platform"] = stand_in
    spec.loader.exec_module(package)
    return Path(spec.origin).parent


def built_for() -> str:
    """The device that the image's torch was built for, by vLLM's name."""
    version: Any = importlib.import_module("torch").version
    if getattr(version, "cuda", None) or getattr(version, "hip", None):
        return "cuda"
    return "xpu" if getattr(version, "xpu", None) else "cpu"


def home_of(text: str, root: Path, *patterns: str) -> Any:
    """The module that contains this text: code moved between modules from release to release."""
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            if text in path.read_text(encoding="utf-8", errors="replace"):
                name = ".".join(path.relative_to(root.parent).with_suffix("").parts)
                return importlib.import_module(name.removesuffix(".__init__"))
    raise LookupError(f"this release has no {text!r}")


def parsers(program: str, root: Path) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """The parser to call, and the parser that has the options."""
    home = home_of("class FlexibleArgumentParser(", root, "utils.py", "utils/**/*.py", "**/*.py")
    flexible = home.FlexibleArgumentParser
    if program == "api_server":
        home = home_of("def make_arg_parser(", root, "entrypoints/**/cli_args.py", "entrypoints/**/*.py")
        parser = home.make_arg_parser(flexible())
        return parser, parser
    if (root / "entrypoints/cli/serve.py").exists():
        main = flexible(description="vLLM CLI")
        main.add_argument("-v", "--version", action="version", version="0")
        commands = main.add_subparsers(required=False, dest="subparser")
        for command in importlib.import_module("vllm.entrypoints.cli.serve").cmd_init():
            command.subparser_init(commands)
    else:
        main = of_main(flexible)
    chosen = next(a for a in main._actions if isinstance(a, argparse._SubParsersAction))
    return main, chosen.choices["serve"]


def of_main(flexible: Any) -> Any:
    """Up to 0.7.2 everything was built in one function, which parses at its end."""
    original = flexible.parse_args

    def caught(self: argparse.ArgumentParser, *_: object, **__: object) -> None:
        raise Caught(self)

    flexible.parse_args = caught
    try:
        importlib.import_module("vllm.scripts").main()
    except Caught as caught_parser:
        return caught_parser.args[0]
    finally:
        flexible.parse_args = original
    raise LookupError("vllm.scripts has no parser")


def judge(parser: argparse.ArgumentParser, options: argparse.ArgumentParser, arguments: list[str]) -> dict[str, Any]:
    """The verdict on one list, and the differences from the defaults if it is accepted."""
    try:
        namespace = parser.parse_args(arguments)
    except Refused as refused:
        text = str(refused)
        return refusal(next((kind for sign, kind in SIGNS.items() if sign in text), "value"), text)
    except SystemExit:
        return refusal("exit", "it prints information about itself and exits")
    except OSError as fault:  # a file that a container with the model's volumes may well have
        return refusal("unknown", f"{type(fault).__name__}: {fault}")
    except Exception as fault:
        return refusal("exception", f"{type(fault).__name__}: {fault}")
    values = {}
    for action in options._actions:
        if action.dest in {"help", argparse.SUPPRESS} or not hasattr(namespace, action.dest):
            continue
        value, default = getattr(namespace, action.dest), options.get_default(action.dest)
        if value is not default and plain(value) != plain(default):
            values[action.dest] = changed(value, default)
    return {"accepted": True, "verdict": "ok", "text": "", "values": values}


def refusal(verdict: str, text: str) -> dict[str, Any]:
    return {"accepted": False, "verdict": verdict, "text": text[:LONGEST], "values": {}}


def refuse(_: argparse.ArgumentParser, message: str) -> None:
    raise Refused(message)


def plain(value: Any) -> Any:
    """A value in JSON form. An object of a config class becomes its name and its fields."""
    if isinstance(value, enum.Enum):
        return value.value if isinstance(value.value, (str, int)) else value.name
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((plain(v) for v in value), key=str)
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (type, types.FunctionType)):
        return value.__qualname__
    return {"object": type(value).__name__, **fields_of(value)}


def fields_of(value: Any) -> dict[str, Any]:
    """Key -> value of a config object."""
    kind, names = type(value), []
    if dataclasses.is_dataclass(kind):
        names = [f.name for f in dataclasses.fields(kind) if f.init]
    elif hasattr(kind, "model_fields"):
        names = list(kind.model_fields)
    return {name: plain(getattr(value, name, None)) for name in names}


def changed(value: Any, default: Any) -> Any:
    """A parsed value; of a config object only the fields that differ from their defaults."""
    current = plain(value)
    if not (isinstance(current, dict) and isinstance(value, object) and "object" in current) or isinstance(value, dict):
        return current
    if type(default) is not type(value):
        with contextlib.suppress(Exception):
            default = type(value)()
    usual = plain(default) if type(default) is type(value) else {}
    return {k: v for k, v in current.items() if k == "object" or v != usual.get(k, ...)}


def out_of_time(*_: object) -> None:
    sys.stderr.write("its time limit is over\n")
    os._exit(OUT_OF_TIME)


def main(program: str, seconds: str, *lists: str) -> None:
    signal.signal(signal.SIGALRM, out_of_time)  # an alarm alone does not end the first process of a container
    signal.alarm(int(seconds))
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)  # releases log to stdout
        sys.argv = [*ARGV[program]]
        try:
            parser, options = parsers(program, import_vllm())
            release = importlib.metadata.version("vllm")
        except BaseException as fault:
            text = f"{type(fault).__name__}: {fault}"
            answer.write(json.dumps({"failed": text[:LONGEST]}) + "\n")
            return
        argparse.ArgumentParser.error = refuse  # type: ignore[method-assign,assignment]
        before = ["serve"] if program == "serve" else []
        for arguments in lists:
            verdict = judge(parser, options, [*before, *json.loads(arguments)])
            answer.write(json.dumps({**verdict, "release": release}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
