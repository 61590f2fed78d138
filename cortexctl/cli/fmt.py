"""cortexctl fmt: formats stack files, and keeps all comments."""

from __future__ import annotations

import sys

import click

from cortexctl.cli.notes import show_diagnostics
from cortexctl.cli.writing import print_note, write
from cortexctl.errors import UsageError
from cortexctl.operations.fit_search import StackPatch
from cortexctl.operations.format_stack import format_file, format_stdin
from cortexctl.operations.read_stack import BadStack
from cortexctl.render.sanitise import visible
from cortexctl.render.text_diff import patch_text
from cortexctl.text.invocation import DEFAULT_STACK

STDIN = "-"


@click.command("fmt")
@click.argument("stacks", nargs=-1, metavar="[STACK]...")
@click.option(
    "-f", "--stack", "more", multiple=True, metavar="FILE", help=f"Same as [STACK].  [default: {DEFAULT_STACK}]"
)
@click.option("--check", is_flag=True, help="Write nothing; exit 3 if a file would change.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
def command(stacks: tuple[str, ...], *, more: tuple[str, ...], check: bool, diff: bool) -> int:
    """Format stack files, and print the names of changed ones. Comments, order and the spelling of values stay.
    `-` reads stdin and writes stdout.
    """
    stacks = (*stacks, *more)
    if STDIN in stacks and len(stacks) > 1:
        raise UsageError("- (stdin) cannot be combined with files", next_step="cortexctl fmt -")
    would_change = failed = False
    for path in stacks or (DEFAULT_STACK,):
        try:
            if path == STDIN:
                patch = format_stdin(sys.stdin.buffer.read())
            else:
                patch = format_file(path, write=not (check or diff))
        except BadStack as cause:
            failed = True
            show_diagnostics(cause.diagnostics)
        except UsageError as cause:
            failed = True
            print_note(f"Error: {cause.message}\n")
        else:
            would_change |= patch.before != patch.after
            _show(patch, check=check, diff=diff)
    return 1 if failed else 3 if check and would_change else 0


def _show(patch: StackPatch, *, check: bool, diff: bool) -> None:
    if diff:
        text = patch_text(patch.path, patch.before, patch.after)
        write("\n".join(map(visible, text.split("\n"))) if sys.stdout.isatty() else text, "diff")
    elif patch.path == STDIN and not check:
        write(patch.after, "toml")
    elif patch.before != patch.after:
        write(f"{patch.path}\n", "text")
