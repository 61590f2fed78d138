"""cortexctl schema: the published JSON Schemas, for editors and pipelines."""

from __future__ import annotations

import json
import sys

import click


@click.command("schema")
@click.argument("name", type=click.Choice(["stack"]))
def command(name: str) -> int:  # noqa: ARG001 - one so far
    """Print the JSON Schema of the stack file."""
    from cortexctl.stack.schema import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
    return 0
