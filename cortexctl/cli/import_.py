"""cortexctl import: a model's block for a container that no stack made, so that it is adopted as it runs."""

from __future__ import annotations

from collections.abc import Sequence

import click

from cortexctl.cli import options
from cortexctl.cli.colour import ink
from cortexctl.cli.importing import Import, Imported, open_import
from cortexctl.cli.writing import out, say_plain, write
from cortexctl.errors import CortexctlError, UsageError
from cortexctl.operations.stack_choice import StackChoice
from cortexctl.render.import_block import imported_block, imported_json
from cortexctl.render.import_candidates import Row, imports_text


@click.command("import")
@click.argument("host")
@click.argument("container", default="")
@options.stack_option
@click.option("--model", "name", default="", metavar="NAME", help="The model's name. Left out: by what it serves.")
@click.option("--gpus", default=None, metavar="LIST", help='Its GPUs, where it does not tell: "0,1", "none".')
@options.stack_choice
def command(host: str, container: str, *, choice: StackChoice, stack: str, name: str, gpus: str | None) -> int:
    """Print the block that makes the stack take CONTAINER as it runs, without a restart; without CONTAINER, list what
    could be taken. Changes nothing.
    """
    work = open_import(host, stack, choice)
    if not container:
        rows = [_row(work, number) for number in work.candidates()]
        out(imports_text(host, rows, work.option, ink()))
        return 0
    made = work.make(work.find(container), name, _indices(gpus))
    if made.reasons:
        say_plain("".join(f"  - {reason}\n" for reason in made.reasons))
        count = len(made.reasons)
        raise CortexctlError(
            f"{container} cannot be adopted as it is, for {count} {'reason' if count == 1 else 'reasons'} (above)",
            next_step="fix them and import again; or declare the model without `adopt`, and a new container is made",
        )
    _show(work, made)
    return 0


def _row(work: Import, id_: str) -> Row:
    running, state = work.running(id_), work.state(id_)
    made = work.make(id_, "", None)
    model = work.model_of(id_)
    return Row(running.name, running.image, model, state, made.name, tuple(made.reasons))


def _show(work: Import, made: Imported) -> None:
    told = [*_proceed(work, made), *made.told]
    if work.is_json:
        say_plain("".join(f"{line}\n" for line in [*told, *(f"{path}: {why}" for path, why in made.ignored.items())]))
        write(imported_json(made.name, made.table), "json")
    else:
        write(imported_block(made.name, made.table, made.notes, made.ignored, told), "block")


def _proceed(work: Import, made: Imported) -> list[str]:
    stack = work.words
    shows = {
        "adopt": "shows one change: adopt, without a restart",
        "start": "shows one change: start, for it is down",
        "no-op": "shows no change: it has its name already",
    }
    lines = [
        f"The container {made.container} of {work.host.name}, as it is. Put this into {work.stack}; then:",
        f"  cortexctl plan{stack}    {shows[made.action]}",
    ]
    lines += [f"  cortexctl apply{stack}"] if made.action != "no-op" else []
    if made.needed:
        lines.append(f"Set where cortexctl runs, to the values that the container has: {', '.join(made.needed)}.")
    return lines


def _indices(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts: Sequence[str] = [] if text == "none" else text.split(",")
    if not all(p.isascii() and p.isdigit() for p in parts):
        raise UsageError(f'--gpus {text}: write indices with commas, as in 0,1, or "none"')
    return tuple(int(p) for p in parts)
