"""cortexctl import: a model's block for a container that no stack created, so that it is adopted without a restart."""

from __future__ import annotations

from collections.abc import Sequence

import click

from cortexctl.cli import options
from cortexctl.cli.colour import ink
from cortexctl.cli.waiting import watched_connections
from cortexctl.cli.writing import out, print_plain, write
from cortexctl.errors import CortexctlError, UsageError
from cortexctl.operations.import_container import Import, open_import
from cortexctl.operations.results import Imported
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.render.import_block import bare_block, imported_block, imported_json, why_ignored
from cortexctl.render.import_candidates import imports_text


@click.command("import")
@click.argument("host")
@click.argument("container", default="")
@options.stack_option
@click.option(
    "--model", "name", default="", metavar="NAME", help="The model's name. Default: from the name that it serves."
)
@click.option(
    "--gpus", default=None, metavar="LIST", help='Its GPUs, if the container does not show them: "0,1", "none".'
)
@options.stack_choice
def command(host: str, container: str, *, choice: StackChoice, stack: str, name: str, gpus: str | None) -> int:
    """Print the block with which the stack adopts the running CONTAINER without a restart; without CONTAINER, list the
    containers that can be adopted. Changes nothing.
    """
    with watched_connections() as connections:
        work = open_import(host, stack, choice, imported_json if stack.endswith(".json") else bare_block, connections)
    if not container:
        out(imports_text(host, work.candidates(), work.invocation, ink()))
        return 0
    imported = work.adopt(work.find(container), name, _indices(gpus))
    if imported.reasons:
        print_plain("".join(f"  - {reason}\n" for reason in imported.reasons))
        count = len(imported.reasons)
        raise CortexctlError(
            f"{container} cannot be adopted as it is, for {count} {'reason' if count == 1 else 'reasons'} (above)",
            next_step="fix them and import again; or declare the model without `adopt`, which creates a new container",
        )
    _show(work, imported)
    return 0


def _show(work: Import, imported: Imported) -> None:
    preface = [*_proceed(work, imported), *imported.preface]
    ignored = {path: why_ignored(field) for path, field in imported.ignored.items()}
    if work.is_json:
        print_plain("".join(f"{line}\n" for line in [*preface, *(f"{path}: {why}" for path, why in ignored.items())]))
        write(imported_json(imported.name, imported.table), "json")
    else:
        write(imported_block(imported.name, imported.table, imported.notes, ignored, preface), "block")


def _proceed(work: Import, imported: Imported) -> list[str]:
    shows = {
        "adopt": "shows one change: adopt, without a restart",
        "start": "shows one change: start, because it is down",
        "no-op": "shows no change: it already has its name",
    }
    lines = [
        f"The container {imported.container} of {work.host.name}, as it is. Add this to {work.stack}; then:",
        f"  {work.invocation.command('plan')}    {shows[imported.action]}",
    ]
    lines += [f"  {work.invocation.command('apply')}"] if imported.action != "no-op" else []
    if imported.needed:
        lines.append(
            f"Set these in cortexctl's environment, to the values in the container: {', '.join(imported.needed)}."
        )
    return lines


def _indices(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts: Sequence[str] = [] if text == "none" else text.split(",")
    if not all(p.isascii() and p.isdigit() for p in parts):
        raise UsageError(f'--gpus {text}: write indices with commas, as in 0,1, or "none"')
    return tuple(int(p) for p in parts)
