"""Who may import whom, what may be loaded at start, and that vllm is never imported."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "cortexctl"

OWN: dict[str, set[str]] = {
    "text": set(),
    "decoding": set(),
    "diagnostics": set(),
    "errors": set(),
    "reach": {"errors"},
    "waiting": set(),
    "concurrently": {"waiting"},
    "http_answer": set(),
    "files": {"errors"},
    "instance": {"decoding"},
    "desired": {"instance", "diagnostics", "text"},
    "model_files": {"instance", "decoding"},
    "observed": {"instance", "engines", "model_files", "decoding", "text"},
    "engines": {"instance", "model_files", "text"},
    "plan": {"observed", "desired", "instance", "engines", "model_files", "diagnostics", "decoding", "text"},
    "stack": {"desired", "observed", "instance", "engines", "model_files", "diagnostics", "files", "text"},
    "render": {
        "plan",
        "observed",
        "desired",
        "instance",
        "engines",
        "diagnostics",
        "errors",
        "apply",
        "operations",
        "text",
    },
    "observe": {"plan", "observed", "desired", "instance", "model_files", "errors", "concurrently", "waiting"},
    "apply": {"plan", "observed", "desired", "instance", "engines", "errors", "reach", "text"},
    "hosts": {
        *("observed", "desired", "instance", "model_files", "errors", "decoding", "text"),
        *("reach", "concurrently", "waiting", "http_answer"),
    },
    "health": {"engines", "observed", "desired", "model_files", "errors", "reach", "concurrently", "http_answer"},
    "secrets": {"instance", "errors"},
    "hooks": {"desired", "instance", "errors", "health", "text"},
    "audit": {"errors", "files", "text"},
    "store": {"engines", "errors", "files"},
    "cli": {
        *("operations", "render", "errors", "diagnostics"),
        *("plan", "observed", "desired", "instance", "engines", "text"),  # values that it hands on
        "waiting",  # which it shows
        *("apply", "files"),  # of each one module
    },
    "operations": {
        *("plan", "stack", "apply", "observed", "desired", "instance", "model_files", "engines"),
        *("observe", "hosts", "health", "secrets", "hooks", "audit", "store", "files", "reach"),
        *("concurrently", "waiting"),
        *("errors", "diagnostics", "decoding", "text"),
    },
}
"""Part -> the parts that it may import besides itself.

`text` and `decoding` are the ground floor: values to text and back, and JSON from outside to typed values. `files` is
the one place that reads what somebody else may have prepared (a stack behind a link, a checkout that git is asked
about): the stack is read through it, and the audit log asks git and is written through it.
"""

APPLY_FOR_RENDER = {"cortexctl.apply.events", "cortexctl.apply.executor"}
"""Of apply, render sees the values: events, and the result."""
OPERATIONS_FOR_RENDER = {f"cortexctl.operations.{name}" for name in ("results", "status_results", "validation")}
"""Of operations, too: what use cases return."""
CLI_ALONE = {"cortexctl.apply.executor", "cortexctl.files.atomic"}
"""Of apply and files, cli sees the result of a run, and the writer of whole files."""

FOR_ALL = "cortexctl.dataclass"
"""How every part declares its values."""
RUN_ELSEWHERE = {
    "cortexctl.hosts.image_parser_script",
    "cortexctl.hosts.host_probe_script",
    "cortexctl.hosts.calibration_script",
}
"""Scripts that run inside a container, with nothing but the standard library."""

THIRD_PARTY: dict[str, set[str]] = {
    "pydantic": set(),
    "pydantic_core": {"stack"},
    "tree_sitter": {"stack"},
    "tree_sitter_toml": {"stack"},
    "tree_sitter_json": {"stack"},
    "docker": {"hosts"},
    "requests": {"hosts"},
    "urllib3": {"hosts"},
    "httpx": {"health", "hooks"},
    "click": {"cli"},
    "jinja2": {"stack", "render"},
    "deepdiff": {"plan"},
    "packaging": {"stack"},
    "yaml": {"operations", "render"},
}
"""Library -> the only parts that may import it."""

TEMPLATES = {"cortexctl.render.plan.html", "cortexctl.stack.starter"}
"""Where Jinja2 renders: our own templates, never a text of the stack."""

PURE = {
    "text",
    "decoding",
    "instance",
    "desired",
    "observed",
    "model_files",
    "engines",
    "plan",
    "diagnostics",
    "errors",
}
IMPURE_MODULES = {"os", "io", "pathlib", "socket", "time", "datetime", "subprocess", "random", "secrets", "logging"}


def modules() -> Iterator[tuple[str, Path]]:
    """(dotted name, file) of every module of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"), path


