"""cortexctl schema: the published JSON Schemas, for editors and pipelines."""

from __future__ import annotations

import json
import sys

import click


@click.command("schema")
@click.argument("name", type=click.Choice(["stack", "plan"]))
def command(name: str) -> int:
    """Print the JSON Schema of the stack file, or of a plan (`plan --format json`, `plan --out`)."""
    if name == "plan":
        from cortexctl.render.schemas import plan_schema

        sys.stdout.write(plan_schema())
        return 0
    from cortexctl.stack.schema import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
    return 0
