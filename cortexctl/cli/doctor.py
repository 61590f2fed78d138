"""cortexctl doctor: what each host is, and what it lacks."""

from __future__ import annotations

import click

from cortexctl.cli import options
from cortexctl.cli.colour import ink
from cortexctl.cli.notes import show_note
from cortexctl.cli.waiting import watched_connections
from cortexctl.cli.writing import out, out_json
from cortexctl.errors import UsageError
from cortexctl.operations.doctor import examination, examine_hosts
from cortexctl.operations.gpu_edit import plan_gpu_edit, write_gpu_edit
from cortexctl.operations.read_stack import SecretMode, StackReader
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.render.doctor.json_report import doctor_json
from cortexctl.render.doctor.terminal import doctor_text, edit_text


@click.command("doctor")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@options.stack_option
@click.option(
    "--probe", "probes", is_flag=True,
    help="Also read GPUs and free disk, in a temporary container of an image on the host; no image is pulled.",
)  # fmt: skip
@click.option(
    "--calibrate", "calibrates", is_flag=True,
    help="Also measure memory constants of an idle GPU of each host, with a small model and each image of the host's "
    "models: a minute or two each. Includes --probe.",
)  # fmt: skip
@click.option("--write", "writes", is_flag=True, help="Write the GPUs to the stack file. Needs --probe or --calibrate.")
@options.text_or_json
@options.stack_choice
def command(
    hosts: tuple[str, ...],
    *,
    stack: str,
    probes: bool,
    calibrates: bool,
    writes: bool,
    choice: StackChoice,
    output_format: str,
) -> int:
    """Show the daemon, transport, clock, folders and GPUs of each HOST (names or globs; default: all). Without --probe
    and --calibrate, nothing is created on a host. Exits 1 if a host has a problem.
    """
    probes = probes or calibrates
    if writes and not probes:
        raise UsageError("--write needs --probe: only a probe reads the GPUs", next_step="add --probe")
    desired = StackReader(stack, choice, SecretMode.SKIP).read_hosts()
    wanted = examination(stack, choice, desired, hosts, probes=probes, calibrates=calibrates)
    with watched_connections() as connections:
        report = examine_hosts(wanted, show_note, connections)
    edit = plan_gpu_edit(stack, choice.env, report) if probes else None
    if writes and edit:
        report = write_gpu_edit(edit, report)
    if output_format == "json":
        out_json(doctor_json(report, edit))
    else:
        out(doctor_text(report, ink()) + (edit_text(edit, ink(), written=writes) if edit else ""))
    return 1 if report.has_problem else 0
