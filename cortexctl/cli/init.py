"""cortexctl init: writes a commented starter stack."""

from __future__ import annotations

import click

from cortexctl.cli.notes import show_note
from cortexctl.cli.writing import out
from cortexctl.errors import UsageError
from cortexctl.operations.starter_stack import SCHEMA_FILE, TEMPLATES, write_starter
from cortexctl.text.invocation import Invocation


@click.command("init")
@click.argument("folder", default=".", metavar="[DIR]")
@click.option("--template", type=click.Choice(sorted(TEMPLATES)), help="Default: gpu, or what the hosts have.")
@click.option(
    "--host", "urls", multiple=True, metavar="URL",
    help="Write an entry for the host of this daemon (ssh://ops@gpu-1, tcp://, unix://, context:NAME), from what "
    "doctor reads there. Can be repeated.",
)  # fmt: skip
@click.option(
    "--probe", "probes", is_flag=True,
    help="Also read the GPUs, in a temporary container of an image on the host; no image is pulled.",
)  # fmt: skip
def command(folder: str, *, template: str | None, urls: tuple[str, ...], probes: bool) -> int:
    """Write a commented DIR/stack.toml, and the schema with which editors complete and check it. Existing files are not
    changed. If a host does not answer, nothing is written.
    """
    if probes and not urls:
        raise UsageError("--probe needs --host", next_step="cortexctl init --host ssh://ops@gpu-1 --probe")
    starter = write_starter(folder, template, urls, show_note, probes=probes)
    run = Invocation(str(starter.path))
    out(f"Wrote {starter.path}, and {SCHEMA_FILE} for editors.\n")
    out(f'The stack is named "{starter.stack}", after its folder. Another name: before the first apply, not later.\n')
    if starter.lacks_gpus:
        doctor = run.command("doctor", options=(("--probe",), ("--write",)))
        out(f"The GPUs are not in it yet. To read and write them: {doctor}\n")
    out(f"Next   edit it, then: {run.command('validate')}\n")
    return 0