def imports(path: Path) -> set[str]:
    """All modules that a file imports, anywhere in it, for types or for real."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "cortexctl" else set()
    return names


def part_of(module: str) -> str:
    """The part of the package that a module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


ALL = [pytest.param(name, path, id=name) for name, path in modules()]


@pytest.mark.parametrize(("name", "path"), ALL)
def test_parts_import_only_what_they_may(name: str, path: Path) -> None:
    part = part_of(name)
    if part in {"", "__main__"}:
        return
    for imported in imports(path):
        if imported.split(".")[0] != "cortexctl" or imported in {"cortexctl", "cortexctl.__version__", FOR_ALL}:
            continue
        other = part_of(imported)
        assert other in OWN[part] | {part}, f"{name} imports {imported}"
        if part == "render" and other == "apply":
            assert imported in APPLY_FOR_RENDER, f"{name} imports {imported}"
        if part == "render" and other == "operations":
            assert imported in OPERATIONS_FOR_RENDER, f"{name} imports {imported}"
        if part == "cli" and other in {"apply", "files"}:
            assert imported in CLI_ALONE, f"{name} imports {imported}"


@pytest.mark.parametrize(("name", "path"), ALL)
def test_a_rule_is_not_recognised_by_its_id(name: str, path: Path) -> None:
    """Code that decides by a diagnostic compares its kind."""
    for node in ast.walk(ast.parse(path.read_text())):
        compared = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "startswith":
            compared = node.args
        texts = [n.value for value in compared for n in ast.walk(value) if isinstance(n, ast.Constant)]
        assert not [t for t in texts if isinstance(t, str) and t.startswith("CX")], f"{name} compares a rule's id"


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The nodes that can be reached from themselves, grouped: the strongly connected parts of a graph."""
    reach: dict[str, set[str]] = {}
    for start in arrows:
        seen: set[str] = set()
        left = [start]
        while left:
            for other in arrows.get(left.pop(), set()) - seen:
                seen.add(other)
                left.append(other)
        reach[start] = seen
    groups = {frozenset(b for b in reach if b in reach[a] and a in reach[b]) for a in reach if a in reach[a]}
    return sorted(sorted(group) for group in groups)


def module_arrows() -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports, for types or for real."""
    paths = dict(modules())
    return {name: (imports_of_modules(path) & paths.keys()) - {name, "cortexctl"} for name, path in paths.items()}


def imports_of_modules(path: Path) -> set[str]:
    """As `imports`, with the modules that are imported from their package by name."""
    names = imports(path)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def folder_of(module: str, path: Path) -> str:
    return module if path.name == "__init__.py" else module.rpartition(".")[0]


def test_a_circle_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}, "e": {"e"}}) == [["b", "c"], ["e"]]


def test_no_module_imports_itself_over_others() -> None:
    assert circles(module_arrows()) == []


def test_no_folder_imports_itself_over_others() -> None:
    """Neither the parts of the package, nor the sub-folders of one part. A part's own modules and those of its
    sub-folders tell one story, and may import each other.
    """
    paths = dict(modules())
    parts: dict[str, set[str]] = {}
    siblings: dict[str, set[str]] = {}
    for name, others in module_arrows().items():
        for other in others:
            if part_of(name) != part_of(other):
                parts.setdefault(part_of(name), set()).add(part_of(other))
            here, there = folder_of(name, paths[name]), folder_of(other, paths[other])
            if here.rpartition(".")[0] == there.rpartition(".")[0] and here != there:
                siblings.setdefault(here, set()).add(there)
    assert circles(parts) == []
    assert circles(siblings) == []


