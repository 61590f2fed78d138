# ruff: noqa: SLF001 - argparse has no public way to list the options of a parser
"""Runs in a separate process: builds one release's own parser over stubs, and reports its options.

    python -m tools.vllm_catalogue.inside facts  FOLDER VERSION ENTRY          -> one JSON object
    python -m tools.vllm_catalogue.inside oracle FOLDER VERSION ENTRY < LISTS  -> one JSON verdict a line
    python -m tools.vllm_catalogue.inside real   FOLDER VERSION ENTRY          -> the same of a real install

ENTRY is `serve` (the `vllm serve` command) or `api_server` (the module that images started up to 0.11.0): the
registered options depend on it. `help` gives the help texts, which name deprecated options.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import importlib.machinery
import importlib.metadata
import json
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.vllm_catalogue import stubs, walk
from tools.vllm_catalogue.plain import changed, plain

ARGV = {"serve": ["vllm", "serve"], "api_server": ["api_server.py"], "help": ["vllm", "serve", "--help"]}


class Package(types.ModuleType):
    """The `vllm` package without its __init__, which imports too much. Names are imported when they are used."""

    homes: dict[str, tuple[str, str]]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self.homes:
            module, name = self.homes[name]
            return getattr(importlib.import_module(module), name)
        try:
            return importlib.import_module(f"vllm.{name}")
        except ModuleNotFoundError:
            raise AttributeError(name) from None


def homes(text: str) -> dict[str, tuple[str, str]]:
    """Name -> (module, name in it), read from the text of the package's __init__."""
    names: dict[str, tuple[str, str]] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            module = ("vllm." if node.level else "") + (node.module or "")
            names |= {a.asname or a.name: (module, a.name) for a in node.names}
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant) and ":" in str(value.value):
                    module, _, name = str(value.value).partition(":")
                    names[str(key.value)] = ("vllm" + module, name)
    return {name: home for name, home in names.items() if home[0].startswith("vllm")}


def wanted(root: Path) -> dict[str, str]:
    """Package -> version that the release requires. Code compares with these versions at import."""
    metadata = next(iter(root.glob("*.dist-info/METADATA")), root / "PKG-INFO").read_text()
    pairs = re.findall(r"^Requires-Dist: ([\w-]+).*?(?:>=|==)([\d.]+)", metadata, re.MULTILINE)
    return {name.replace("-", "_"): number for name, number in reversed(pairs)}


def enter(root: Path, version: str, entry: str) -> stubs.Hook:
    """Make `import vllm…` import the release in this folder, over stubs, as on a machine with a CUDA GPU."""
    requirements = wanted(root)
    stubs.ANSWERS.update({f"{name}.__version__": number for name, number in requirements.items()})
    hook = stubs.Hook()
    sys.meta_path.insert(0, hook)
    package = Package("vllm")
    package.homes = homes((root / "vllm/__init__.py").read_text())
    package.__path__ = [str(root / "vllm")]
    package.__dict__["__version__"] = version
    package.__spec__ = importlib.machinery.ModuleSpec("vllm", None, is_package=True)
    sys.modules["vllm"] = package
    sys.argv = [*ARGV[entry]]  # the registered options depend on it
    real = importlib.metadata.version

    def installed(name: str) -> str:
        if name == "vllm":
            return version
        try:
            return real(name)
        except importlib.metadata.PackageNotFoundError:
            return requirements.get(name.replace("-", "_"), "1.0.0")

    importlib.metadata.version = installed
    platforms = importlib.import_module("vllm.platforms")
    cuda = importlib.import_module("vllm.platforms.cuda").CudaPlatform()
    vars(platforms)["_current_platform"] = cuda  # has priority, since the attribute became lazy
    if "current_platform" in vars(platforms):
        vars(platforms)["current_platform"] = cuda
    return hook


def first_module(*names: str) -> Iterator[types.ModuleType]:
    """The modules of these that the release has. Names moved between modules."""
    for name in names:
        with contextlib.suppress(ModuleNotFoundError):
            yield importlib.import_module(name)


def parser_class() -> type[argparse.ArgumentParser]:
    homes_of_it = first_module("vllm.utils.argparse_utils", "vllm.utils")
    parser: type[argparse.ArgumentParser] = next(
        m.FlexibleArgumentParser for m in homes_of_it if hasattr(m, "FlexibleArgumentParser")
    )
    return parser


class ParserFound(BaseException):
    """Carries the parser out of the release's main()."""


