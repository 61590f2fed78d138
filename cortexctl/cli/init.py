"""cortexctl init: a commented stack to start from."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cortexctl.cli.writing import out
from cortexctl.errors import UsageError
from cortexctl.stack.json_schema import json_schema
from cortexctl.stack.starter import SCHEMA_FILE, TEMPLATES, starter


@click.command("init")
@click.argument("folder", default=".", metavar="[DIR]")
@click.option("--template", type=click.Choice(sorted(TEMPLATES)), default="gpu", show_default=True)
def command(folder: str, *, template: str) -> int:
    """Write DIR/stack.toml, commented, and the schema by which editors complete and check it. An existing stack is
    left as it is.
    """
    target = Path(folder) / "stack.toml"
    if target.exists():
        raise UsageError(f"{target} exists and was left as it is", next_step=f"cortexctl validate {target}")
    schema = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        (target.parent / SCHEMA_FILE).write_text(schema, encoding="utf-8")
        target.write_text(starter(template, target.resolve().parent.name), encoding="utf-8")
    except OSError as cause:
        raise UsageError(f"cannot write {target}: {cause.strerror}") from cause
    place = "" if folder == "." else f" {target}"
    out(f"Wrote {target}, and {SCHEMA_FILE} for editors.\nNext   edit it, then: cortexctl validate{place}\n")
    return 0
