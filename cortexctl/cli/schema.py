"""cortexctl schema: the published JSON Schemas, for editors and pipelines."""

from __future__ import annotations

import click

from cortexctl.cli import options
from cortexctl.cli.writing import write
from cortexctl.errors import UsageError


@click.command("schema")
@click.argument("name", type=click.Choice(["stack", "args", "plan", "drift", "doctor", "events"]))
@click.option(
    "--vllm-version", help="For stack and args: only the options of this release. Default: those of all releases."
)
def command(name: str, *, vllm_version: str | None) -> int:
    """Print the JSON Schema of the stack file, of a model's `args`, of a plan (`plan --format json`, `plan --out`), of
    a drift report, a report of doctor, or an event (`apply --events`).
    """
    if vllm_version and name not in {"stack", "args"}:
        raise UsageError(f"the schema of a {name} is the same for every vLLM release")
    write(_schema(name, options.known_release(vllm_version) if vllm_version else None), "json")
    return 0


def _schema(name: str, version: str | None) -> str:
    if name == "plan":
        from cortexctl.render.schemas import plan_schema

        return plan_schema()
    if name == "drift":
        from cortexctl.render.schemas import drift_schema

        return drift_schema()
    if name == "doctor":
        from cortexctl.render.schemas import doctor_schema

        return doctor_schema()
    if name == "events":
        from cortexctl.render.schemas import events_schema

        return events_schema()
    from cortexctl.operations.starter_stack import args_schema, stack_schema

    return stack_schema(version) if name == "stack" else args_schema(version)
