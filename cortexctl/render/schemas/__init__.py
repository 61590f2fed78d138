"""The published form of what we write, as the files beside this module have it."""

from __future__ import annotations

from importlib.resources import files


def plan_schema() -> str:
    """The JSON Schema of a plan, as text."""
    return (files(__name__) / "plan.schema.json").read_text(encoding="utf-8")


def drift_schema() -> str:
    """The JSON Schema of a drift report, as text."""
    return (files(__name__) / "drift.schema.json").read_text(encoding="utf-8")


def doctor_schema() -> str:
    """The JSON Schema of a report of `doctor`, as text."""
    return (files(__name__) / "doctor.schema.json").read_text(encoding="utf-8")


def events_schema() -> str:
    """The JSON Schema of one event of an apply, as text."""
    return (files(__name__) / "events.schema.json").read_text(encoding="utf-8")
