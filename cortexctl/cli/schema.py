"""cortexctl schema: the published JSON Schemas, for editors and pipelines."""

from __future__ import annotations

import json
import sys

import click


@click.command("schema")
@click.argument("name", type=click.Choice(["stack", "plan", "drift"]))
def command(name: str) -> int:
    """Print the JSON Schema of the stack file, of a plan (`plan --format json`, `plan --out`) or of a drift report."""
    if name == "plan":
        from cortexctl.render.schemas import plan_schema

        sys.stdout.write(plan_schema())
        return 0
    if name == "drift":
        from cortexctl.render.schemas import drift_schema

        sys.stdout.write(drift_schema())
        return 0
    from cortexctl.stack.schema import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
    return 0
