"""cortexctl fmt: stack files laid out in one way, with all their comments."""

from __future__ import annotations

import sys

import click

from cortexctl.cli.colour import ink
from cortexctl.cli.writing import say, write
from cortexctl.diagnostics import error
from cortexctl.errors import UsageError
from cortexctl.files.atomic import write_atomic
from cortexctl.files.reading import NotRead, read_regular
from cortexctl.operations.stack_choice import DEFAULT_STACK
from cortexctl.render.diagnostic import diagnostic_text
from cortexctl.render.sanitise import visible
from cortexctl.render.text_diff import patch_text
from cortexctl.stack.document import UnreadableDocument
from cortexctl.stack.edit.layout import formatted

STDIN = "-"


@click.command("fmt")
@click.argument("stacks", nargs=-1, metavar="[STACK]...")
@click.option("-f", "--stack", "more", multiple=True, metavar="FILE", help=f"The same.  [default: {DEFAULT_STACK}]")
@click.option("--check", is_flag=True, help="Write nothing; exit 3 if a file would change.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
def command(stacks: tuple[str, ...], *, more: tuple[str, ...], check: bool, diff: bool) -> int:
    """Lay stack files out in one way, and print the names of those that changed. Comments, order and the spelling of
    values stay. `-` reads stdin and writes stdout.
    """
    stacks = (*stacks, *more)
    if STDIN in stacks and len(stacks) > 1:
        raise UsageError("- is stdin, and stands alone", next_step="cortexctl fmt -")
    would_change = failed = False
    for path in stacks or (DEFAULT_STACK,):
        try:
            before = _read(path)
            after = formatted(_name(path, before), before)
            if before != after and path != STDIN and not (check or diff):
                write_atomic(path, after)
        except UnreadableDocument as cause:
            failed = True
            say(diagnostic_text(cause.diagnostic, ink("stderr")) + "\n")
            continue
        except UsageError as cause:
            failed = True
            say(f"Error: {cause.message}\n")
            continue
        would_change |= before != after
        _show(path, before, after, check=check, diff=diff)
    return 1 if failed else 3 if check and would_change else 0


def _read(path: str) -> str:
    """With its byte order mark and its line ends, for they may have to change. Raises UnreadableDocument."""
    try:
        return (sys.stdin.buffer.read() if path == STDIN else read_regular(path, inside=True)).decode()
    except UnicodeDecodeError:
        summary, advice = f"{path} is not UTF-8 text", "a stack file is TOML or JSON"
    except NotRead as cause:
        summary, advice = str(cause), cause.advice
    raise UnreadableDocument(error("CX101", summary, help=advice))


def _name(path: str, text: str) -> str:
    """By which the text is taken for TOML or JSON: on stdin it tells itself, for no TOML begins with a brace."""
    if path != STDIN:
        return path
    return "stdin.json" if text.removeprefix("\ufeff").lstrip().startswith("{") else "stdin.toml"


def _show(path: str, before: str, after: str, *, check: bool, diff: bool) -> None:
    if diff:
        patch = patch_text(path, before, after)
        write("\n".join(map(visible, patch.split("\n"))) if sys.stdout.isatty() else patch, "diff")
    elif path == STDIN and not check:
        write(after, "toml")
    elif before != after:
        write(f"{path}\n", "text")
