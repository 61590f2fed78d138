"""The second opinion: facts that are read from the sources without running them. Fewer facts, and no stubs.

Returns the literal facts of each option. Other facts are omitted, not guessed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Option = dict[str, Any]
UNKNOWN = object()


class Sources:
    """The syntax trees of the files that define the command line, and the classes and names they refer to."""

    def __init__(self, root: Path) -> None:
        package = root / "vllm"
        parsers = [
            *package.glob("entrypoints/**/cli_args.py"),
            package / "entrypoints/cli/serve.py",
            package / "scripts.py",
        ]
        self.files = [package / "engine/arg_utils.py", *(p for p in parsers if p.exists())]
        self.trees = {path: ast.parse(path.read_text()) for path in self.files}
        configs = [*package.glob("config/*.py"), package / "config.py", *self.files]
        self.named: dict[str, ast.expr] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        for path in configs:
            if path.exists():
                self._take_names(ast.parse(path.read_text()))
        for extra in (
            "platforms/interface.py",
            "v1/attention/backends/registry.py",
            "model_executor/layers/quantization/__init__.py",
        ):
            if (package / extra).exists():
                self._take_names(ast.parse((package / extra).read_text()), only_new=True)

    def _take_names(self, tree: ast.Module, *, only_new: bool = False) -> None:
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not (only_new and node.name in self.classes):
                self.classes[node.name] = node
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            value = getattr(node, "value", None)
            if isinstance(target, ast.Name) and value and not (only_new and target.id in self.named):
                self.named[target.id] = value

    def options(self) -> dict[str, Option]:
        """First long flag (or the positional's name) -> its facts in the text."""
        options: dict[str, Option] = {}
        for path, tree in self.trees.items():
            for option in self._added(path, tree):
                options.setdefault(option["name"], option)
        return options

    def _added(self, path: Path, tree: ast.Module) -> Iterator[Option]:
        for scope in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
            if scope.name not in {
                "add_cli_args",
                "make_arg_parser",
                "subparser_init",
                "main",
                "_add_cli_args",
                "add_cli_args_to_group",
            }:
                continue
            if path.name == "arg_utils.py" and scope.name == "main":
                continue
            classes = self._kwargs_variables(scope)
            for call in (n for n in ast.walk(scope) if _is_add_argument(n)):
                if path.name == "scripts.py" and ast.unparse(call.func).split(".")[0] != "serve_parser":
                    continue
                yield from self._option(call, classes, scope)
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name in {"FrontendArgs", "BaseFrontendArgs"}:
                for name, hint, default in self.fields(node):
                    yield {"name": "--" + name.replace("_", "-"), **self._from_hint(hint, default)}

    def fields(self, node: ast.ClassDef) -> Iterator[tuple[str, ast.expr, ast.expr | None]]:
        """Annotated fields of a class."""
        for item in node.body:
            if (
                isinstance(item, ast.AnnAssign)
                and isinstance(item.target, ast.Name)
                and "ClassVar" not in ast.unparse(item.annotation)
            ):
                yield item.target.id, item.annotation, item.value

    def _kwargs_variables(self, scope: ast.FunctionDef) -> dict[str, str]:
        """`model_kwargs = get_kwargs(ModelConfig)` -> which class a variable's keys come from."""
        variables = {}
        for node in ast.walk(scope):
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Call)
                and ast.unparse(node.value.func) == "get_kwargs"
            ):
                variables[ast.unparse(node.targets[0])] = ast.unparse(node.value.args[0])
        return variables

    def _option(self, call: ast.Call, classes: dict[str, str], scope: ast.FunctionDef) -> Iterator[Option]:
        flags = [a.value for a in call.args if isinstance(a, ast.Constant)]
        flags = [str(f).replace("_", "-") if str(f).startswith("--") else str(f) for f in flags]
        names = [f for f in flags if f.startswith("--")] or flags[:1]
        if names:
            yield {"name": names[0], "flags": sorted(flags), **self._literal_arguments(call, classes)}
        elif call.args and isinstance(call.args[0], ast.Name):
            for name in self._looped(call.args[0].id, scope):
                yield {"name": name, **self._literal_arguments(call, classes)}

    def _looped(self, variable: str, scope: ast.FunctionDef) -> Iterator[str]:
        """The flags that `for x, kind in [("--a", int), …]: add_argument(x)` adds."""
        for loop in (n for n in ast.walk(scope) if isinstance(n, ast.For) and variable in ast.unparse(n.target)):
            for item in getattr(loop.iter, "elts", ()):
                first = item.elts[0] if isinstance(item, ast.Tuple) else item
                if isinstance(first, ast.Constant):
                    yield str(first.value)

    def _literal_arguments(self, call: ast.Call, classes: dict[str, str]) -> Option:
        option: Option = {}
        for keyword in call.keywords:
            if keyword.arg is None:
                option = {**self._spread(keyword.value, classes), **option}
        for keyword in call.keywords:
            if keyword.arg == "action":
                option["action"] = _last(keyword.value)
            elif keyword.arg == "type":
                option["type"] = ast.unparse(keyword.value)
            elif keyword.arg in {"choices", "nargs", "default", "required"}:
                value = self.value(keyword.value)
                option.pop(keyword.arg, None)
                if value is not UNKNOWN:
                    option[keyword.arg] = value
        return option

    def _spread(self, value: ast.expr, classes: dict[str, str]) -> Option:
        """`**model_kwargs["dtype"]`, or `**{**model_kwargs["dtype"], "default": 1}`: the facts of the field."""
        if isinstance(value, ast.Dict):
            option: Option = {}
            for key, each in zip(value.keys, value.values, strict=True):
                option |= self._spread(each, classes) if key is None else {}
                if isinstance(key, ast.Constant):
                    option.pop(key.value, None)
                    known = self.value(each)
                    option |= {} if known is UNKNOWN else {key.value: known}
            return option
        if not (isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant)):
            return {}
        owner = self.classes.get(classes.get(ast.unparse(value.value), ""))
        for name, hint, default in self.fields(owner) if owner else ():
            if name == value.slice.value:
                return self._from_hint(hint, default)
        return {}

    def _from_hint(self, hint: ast.expr, default: ast.expr | None) -> Option:
        """vLLM's option for a dataclass field: a pair for a bool, choices for a hint that is one Literal."""
        names = {n.id for n in ast.walk(hint) if isinstance(n, ast.Name)} - {
            "Optional",
            "Union",
            "None",
            "SkipValidation",
        }
        option: Option = {"action": "BooleanOptionalAction"} if "bool" in names and names == {"bool"} else {}
        choices = self._literal(hint)
        if choices is not None:
            option["choices"] = choices
        if default is not None and (value := self.value(default)) is not UNKNOWN:
            option["default"] = value
        return option

    def _literal(self, hint: ast.expr) -> list[Any] | None:
        """The values of a hint that is one Literal, or a name of one."""
        if isinstance(hint, ast.Name) and hint.id in self.named:
            return self._literal(self.named[hint.id])
        if isinstance(hint, ast.Subscript) and ast.unparse(hint.value) == "Literal":
            parts = hint.slice.elts if isinstance(hint.slice, ast.Tuple) else [hint.slice]
            if all(isinstance(p, ast.Constant) for p in parts):
                return [p.value for p in parts if isinstance(p, ast.Constant)]
        return None

    def value(self, node: ast.expr) -> Any:
        """The value of an expression, if the text alone shows it; else UNKNOWN."""
        try:
            return ast.literal_eval(node)
        except ValueError:
            pass
        if isinstance(node, ast.Name) and isinstance(self.named.get(node.id), ast.expr):
            return self.value(self.named[node.id])
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"get_args", "list"} and len(node.args) == 1:
            inner = node.args[0]
            literal = self._literal(inner)
            return (
                literal if literal is not None else self.value(inner) if ast.unparse(node.func) == "list" else UNKNOWN
            )
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"field", "Field"}:
            arguments = {k.arg: k.value for k in node.keywords}
            return self.value(arguments["default"]) if "default" in arguments else UNKNOWN
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            for name, _, default in self.fields(self.classes[node.value.id]) if node.value.id in self.classes else ():
                if name == node.attr and default is not None:
                    return self.value(default)
        return UNKNOWN


def _is_add_argument(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument"


def _last(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ast.unparse(node).rpartition(".")[2]


def architectures(root: Path) -> dict[str, Any]:
    """The literal dictionaries of the model registry: group -> names, or name -> text for the dropped ones."""
    folder = root / "vllm/model_executor/models"
    path = folder / "registry.py" if (folder / "registry.py").exists() else folder / "__init__.py"
    groups: dict[str, Any] = {}
    for node in ast.parse(path.read_text()).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and target.id.endswith(("_MODELS", "_MODEL")) and isinstance(value, ast.Dict):
            names: list[str] = []
            for key, inner in zip(value.keys, value.values, strict=True):
                names += [str(ast.literal_eval(key))] if key is not None else groups.get(ast.unparse(inner), [])
            groups[target.id] = sorted(set(names))
    return groups


def environment(root: Path) -> list[str]:
    """The keys of the table of environment variables."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((root / "vllm/envs.py").read_text())):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id == "environment_variables":
                names |= {str(ast.literal_eval(k)) for k in node.value.keys if k is not None}
    return sorted(names)