def test_a_name_stands_in_two_folders_only_where_one_renders_or_commands_the_other() -> None:
    places: dict[str, list[str]] = {}
    for name, path in modules():
        if path.name != "__init__.py" and part_of(name) not in {"cli", "operations", "render"}:
            places.setdefault(path.stem, []).append(name)
    assert {stem: names for stem, names in places.items() if len(names) > 1} == {}


@pytest.mark.parametrize(("name", "path"), ALL)
def test_libraries_stay_where_they_belong(name: str, path: Path) -> None:
    for imported in imports(path):
        library = imported.split(".")[0]
        if library in sys.stdlib_module_names or library == "cortexctl":
            continue
        assert library in THIRD_PARTY, f"{name} imports {library}, which no rule knows"
        assert part_of(name) in THIRD_PARTY[library], f"{name} imports {library}"
        assert library != "jinja2" or name in TEMPLATES, f"{name} imports {library}"


@pytest.mark.parametrize(
    ("name", "path"),
    [p for p in ALL if part_of(str(p.values[0])) in PURE or str(p.values[0]) in OPERATIONS_FOR_RENDER],
)
def test_the_core_reaches_nothing_outside(name: str, path: Path) -> None:
    reached = {i.split(".")[0] for i in imports(path)} & IMPURE_MODULES
    assert not reached, f"{name} imports {reached}"
    calls = {
        n.func.id
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
    assert not calls & {"open", "print", "input", "eval", "exec"}, f"{name} calls {calls}"


@pytest.mark.parametrize(("name", "path"), [p for p in ALL if p.values[0] not in RUN_ELSEWHERE | {FOR_ALL}])
def test_a_dataclass_is_one_that_is_quick_to_import(name: str, path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "dataclasses":
            assert "dataclass" not in {alias.name for alias in node.names}, name
        assert not isinstance(node, ast.Attribute) or ast.unparse(node) != "dataclasses.dataclass", name


def test_no_test_module_is_a_helper_of_another() -> None:
    """What several test files share is public, in a module of its own."""
    importers = [
        f"{path.relative_to(TESTS)}: {name}"
        for path in sorted(TESTS.rglob("*.py"))
        for name in imports(path)
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))
    ]
    assert importers == []


@pytest.mark.parametrize(("name", "path"), [p for p in ALL if part_of(str(p.values[0])) == "operations"])
def test_a_use_case_prints_nothing_and_gives_no_exit_code(name: str, path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            assert not text.startswith(("sys.stdout", "sys.stderr", "sys.exit", "os._exit")), f"{name}: {text}"
            assert node.attr != "exit_code" or text == "state.exit_code", f"{name}: {text}"  # a container's is none
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"print", "input", "exit"}, f"{name} calls {node.func.id}"


@pytest.mark.parametrize(("name", "path"), [p for p in ALL if str(p.values[0]) in OPERATIONS_FOR_RENDER])
def test_what_a_use_case_returns_reaches_no_adapter(name: str, path: Path) -> None:
    others = {part_of(i) for i in imports_of_modules(path) if i.split(".")[0] == "cortexctl"}
    assert others <= {"plan", "observed", "desired", "engines", "errors", "diagnostics", part_of(FOR_ALL)}, name


