"""cortexctl init: writes a commented starter stack."""

from __future__ import annotations

import click

from cortexctl.cli.writing import out
from cortexctl.operations.starter_stack import SCHEMA_FILE, TEMPLATES, write_starter


@click.command("init")
@click.argument("folder", default=".", metavar="[DIR]")
@click.option("--template", type=click.Choice(sorted(TEMPLATES)), default="gpu", show_default=True)
def command(folder: str, *, template: str) -> int:
    """Write a commented DIR/stack.toml, and the schema with which editors complete and check it. An existing stack is
    not changed.
    """
    target = write_starter(folder, template)
    place = "" if folder == "." else f" {target}"
    out(f"Wrote {target}, and {SCHEMA_FILE} for editors.\nNext   edit it, then: cortexctl validate{place}\n")
    return 0
