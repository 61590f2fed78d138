"""The starter stacks of `cortexctl init`: templates in this package, checked by the tests like any stack."""

from __future__ import annotations

import re
from importlib import resources

SCHEMA_FILE = "stack.schema.json"
"""The schema file that the first line of every starter names; it is written next to the stack."""
TEMPLATES = {"gpu": "gpu.toml.j2", "cpu": "cpu.toml.j2"}


def starter(template: str, folder: str) -> str:
    """The text of a stack named after the folder. Raises KeyError for an unknown template."""
    from jinja2 import Environment, StrictUndefined

    source = resources.files("cortexctl.stack").joinpath("templates", TEMPLATES[template]).read_text("utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701 - TOML
    name = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")[:60].strip("-") or "models"
    return environment.from_string(source).render(stack=name)