MAY_NAME_VLLM = {"engines", "stack"}
"""The parts that import vLLM's own modules. All others use the engine of a spec, from `engines.registry`."""
ABOUT_VLLM = {
    "cortexctl.cli.args": "the default of --vllm-version: the newest known release",
    "cortexctl.cli.catalog": "the catalogue of vLLM's options",
    "cortexctl.cli.fit": "the parts of vLLM's memory",
    "cortexctl.cli.version": "the newest known release of vLLM; --version may load nothing more than that",
    "cortexctl.operations.calibrate": "a start of vLLM that measures a card",
    "cortexctl.operations.catalogue_names": "names of releases and options in the catalogue",
    "cortexctl.operations.check_line": "a line of `vllm serve`, as the parser of a release reads it",
    "cortexctl.operations.equal_starts": "the arguments of vLLM that change the memory of a start",
    "cortexctl.operations.fit": "the parts of vLLM's memory",
    "cortexctl.operations.fit_arguments": "arguments of vLLM that stand for a stack",
    "cortexctl.operations.fit_search": "the search through vLLM's arguments",
    "cortexctl.operations.learn": "the lines about memory in vLLM's log, and the prediction beside them",
    "cortexctl.operations.upgrade": "the changes between two releases of vLLM",
    "cortexctl.plan.parser_probe": "the parser inside an image, with the flags of the catalogue",
    "cortexctl.render.catalog": "the catalogue of vLLM's options",
    "cortexctl.render.fit.json_report": "the parts of vLLM's memory",
    "cortexctl.render.fit.svg": "the parts of vLLM's memory",
    "cortexctl.render.fit.terminal": "the parts of vLLM's memory",
}
"""Modules whose subject is vLLM, with that subject. A second engine that has one of these takes them off the list."""


def test_only_the_engines_and_the_stack_know_vllm() -> None:
    known = {name for name, path in modules() if any(i.startswith("cortexctl.engines.vllm") for i in imports(path))}
    assert {name for name in known if part_of(name) not in MAY_NAME_VLLM} == ABOUT_VLLM.keys()


HAVE_FACTS_OF_VLLM = {
    "cortexctl.hosts.image_parser": "runs vLLM's own parser in an image",
    "cortexctl.hosts.image_parser_script": "is that parser's caller inside the image",
    "cortexctl.instance.old_versions": "version 1 of a label meant vLLM, and its port",
}
"""Modules of the other parts with facts of vLLM, and why."""
FACTS_OF_VLLM = re.compile(
    r"VLLM_|vllm:|ai\.vllm|/v1/(?:models|chat|completions)|\"/health\"|status 503|0\.92|\b8000\b|vllm serve|gpu_memory_utilization"
)


@pytest.mark.parametrize(
    ("name", "path"),
    [p for p in ALL if part_of(str(p.values[0])) not in MAY_NAME_VLLM and p.values[0] not in ABOUT_VLLM],
)
def test_what_is_true_of_vllm_alone_stands_in_its_contract(name: str, path: Path) -> None:
    """Its paths, port, variables and statuses are not in the code of the other parts. Docstrings may give an example,
    and the upgrade of a label may name the port of version 1.
    """
    if name in HAVE_FACTS_OF_VLLM:
        return
    tree = ast.parse(path.read_text())
    texts = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
    facts = [
        n.value
        for n in ast.walk(tree)
        if isinstance(n, ast.Constant) and id(n) not in texts and FACTS_OF_VLLM.search(str(n.value))
    ]
    assert facts == []


def test_vllm_is_imported_nowhere() -> None:
    for name, path in modules():
        assert not any(i == "vllm" or i.startswith("vllm.") for i in imports(path)), name


def test_only_the_entry_point_and_the_command_line_exit() -> None:
    for name, path in modules():
        exits = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute) and n.attr == "exit"]
        assert not exits or name == "cortexctl.__main__", name


def test_modules_stay_small() -> None:
    """A module should have about 120 lines, and has at most 350."""
    long = {name: len(path.read_text().splitlines()) for name, path in modules()}
    assert {name: n for name, n in long.items() if n > 350} == {}


REAL = {"engine": {"engine", "attack", "contract"}, "vllm": {"e2e", "engine"}}
"""Marker of tests on something real -> the folders of tests/ that tools/test.sh runs for it."""


@pytest.mark.parametrize("marker", REAL)
def test_every_test_on_something_real_is_in_a_folder_that_is_run(marker: str) -> None:
    uses = [p for p in (PACKAGE.parent / "tests").rglob("*.py") if f"mark.{marker}" in p.read_text()]
    folders = {p.relative_to(PACKAGE.parent / "tests").parts[0] for p in uses} - {Path(__file__).name}
    assert folders <= REAL[marker]
    script = (PACKAGE.parent / "tools" / "test.sh").read_text()
    [line] = [line for line in script.splitlines() if f"-m {marker}" in line]
    assert all(f"tests/{folder}" in line for folder in folders)