def serve_parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """The main parser of `vllm`, and that of its `serve` command."""
    flexible = parser_class()
    command = next(first_module("vllm.entrypoints.cli.serve"), None)
    if command:
        main = flexible(description="vLLM CLI")
        main.add_argument("-v", "--version", action="version", version="0")
        subparsers = main.add_subparsers(required=False, dest="subparser")
        for each in command.cmd_init():
            each.subparser_init(subparsers).set_defaults(dispatch_function=each.cmd)
    else:  # to 0.7.2: all in one function
        original = flexible.parse_args

        def caught(self: argparse.ArgumentParser, *_: Any, **__: Any) -> Any:
            raise ParserFound(self)

        flexible.parse_args = caught  # type: ignore[method-assign,assignment]
        try:
            importlib.import_module("vllm.scripts").main()
        except ParserFound as carrier:
            main = carrier.args[0]
        finally:
            flexible.parse_args = original  # type: ignore[method-assign]
    chosen = next(a for a in main._actions if isinstance(a, argparse._SubParsersAction))
    return main, chosen.choices["serve"]


def api_server_parser(root: Path) -> argparse.ArgumentParser:
    """The parser of `python -m vllm.entrypoints.openai.api_server`. It has been in three modules."""
    home = next(
        p for p in sorted(root.glob("vllm/entrypoints/**/cli_args.py")) if "def make_arg_parser" in p.read_text()
    )
    module = importlib.import_module(".".join(home.relative_to(root).with_suffix("").parts))
    parser: argparse.ArgumentParser = module.make_arg_parser(parser_class()())
    return parser


class Refused(BaseException):
    """The message that the parser would print before it exits with 2."""


KINDS_OF_REFUSAL = (
    ("unrecognized", "unrecognized arguments"),
    ("choice", "invalid choice"),
    ("explicit", "ignored explicit argument"),
    ("ambiguous", "ambiguous option"),
    ("required", "the following arguments are required"),
)


def judge(parse: argparse.ArgumentParser, serve: argparse.ArgumentParser, arguments: list[str]) -> dict[str, Any]:
    """The verdict on one argument list, and the values that differ from the defaults if it is ok."""
    try:
        with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
            namespace = parse.parse_args(arguments)
    except Refused as refusal:
        text = str(refusal)
        kind = next((kind for kind, sign in KINDS_OF_REFUSAL if sign in text), "value")
        return {"verdict": kind, "text": text}
    except SystemExit:
        return {"verdict": "exit"}
    except Exception as fault:  # noqa: BLE001 - it would end in a traceback: also a verdict
        return {"verdict": "exception", "text": f"{type(fault).__name__}: {fault}"}
    values = {}
    for action in serve._actions:
        if action.dest in {"help", argparse.SUPPRESS} or not hasattr(namespace, action.dest):
            continue
        value, default = getattr(namespace, action.dest), serve.get_default(action.dest)
        if value is not default and plain(value, full=True) != plain(default, full=True):
            values[action.dest] = changed(value, default)
    return {"verdict": "ok", "values": values}


def prepare(root: Path, entry: str) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser, list[str]]:
    """The parser, the parser with the options, and the arguments before each list."""
    if entry != "api_server":
        return (*serve_parsers(), ["serve"])
    parser = api_server_parser(root)
    return parser, parser, []


def refuse(_: argparse.ArgumentParser, message: str) -> Any:
    raise Refused(message)


def main(mode: str, folder: str, version: str, entry: str) -> None:
    lists = [json.loads(line) for line in sys.stdin] if mode == "oracle" else []
    answer, sys.stdout = sys.stdout, sys.stderr  # releases log to stdout
    stubbed: set[str] = set()
    if mode == "real":
        sys.argv = [*ARGV[entry]]
    else:
        stubbed = enter(Path(folder), version, entry).stubbed
    parse, options, before = prepare(Path(folder), entry)
    argparse.ArgumentParser.error = refuse  # type: ignore[method-assign,assignment]
    if mode == "oracle":
        for arguments in lists:
            answer.write(json.dumps(judge(parse, options, [*before, *arguments])) + "\n")
        return
    if entry == "help":
        json.dump({a.dest: a.help for a in options._actions if a.help}, answer)
        return
    facts = walk.facts(options, lambda arguments: judge(parse, options, [*before, *arguments]))
    facts["stubbed"] = sorted(name for name in stubbed if name.startswith("vllm"))
    json.dump(facts, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
