"""cortexctl init: a commented stack to start from."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cortexctl.errors import UsageError
from cortexctl.stack.starter import TEMPLATES, starter


@click.command("init")
@click.argument("folder", default=".", metavar="[DIR]")
@click.option("--template", type=click.Choice(sorted(TEMPLATES)), default="gpu", show_default=True)
def command(folder: str, *, template: str) -> int:
    """Write DIR/stack.toml, commented. An existing file is left as it is."""
    target = Path(folder) / "stack.toml"
    if target.exists():
        raise UsageError(f"{target} exists and was left as it is", next_step=f"cortexctl validate {target}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(starter(template, target.resolve().parent.name), encoding="utf-8")
    except OSError as cause:
        raise UsageError(f"cannot write {target}: {cause.strerror}") from cause
    place = "" if folder == "." else f" {target}"
    sys.stdout.write(f"Wrote {target}.\nNext   edit it, then: cortexctl validate{place}\n")
    return 0
