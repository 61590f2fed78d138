"""The published form of what we write, as the files beside this module have it."""

from __future__ import annotations

from importlib.resources import files


def plan_schema() -> str:
    """The JSON Schema of a plan, as text."""
    return (files(__name__) / "plan.schema.json").read_text(encoding="utf-8")
