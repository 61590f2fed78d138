"""Writes the golden files of stack cases: `python -m tests.record_stack_case NAME...` (all cases without a name).

A case is a folder under tests/cases/stack with a stack.toml or a stack.json. The diagnostics of loading it are written to
diagnostics.txt. An options.json may choose an environment and give variables: {"env": "NAME", "vars": ["NAME=VALUE"]}.
Read the written files before you commit them: nothing else checks that they are right.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic
from cortexctl.errors import SecretUnresolved
from cortexctl.render.diagnostic import diagnostics_text
from cortexctl.render.style import Ink
from cortexctl.secrets.resolver import SecretReader
from cortexctl.stack.load import UnresolvedSecret, VariableInputs, load_stack

CASES = Path(__file__).parent / "cases" / "stack"
ENVIRON = {"HF_TOKEN": "hf-value-of-the-environment", "EMPTY": ""}
"""The environment that the cases' secrets are read from."""


def stack_file(case: Path) -> str:
    """The name of the case's stack file."""
    return "stack.json" if (case / "stack.json").exists() else "stack.toml"


def load_case(case: Path) -> tuple[Desired | None, list[Diagnostic]]:
    """Load the case's stack from its own folder, so that the paths in the diagnostics are relative."""
    options: dict[str, Any] = {}
    if (case / "options.json").exists():
        options = json.loads((case / "options.json").read_text(encoding="utf-8"))
    here = Path.cwd()
    os.chdir(case)
    try:
        reader = SecretReader(ENVIRON, Path())

        def value(source: str, key: str) -> str:
            try:
                return reader.read(source, key)
            except SecretUnresolved as cause:
                raise UnresolvedSecret(cause.message) from cause

        return load_stack(
            stack_file(case),
            default_docker="unix:///var/run/docker.sock",
            secret_value=value,
            env=options.get("env", ""),
            inputs=VariableInputs(assignments=options.get("vars", [])),
        )
    finally:
        os.chdir(here)


def diagnostics_of(case: Path) -> str:
    """The diagnostics of loading the case's stack, as the user reads them."""
    return diagnostics_text(load_case(case)[1], Ink(enabled=False))


def record(case: Path) -> None:
    (case / "diagnostics.txt").write_text(diagnostics_of(case), encoding="utf-8")


if __name__ == "__main__":
    names = sys.argv[1:] or [p.name for p in sorted(CASES.iterdir()) if p.is_dir()]
    for name in names:
        record(CASES / name)
        sys.stdout.write(f"== {name}\n{(CASES / name / 'diagnostics.txt').read_text(encoding='utf-8')}\n")
